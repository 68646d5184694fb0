//! Arguments of handlers: a JSON body, path segments, query parameters. What cannot be read is a problem, never a panic.

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Problem;

/// Bytes of a JSON body.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Every integer below it is a double.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// A JSON object. Its type must derive `Deserialize` with `deny_unknown_fields`.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The variable segments of a path: one value, or a tuple of them. What is none is not found.
#[derive(Debug)]
pub struct Segments<T>(pub T);

/// The query's parameters.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX).await.map_err(|_| too_large())?;
        read(&bytes).map(Body)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found("no resource has this path")),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(error) => Err(Problem::invalid("query", error.body_text())),
        }
    }
}

/// 413.
pub(crate) fn too_large() -> Problem {
    let detail = format!("the body has more than {BODY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

/// Checks a text of one line: its length in characters, and that no character is a control character.
///
/// The schema's pattern for it is `^[^\u0000-\u001F\u007F-\u009F\u2028\u2029]*$` with `min_length` and `max_length`.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn check_line(field: &'static str, text: &str, min: usize, max: usize) -> Result<(), Problem> {
    let is_bad = |c: char| c.is_control() || ('\u{2028}'..='\u{2029}').contains(&c);
    if (min..=max).contains(&text.chars().count()) && !text.chars().any(is_bad) {
        return Ok(());
    }
    Err(Problem::invalid(
        field,
        format!("{field} must have {min} to {max} characters, none of them a control character"),
    ))
}

/// Checks a text of several lines: its length in characters, and that no character but a tab, a line feed or a carriage
/// return is a control character.
///
/// The schema's pattern for it is `^[^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*$` with `max_length`.
///
/// # Errors
/// A problem that names the field.
pub(crate) fn check_prose(field: &'static str, text: &str, max: usize) -> Result<(), Problem> {
    if text.chars().count() <= max && !text.chars().any(|c| c.is_control() && !"\t\n\r".contains(c)) {
        return Ok(());
    }
    Err(Problem::invalid(field, format!("{field} must have up to {max} characters, none of them a control character")))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("the body must be application/json, and the request says {given:?}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would read a list into the fields of a struct, in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Problem::malformed("the body is no JSON object"));
    }
    serde_json::from_slice(bytes).or_else(|error| {
        // Some errors of types count as errors of syntax there: what is JSON at all is decided by a second look.
        let mut value = match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => value,
            Err(error) => return Err(Problem::malformed(format!("the body is no JSON: {error}"))),
        };
        let fault = Problem::invalid("body", error.to_string());
        if make_integers(&mut value) { serde_json::from_value(value).map_err(|_| fault) } else { Err(fault) }
    })
}

/// Writes numbers such as `2.0` as integers: JSON Schema has them for integers (section 6.1.1 of its validation), serde has
/// not. Returns whether there were any.
fn make_integers(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            // Digits that a double holds exactly, which are those that it was read from.
            let whole =
                number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT_MAX);
            let text = whole.map(|float| format!("{float:.0}"));
            let integer = text.and_then(|text| text.parse::<i64>().ok());
            if let Some(integer) = integer {
                *value = integer.into();
            }
            integer.is_some()
        }
        Value::Array(items) => items.iter_mut().fold(false, |any, item| make_integers(item) | any),
        Value::Object(fields) => fields.values_mut().fold(false, |any, item| make_integers(item) | any),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        _a: u8,
        _b: String,
    }

    #[derive(Debug, Deserialize)]
    struct Word {
        _word: mcsp_domain::UserRole,
    }

    fn refusal(text: &[u8]) -> String {
        format!("{:?}", read::<Pair>(text).unwrap_err())
    }

    #[test]
    fn what_is_no_such_object_is_told_apart() {
        assert!(read::<Pair>(br#" {"_a":1,"_b":"x"} "#).is_ok());
        assert!(read::<Pair>(br#"{"_a":2.0,"_b":"x"}"#).is_ok() && read::<Pair>(br#"{"_a":1e2,"_b":"x"}"#).is_ok());
        for text in [&br#"{"_a":2.5,"_b":"x"}"#[..], br#"{"_a":-2.0,"_b":"x"}"#, br#"{"_a":2.0}"#] {
            assert!(refusal(text).contains("invalid-field"), "{}", refusal(text));
        }
        for text in [&b""[..], b"[1,\"x\"]", b"null", b"{", b"\xff", br#"{"_a":1,"_b":"\ud800"}"#] {
            assert!(refusal(text).contains("malformed-request"), "{}", refusal(text));
        }
        for text in
            [&br#"{"_a":256,"_b":"x"}"#[..], br#"{"_a":1}"#, br#"{"_a":1,"_b":"x","c":2}"#, br#"{"_a":1e400,"_b":"x"}"#]
        {
            assert!(!refusal(text).contains("500"), "{}", refusal(text));
        }
        let null = format!("{:?}", read::<Word>(br#"{"_word":null}"#).unwrap_err());
        assert!(null.contains("invalid-field"), "{null}");
    }

    #[test]
    fn texts_are_checked() {
        assert!(check_line("title", "Über Ada ✨", 1, 80).is_ok() && check_prose("description", "a\nb", 3).is_ok());
        assert!(check_line("title", "a\nb", 1, 80).is_err() && check_line("title", "", 1, 80).is_err());
        assert!(check_prose("description", "a\0", 80).is_err() && check_prose("description", "abcd", 3).is_err());
    }
}
