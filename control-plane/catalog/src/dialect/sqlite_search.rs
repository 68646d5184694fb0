//! Search on SQLite: FTS5 (sqlite.org/fts5.html). What people type never reaches its query language.

use super::search::typed_words;
use super::sql::{self, Query};

/// Finds contents: query, limit, offset. BM25 is smaller for better matches; a word of the title counts five times.
pub(super) const SEARCH: &str = "SELECT content.id, content.owner, content.title, content.description,
        publication.duration_ms, publication.published_us
    FROM document_index
    JOIN document ON document.number = document_index.rowid
    JOIN content ON content.id = document.content_id
    LEFT JOIN publication ON publication.content_id = content.id AND publication.revision = content.published_revision
    WHERE document_index MATCH $1 AND document.visible = 1 AND content.visibility = 'public'
        AND content.published_revision IS NOT NULL AND content.state NOT IN ('DELETED', 'BLOCKED')
    ORDER BY bm25(document_index, 5.0, 1.0), document.number DESC LIMIT $2 OFFSET $3";
/// Takes a document out of the index.
pub(super) const REMOVE: &str = "DELETE FROM document_index WHERE rowid = $1";

/// Makes the statement that puts a document into the index.
pub(super) fn insert(number: i64, title: String, description: String) -> Query<'static> {
    let sql = "INSERT INTO document_index (rowid, title, description) VALUES ($1, $2, $3)";
    sql::query(sql).bind(number).bind(title).bind(description)
}

/// Writes what a person typed as a query of FTS5: each word a string, all of them wanted, the last one as a beginning.
/// Nothing for text without a word.
pub(super) fn query(text: &str) -> Option<String> {
    // A string without a letter or digit has no token, and one such string makes FTS5 find nothing at all.
    let strings: Vec<String> =
        typed_words(text).iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    (!strings.is_empty()).then(|| strings.join(" ") + "*")
}

#[cfg(test)]
mod tests {

    #[test]
    fn what_people_type_is_words_and_nothing_else() {
        let query = |text: &str| super::query(text).unwrap_or_default();
        assert_eq!(query("big buck"), r#""big" "buck"*"#);
        assert_eq!(query("title:x OR NOT -a* (b) ^c NEAR/2"), r#""title:x" "OR" "NOT" "-a*" "(b)" "^c" "NEAR/2"*"#);
        assert_eq!(query(r#"say "hi" a"b"#), r#""say" """hi""" "a""b"*"#);
        assert_eq!(query("a\0b\nc"), r#""a" "b" "c"*"#);
        assert_eq!(query(" - \" * ( "), "");
        assert_eq!(query(""), "");
        assert_eq!(query(&"word ".repeat(50)).matches("word").count(), 16);
        assert!(query(&"w".repeat(10_000)).len() < 500);
    }
}
