//! Search: what every engine's index is asked for, and by which words. What people type never reaches a query language.

use super::Engine;
#[cfg(feature = "postgres")]
use super::postgres_search;
use super::sql::Query;
use super::sqlite_search;

/// Characters of a search that are read: longer ones are no search.
const TEXT_CHARS_MAX: usize = 400;
/// Words of a search that are read; each costs a walk of the index.
const WORDS_MAX: usize = 16;

impl Engine {
    /// Returns the text that finds contents: query, limit, offset.
    pub(crate) fn search(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite_search::SEARCH,
            #[cfg(feature = "postgres")]
            Self::Postgres => postgres_search::SEARCH,
        }
    }

    /// Writes what a person typed as a query of the index. Nothing for text without a word.
    pub(crate) fn search_query(self, text: &str) -> Option<String> {
        match self {
            Self::Sqlite => sqlite_search::query(text),
            #[cfg(feature = "postgres")]
            Self::Postgres => postgres_search::query(text),
        }
    }

    /// Makes the statement that puts a document into the index.
    pub(crate) fn search_insert(self, number: i64, title: String, description: String) -> Query<'static> {
        match self {
            Self::Sqlite => sqlite_search::insert(number, title, description),
            #[cfg(feature = "postgres")]
            Self::Postgres => postgres_search::insert(number, &title, &description),
        }
    }

    /// Returns the text that takes a document out of the index: number.
    pub(crate) fn search_remove(self) -> &'static str {
        match self {
            Self::Sqlite => sqlite_search::REMOVE,
            #[cfg(feature = "postgres")]
            Self::Postgres => postgres_search::REMOVE,
        }
    }
}

/// Returns the words that a person typed: what stands between white space, where there is a letter or digit in it.
pub(super) fn typed_words(text: &str) -> Vec<String> {
    let text: String = text.chars().take(TEXT_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = text.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric));
    words.take(WORDS_MAX).map(str::to_owned).collect()
}
