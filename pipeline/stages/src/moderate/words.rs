//! Word rules: lists of words by label, found as whole words whatever their case and accents. In: a policy file, JSON. Out:
//! the labels of a text.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The lists where an operator gives none.
const DEFAULT: &str = include_str!("rules.json");
/// Labels, and words of all of them.
const LABELS_MAX: usize = 100;
const WORDS_MAX: usize = 100_000;
/// Characters of a text that are looked at: more than any title has.
const TEXT_CHARS_MAX: usize = 10_000;

/// The rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Words by label; several words in one are found next to each other.
    labels: BTreeMap<String, Vec<Vec<String>>>,
}

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It is no JSON of the wanted shape.
    #[error("rules do not parse")]
    Syntax(#[from] serde_json::Error),
    /// It has too many labels or words.
    #[error("rules have {count} {what}, {max} allowed")]
    TooMany {
        /// Labels or words.
        what: &'static str,
        /// How many.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A word has no letter and no digit.
    #[error("rules have an empty word {word:?} under {label}")]
    Empty {
        /// The label.
        label: String,
        /// The word.
        word: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    words: BTreeMap<String, Vec<String>>,
}

impl Rules {
    /// Reads a policy file: `{"words": {"<label>": ["<word or words>", …]}}`.
    ///
    /// # Errors
    /// When it does not parse, or passes a limit.
    pub fn parse(text: &str) -> Result<Self, RulesError> {
        let file: File = serde_json::from_str(text)?;
        let count = file.words.values().map(Vec::len).sum();
        for (what, count, max) in [("labels", file.words.len(), LABELS_MAX), ("words", count, WORDS_MAX)] {
            if count > max {
                return Err(RulesError::TooMany { what, count, max });
            }
        }
        let mut labels = BTreeMap::new();
        for (label, words) in file.words {
            let folded: Vec<Vec<String>> = words.iter().map(|word| tokens(word)).collect();
            if let Some(place) = folded.iter().position(Vec::is_empty) {
                let word = words.get(place).cloned().unwrap_or_default();
                return Err(RulesError::Empty { label, word });
            }
            labels.insert(label, folded);
        }
        Ok(Self { labels })
    }

    /// Returns the labels of a text, each with the first of its words that was found.
    pub(super) fn labels_of(&self, text: &str) -> Vec<(String, String)> {
        let text = tokens(text);
        let has = |word: &&Vec<String>| text.windows(word.len()).any(|window| window == word.as_slice());
        let found = self.labels.iter().filter_map(|(label, words)| {
            let word = words.iter().find(has)?;
            Some((label.clone(), word.join(" ")))
        });
        found.collect()
    }
}

impl Default for Rules {
    fn default() -> Self {
        match Self::parse(DEFAULT) {
            Ok(rules) => rules,
            Err(error) => unreachable!("the built-in rules are tested: {error}"),
        }
    }
}

/// Splits a text into words of letters and digits, folded.
fn tokens(text: &str) -> Vec<String> {
    let folded: String = text.chars().take(TEXT_CHARS_MAX).flat_map(char::to_lowercase).flat_map(fold).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Returns a lowercase letter of Latin without its accent, as one or two letters; combining accents are dropped.
fn fold(letter: char) -> impl Iterator<Item = char> {
    let folded: &[char] = match letter {
        '\u{300}'..='\u{36f}' => &[],
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' => &['a'],
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => &['c'],
        'ď' | 'đ' | 'ð' => &['d'],
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => &['e'],
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => &['g'],
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ǐ' => &['i'],
        'ĺ' | 'ļ' | 'ľ' | 'ł' => &['l'],
        'ñ' | 'ń' | 'ņ' | 'ň' => &['n'],
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ǒ' => &['o'],
        'ŕ' | 'ŗ' | 'ř' => &['r'],
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => &['s'],
        'ţ' | 'ť' | 'ŧ' | 'ț' => &['t'],
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ǔ' => &['u'],
        'ý' | 'ÿ' | 'ŷ' => &['y'],
        'ź' | 'ż' | 'ž' => &['z'],
        'æ' => &['a', 'e'],
        'œ' => &['o', 'e'],
        'ß' => &['s', 's'],
        'þ' => &['t', 'h'],
        _ => return Folded::Same(Some(letter)),
    };
    Folded::Other(folded.iter())
}

enum Folded {
    Same(Option<char>),
    Other(std::slice::Iter<'static, char>),
}

impl Iterator for Folded {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Same(letter) => letter.take(),
            Self::Other(letters) => letters.next().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<(String, String)> {
        let rules = r#"{"words": {"a": ["Märchen", "two  words"], "b": ["cafe"]}}"#;
        Rules::parse(rules).unwrap().labels_of(text)
    }

    fn found(label: &str, word: &str) -> (String, String) {
        (label.to_owned(), word.to_owned())
    }

    #[test]
    fn whole_words_are_found_whatever_their_case_and_accents() {
        assert_eq!(labels("MARCHEN"), [found("a", "marchen")]);
        assert_eq!(labels("ein_Ma\u{308}rchen-2.mp4"), [found("a", "marchen")]);
        assert_eq!(labels("Two, words at the Café"), [found("a", "two words"), found("b", "cafe")]);
        assert_eq!(labels("cafeteria and two more words"), []);
        assert_eq!(labels(""), []);
    }

    #[test]
    fn wrong_files_are_named() {
        let error = |text: &str| Rules::parse(text).unwrap_err().to_string();
        assert_eq!(error("{}"), "rules do not parse");
        assert_eq!(error(r#"{"words": {"a": ["--"]}}"#), "rules have an empty word \"--\" under a");
    }

    #[test]
    fn the_built_in_rules_parse_and_pass_plain_titles() {
        let rules = Rules::default();
        assert_eq!(rules.labels_of("Big Buck Bunny, part 2"), []);
        assert_eq!(rules.labels_of("NSFW clip").len(), 1);
    }
}
