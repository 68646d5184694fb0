//! Which bytes are asked for: `Range`, `If-Range` and `If-None-Match` (RFC 9110 sections 13 and 14).

use std::ops::Range;

/// What a `Range` header asks of an object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: there is no header, or one that is not understood. Several ranges are answered so too: no player asks for
    /// them, and a multipart answer costs more than it gives.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Unsatisfiable,
}

/// Reads a `Range` header against an object's length.
pub(crate) fn select(range: Option<&str>, len_bytes: u64) -> Selection {
    let Some(text) = range else { return Selection::Whole };
    let Some((unit, spec)) = text.split_once('=') else { return Selection::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Selection::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Selection::Whole };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) => first..last.saturating_add(1).min(len_bytes),
        (Some(first), None) if last.is_empty() => first..len_bytes,
        (None, Some(suffix)) if first.is_empty() => len_bytes.saturating_sub(suffix)..len_bytes,
        _ => return Selection::Whole,
    };
    if part.start < part.end { Selection::Part(part) } else { Selection::Unsatisfiable }
}

/// Tells whether a condition names the object's tag: `*`, or a list that holds it. `weak` tags count where the answer is only
/// whether to send it (section 13.1.2), not where bytes are put together (section 13.1.5).
pub(crate) fn names_tag(condition: &str, tag: &str, weak: bool) -> bool {
    condition.split(',').map(str::trim).any(|one| {
        let one = if weak { one.strip_prefix("W/").unwrap_or(one) } else { one };
        one == tag || (weak && one == "*")
    })
}

/// Reads digits alone; a number that is too large is one that no object reaches.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_byte() {
        for (range, want) in [
            ("bytes=2-5", Selection::Part(2..6)),
            ("Bytes= 7-", Selection::Part(7..10)),
            ("bytes=-3", Selection::Part(7..10)),
            ("bytes=-30", Selection::Part(0..10)),
            ("bytes=8-99", Selection::Part(8..10)),
            ("bytes=8-99999999999999999999999", Selection::Part(8..10)),
            ("bytes=0-0", Selection::Part(0..1)),
            ("bytes=10-", Selection::Unsatisfiable),
            ("bytes=5-2", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=0-1,4-5", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=a-b", Selection::Whole),
            ("bytes=+1-2", Selection::Whole),
            ("seconds=1-2", Selection::Whole),
            ("", Selection::Whole),
        ] {
            assert_eq!(select(Some(range), 10), want, "{range}");
        }
        assert_eq!(select(None, 10), Selection::Whole);
        assert_eq!(select(Some("bytes=0-"), 0), Selection::Unsatisfiable);
    }

    #[test]
    fn weak_tags_count_where_nothing_is_put_together() {
        for (condition, weak, want) in [
            ("\"a\"", true, true),
            ("\"b\", W/\"a\"", true, true),
            ("*", true, true),
            ("\"b\"", true, false),
            ("\"a\"", false, true),
            ("W/\"a\"", false, false),
            ("*", false, false),
        ] {
            assert_eq!(names_tag(condition, "\"a\"", weak), want, "{condition}");
        }
    }
}
