//! The wall clock, where a loop or an engine needs it. Pure rooms take the time as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time, microseconds since 1970; a clock set before that reads 0.
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
