//! The query of a reprocessing run: words that must all hold, such as `owner:me title:trailer`.

use mcsp_catalog::ContentFilter;
use mcsp_domain::{ContentId, UserId};

/// Characters of a query.
pub(super) const QUERY_CHARS_MAX: usize = 300;

/// Which published contents a run is about. `all`, or words that must all hold: `id:<uuid>`, `owner:<uuid>` or `owner:me`,
/// `title:<text>`. A bare id is `id:`; other words are the title's, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReprocessQuery {
    pub(super) filter: ContentFilter,
    text: String,
}

/// Why a query cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It says nothing.
    #[error("query is empty or begins with a blank: say all, id:<uuid>, owner:<uuid>, owner:me or title:<text>")]
    Empty,
    /// It is too long.
    #[error("query has {chars} characters, {QUERY_CHARS_MAX} allowed")]
    TooLong {
        /// Its length.
        chars: usize,
    },
    /// A word that is none.
    #[error("query word {word:?} is none of all, id:<uuid>, owner:<uuid>, owner:me, title:<text>")]
    Word {
        /// The word.
        word: String,
    },
}

impl ReprocessQuery {
    /// Reads a query; `me` is who asks.
    ///
    /// # Errors
    /// When it is empty, too long, or a word is none.
    pub fn parse(text: &str, me: UserId) -> Result<Self, QueryError> {
        let chars = text.chars().count();
        if chars > QUERY_CHARS_MAX {
            return Err(QueryError::TooLong { chars });
        }
        let mut filter = ContentFilter { published: true, ..ContentFilter::default() };
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_none() || text.starts_with(char::is_whitespace) {
            return Err(QueryError::Empty);
        }
        let mut titles = Vec::new();
        for word in words {
            let fault = || QueryError::Word { word: word.chars().take(100).collect() };
            match word.split_once(':') {
                Some(("id", id)) => filter.id = Some(ContentId::parse(id).map_err(|_| fault())?),
                Some(("owner", "me")) => filter.owner = Some(me),
                Some(("owner", id)) => filter.owner = Some(UserId::parse(id).map_err(|_| fault())?),
                Some(("title", title)) if !title.is_empty() => titles.push(title),
                Some(("title", _)) => return Err(fault()),
                None if word == "all" => {}
                None if ContentId::parse(word).is_ok() => filter.id = ContentId::parse(word).ok(),
                _ => titles.push(word),
            }
        }
        filter.title = (!titles.is_empty()).then(|| titles.join(" "));
        Ok(Self { filter, text: text.trim().to_owned() })
    }

    /// Returns the query as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the query narrowed to one owner's contents.
    #[must_use]
    pub fn of(mut self, owner: UserId) -> Option<Self> {
        match self.filter.owner {
            Some(other) if other != owner => None,
            _ => {
                self.filter.owner = Some(owner);
                Some(self)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ContentFilter, String> {
        let me = UserId::from_bytes([1; 16]);
        ReprocessQuery::parse(text, me).map(|query| query.filter).map_err(|error| error.to_string())
    }

    #[test]
    fn every_word_narrows() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let filter = read(&format!("owner:me title:Reise id:{id}")).unwrap();
        assert_eq!(filter.owner, Some(UserId::from_bytes([1; 16])));
        assert_eq!((filter.title.as_deref(), filter.published), (Some("Reise"), true));
        assert_eq!(read(id).unwrap().id, filter.id);
        assert_eq!(read("all").unwrap(), ContentFilter { published: true, ..ContentFilter::default() });
    }

    #[test]
    fn other_words_are_named() {
        assert!(read("  ").unwrap_err().starts_with("query is empty"));
        assert_eq!(read(&"x".repeat(301)).unwrap_err(), "query has 301 characters, 300 allowed");
        assert_eq!(read("Part 2").unwrap().title.as_deref(), Some("Part 2"));
        for word in ["id:1", "owner:", "title:", "id:\0"] {
            assert!(read(word).unwrap_err().starts_with(&format!("query word {word:?} is none of")), "{word:?}");
        }
    }

    #[test]
    fn an_owner_sees_his_own() {
        let (me, other) = (UserId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        assert_eq!(ReprocessQuery::parse("all", me).unwrap().of(me).unwrap().filter.owner, Some(me));
        assert_eq!(ReprocessQuery::parse(&format!("owner:{other}"), me).unwrap().of(me), None);
    }
}
