//! Search on Postgres: `tsvector` and GIN (postgresql.org/docs/current/textsearch.html), with words that are split and
//! folded here as SQLite's `unicode61` does, so that both engines find the same: the server's own parser keeps addresses and
//! hyphenated words whole, and folding diacritics there takes an extension.

use std::fmt::Write;

use unicode_normalization::UnicodeNormalization;

use super::search::typed_words;
use super::sql::{self, Query};

/// Characters of a word that count; a lexeme of Postgres holds 2 KB.
const WORD_CHARS_MAX: usize = 100;
/// Positions that a `tsvector` tells apart (postgresql.org/docs/current/textsearch-limitations.html).
const POSITION_MAX: usize = 16_383;

/// Finds contents: query, limit, offset. A word of the title counts five times, and counts more in a short text.
pub(super) const SEARCH: &str = "SELECT content.id, content.owner, content.title, content.description,
        publication.duration_ms, publication.published_us
    FROM document_index
    JOIN document ON document.number = document_index.number
    JOIN content ON content.id = document.content_id
    LEFT JOIN publication ON publication.content_id = content.id AND publication.revision = content.published_revision
    WHERE document_index.words @@ CAST($1 AS tsquery) AND document.visible = 1 AND content.visibility = 'public'
        AND content.published_revision IS NOT NULL AND content.state NOT IN ('DELETED', 'BLOCKED')
    ORDER BY ts_rank('{0.2, 0.2, 0.2, 1.0}', document_index.words, CAST($1 AS tsquery), 1) DESC, document.number DESC
    LIMIT $2 OFFSET $3";
/// Takes a document out of the index.
pub(super) const REMOVE: &str = "DELETE FROM document_index WHERE number = $1";

/// Makes the statement that puts a document into the index.
pub(super) fn insert(number: i64, title: &str, description: &str) -> Query<'static> {
    let sql = "INSERT INTO document_index (number, words) VALUES ($1, CAST($2 AS tsvector))";
    sql::query(sql).bind(number).bind(vector(title, description))
}

/// Writes what a person typed as a `tsquery`: each word its tokens in a row, all of them wanted, the last token as a
/// beginning. Nothing for text without a word.
pub(super) fn query(text: &str) -> Option<String> {
    let words: Vec<Vec<String>> = typed_words(text).iter().map(|word| tokens(word)).collect();
    let phrases: Vec<String> = words
        .iter()
        .filter(|tokens| !tokens.is_empty())
        .map(|tokens| tokens.iter().map(|token| format!("'{token}'")).collect::<Vec<_>>().join(" <-> "))
        .collect();
    (!phrases.is_empty()).then(|| format!("({}:*)", phrases.join(") & (")))
}

/// Writes a document as the text of a `tsvector`: title, a gap that no phrase crosses, description.
fn vector(title: &str, description: &str) -> String {
    let mut text = String::new();
    let mut position = 0;
    for (words, weight) in [(tokens(title), 'A'), (tokens(description), 'D')] {
        for word in words {
            position += 1;
            if position > POSITION_MAX {
                return text;
            }
            let _ = write!(text, "'{word}':{position}{weight} ");
        }
        position += 1;
    }
    text
}

/// Splits a text into its words: runs of letters and digits in lower case, without the marks of Latin, Greek and Cyrillic
/// letters. No other character is left, so that a token needs no escaping.
fn tokens(text: &str) -> Vec<String> {
    let folded: String = text
        .nfkd()
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        .flat_map(char::to_lowercase)
        // Lower case can bring a mark along: that of the dotted capital I.
        .filter(|c| !('\u{300}'..='\u{36f}').contains(c))
        .collect();
    let words = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(WORD_CHARS_MAX).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::{query, tokens, vector};

    #[test]
    fn words_are_folded_and_split_where_no_letter_or_digit_stands() {
        let folded = |text: &str| tokens(text).join(" ");
        assert_eq!(folded("Café in the MOUNTAINS"), "cafe in the mountains");
        assert_eq!(folded("part-1: a \"quoted\" film's ﬁnal_cut"), "part 1 a quoted film s final cut");
        assert_eq!(folded("İstanbul ΆΛΦΑ Ёлка 中文 ٣٤٥"), "istanbul αλφα елка 中文 ٣٤٥");
        assert_eq!(folded("\0 ' \\ \u{202e} 💥 ..."), "");
        assert_eq!(folded(&"w".repeat(5000)).len(), 100);
    }

    #[test]
    fn what_people_type_is_words_and_nothing_else() {
        let query = |text: &str| query(text).unwrap_or_default();
        assert_eq!(query("big Buck"), "('big') & ('buck':*)");
        assert_eq!(query("part-1 film"), "('part' <-> '1') & ('film':*)");
        assert_eq!(query("(film) part-1"), "('film') & ('part' <-> '1':*)");
        assert_eq!(query("a' | !b:* \\"), "('a') & ('b':*)");
        assert_eq!(query(" - \" * ( "), "");
    }

    #[test]
    fn a_document_ends_at_the_last_position() {
        assert_eq!(vector("Big film", "a film"), "'big':1A 'film':2A 'a':4D 'film':5D ");
        let long = vector("t", &"w ".repeat(20_000));
        assert!(long.ends_with("'w':16383D "), "{}", &long[long.len() - 40..]);
    }
}
