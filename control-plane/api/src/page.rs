//! Pages of lists: a client asks for the items after a cursor that the last page gave, and sees each item once, whatever is
//! added meanwhile.

use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Problem;

/// Items of a page, where nothing is asked for.
const LIMIT_DEFAULT: u32 = 20;
/// Items of a page.
const LIMIT_MAX: u32 = 100;
/// Characters of a cursor.
const CURSOR_CHARS_MAX: usize = 200;

/// Which page is asked for. A handler with parameters of its own repeats the two fields in its own struct and calls
/// `after` and `limit_of`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next_cursor` of the page before.
    #[param(max_length = 200, pattern = "^[A-Za-z0-9_-]*$")]
    pub cursor: Option<String>,
    /// How many items.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
}

/// One page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// Its items.
    pub items: Vec<T>,
    /// Where the next page begins; none when this is the last.
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// Returns what the cursor holds: the place of the last item that was seen.
    ///
    /// # Errors
    /// When no page has this cursor.
    pub fn after<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        after(self.cursor.as_deref())
    }

    /// Returns how many items are asked for.
    ///
    /// # Errors
    /// When it is none, or more than 100.
    pub fn limit(&self) -> Result<u32, Problem> {
        limit_of(self.limit)
    }
}

/// As `PageQuery::after`.
///
/// # Errors
/// When no page has this cursor.
pub(crate) fn after<T: FromStr>(cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = if cursor.len() <= CURSOR_CHARS_MAX { BASE64.decode(cursor).ok() } else { None };
    let place = bytes.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    place.map(Some).ok_or_else(|| Problem::not_found("no page has this cursor"))
}

/// As `PageQuery::limit`.
///
/// # Errors
/// When it is none, or more than 100.
pub(crate) fn limit_of(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(LIMIT_DEFAULT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(Problem::invalid("limit", format!("limit is {other}, 1 to {LIMIT_MAX} allowed"))),
    }
}

impl<T> Page<T> {
    /// Makes a page of `limit` items out of up to `limit + 1`, the last of which only tells that there are more. `place`
    /// tells an item's place in the list, and is what `after` gives back.
    pub fn of<S, P: ToString>(mut found: Vec<S>, limit: u32, place: impl Fn(&S) -> P, show: impl Fn(S) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| has_more);
        let next_cursor = last.map(|last| BASE64.encode(place(last).to_string()));
        Self { items: found.into_iter().map(show).collect(), next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &PageQuery) -> Page<u32> {
        let (after, limit) = (query.after::<u32>().unwrap().unwrap_or(0), query.limit().unwrap());
        Page::of((after + 1..=7).take(limit as usize + 1).collect(), limit, |item| *item, |item| item)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let mut query = PageQuery { cursor: None, limit: Some(3) };
        let mut seen = Vec::new();
        loop {
            let page = page(&query);
            seen.extend(page.items);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_cursor_of_nobody_and_a_limit_of_too_much_are_refused() {
        for cursor in ["", "%", "AAAA", &"A".repeat(300)] {
            let query = PageQuery { cursor: Some(cursor.to_owned()), limit: None };
            assert!(query.after::<u32>().is_err(), "{cursor:?}");
        }
        assert!(limit_of(Some(0)).is_err() && limit_of(Some(101)).is_err() && limit_of(None).is_ok());
    }
}
