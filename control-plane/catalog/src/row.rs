//! Values as the common subset of the engines has them: words as text, counts as signed integers.

use std::fmt::Display;
use std::str::FromStr;

/// Reads a word or an id; the fault names the text.
pub(crate) fn word<W: FromStr<Err: Display>>(text: &str) -> Result<W, String> {
    text.parse().map_err(|error: W::Err| error.to_string())
}

/// Writes a count; none that we count comes near the end of the column.
pub(crate) fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Reads a count; the fault names the column.
pub(crate) fn read_integer(column: &str, value: i64) -> Result<u64, String> {
    u64::try_from(value).map_err(|_| format!("{column} is {value}"))
}
