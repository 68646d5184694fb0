//! What an event carries beside its payload: CloudEvents 1.0 attributes in the Kafka protocol binding's binary mode
//! (`ce_` headers), the trace context of its cause (W3C Trace Context), and who did the work when.

use mcsp_domain::EventId;
use serde::{Deserialize, Serialize};

use crate::{EventError, TopicName};

/// The version of CloudEvents that the attributes follow.
const SPEC_VERSION: &str = "1.0";
/// What stands before a topic's name in an event's type.
const TYPE_PREFIX: &str = "mcsp.";

/// A `traceparent` of W3C Trace Context level 1, version 00.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent(String);

impl TraceParent {
    /// Checks and wraps a header's text: `00-<32 hex>-<16 hex>-<2 hex>`, ids not all zero.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, span, flags] = parts[..] else { return None };
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let id = |part: &str, len: usize| hex(part, len) && part.bytes().any(|byte| byte != b'0');
        (version == "00" && id(trace, 32) && id(span, 16) && hex(flags, 2)).then(|| Self(text.to_owned()))
    }

    /// Makes one from ids.
    pub fn new(trace_id: u128, span_id: u64, sampled: bool) -> Option<Self> {
        Self::parse(&format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(sampled)))
    }

    /// Returns the header's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the trace id, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.0
    }
}

impl TryFrom<String> for TraceParent {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no traceparent of version 00"))
    }
}

/// An event's headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers {
    /// The event's id: the log takes an id once.
    pub id: EventId,
    /// The type without version, which is the name of its first topic: `media.upload.completed`.
    pub kind: String,
    /// The version of the payload's shape.
    pub version: u32,
    /// Who said it: a stage's or service's name.
    pub source: String,
    /// When it was said, microseconds since 1970.
    pub time_us: i64,
    /// The trace that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// The event that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<EventId>,
    /// The process that did the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The number of the run that did the work, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When that run began, microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_us: Option<i64>,
    /// Why and where a group gave the record up; on dead letters alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead: Option<DeadLetter>,
}

/// What a dead letter says of its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Where the record lay: `topic:partition:offset`.
    pub position: String,
    /// The topic of it.
    pub topic: TopicName,
    /// Runs that were made.
    pub attempts: u32,
    /// When it was given up, microseconds since 1970.
    pub at_us: i64,
    /// Why, cut at `ERROR_CHARS_MAX`.
    pub error: String,
}

impl Headers {
    /// Returns the headers as a broker carries them.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("ce_specversion", SPEC_VERSION.to_owned()),
            ("ce_id", self.id.to_string()),
            ("ce_type", format!("{TYPE_PREFIX}{}.v{}", self.kind, self.version)),
            ("ce_source", format!("/{}", self.source)),
            ("ce_time", rfc3339(self.time_us)),
            ("content-type", "application/json".to_owned()),
        ];
        let optional = [
            ("ce_traceparent", self.traceparent.as_ref().map(|parent| parent.as_str().to_owned())),
            ("ce_cause", self.cause.map(|cause| cause.to_string())),
            ("ce_worker", self.worker.clone()),
            ("ce_attempt", self.attempt.map(|attempt| attempt.to_string())),
            ("ce_started", self.started_us.map(rfc3339)),
            ("ce_dead", self.dead.as_ref().and_then(|dead| serde_json::to_string(dead).ok())),
        ];
        pairs.extend(optional.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))));
        pairs
    }

    /// Reads the headers that a broker carried; unknown ones are left out.
    ///
    /// # Errors
    /// When a required attribute is missing or one does not parse.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self, EventError> {
        let pairs: std::collections::BTreeMap<&str, &str> = pairs.collect();
        let reader = Reader { pairs: &pairs };
        if reader.text("ce_specversion")? != SPEC_VERSION {
            return Err(reader.fault("ce_specversion", "1.0"));
        }
        let kind = reader.text("ce_type")?;
        let versioned = kind.strip_prefix(TYPE_PREFIX).and_then(|kind| kind.rsplit_once(".v"));
        let (kind, version) = versioned.ok_or_else(|| reader.fault("ce_type", "mcsp.<topic>.v<version>"))?;
        Ok(Self {
            id: reader.required("ce_id", "a UUID", |text| EventId::parse(text).ok())?,
            kind: kind.to_owned(),
            version: version.parse().map_err(|_| reader.fault("ce_type", "mcsp.<topic>.v<version>"))?,
            source: reader.required("ce_source", "/<name>", |text| text.strip_prefix('/').map(str::to_owned))?,
            time_us: reader.required("ce_time", "a time of RFC 3339", from_rfc3339)?,
            traceparent: reader.optional("ce_traceparent", "a traceparent", TraceParent::parse)?,
            cause: reader.optional("ce_cause", "a UUID", |text| EventId::parse(text).ok())?,
            worker: reader.optional("ce_worker", "text", |text| Some(text.to_owned()))?,
            attempt: reader.optional("ce_attempt", "a number", |text| text.parse().ok())?,
            started_us: reader.optional("ce_started", "a time of RFC 3339", from_rfc3339)?,
            dead: reader.optional("ce_dead", "a dead letter's JSON", |text| serde_json::from_str(text).ok())?,
        })
    }
}

struct Reader<'a> {
    pairs: &'a std::collections::BTreeMap<&'a str, &'a str>,
}

impl<'a> Reader<'a> {
    fn text(&self, name: &'static str) -> Result<&'a str, EventError> {
        self.pairs.get(name).copied().ok_or_else(|| self.fault(name, "a value"))
    }

    fn required<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, EventError> {
        read(self.text(name)?).ok_or_else(|| self.fault(name, expected))
    }

    fn optional<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, EventError> {
        if self.pairs.contains_key(name) { self.required(name, expected, read).map(Some) } else { Ok(None) }
    }

    fn fault(&self, name: &'static str, expected: &'static str) -> EventError {
        let value = self.pairs.get(name).copied().unwrap_or_default();
        EventError::Header { name, value: value.chars().take(100).collect(), expected }
    }
}

/// Writes microseconds since 1970 as RFC 3339; a time that no calendar holds becomes 1970.
fn rfc3339(time_us: i64) -> String {
    jiff::Timestamp::from_microsecond(time_us).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

fn from_rfc3339(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        Headers {
            id: EventId::derived(&[b"test"]),
            kind: "media.upload.completed".to_owned(),
            version: 1,
            source: "upload-ingestor".to_owned(),
            time_us: 1_760_000_000_123_456,
            traceparent: TraceParent::new(0xabc, 0xdef, true),
            cause: Some(EventId::derived(&[b"cause"])),
            worker: Some("host-1".to_owned()),
            attempt: Some(2),
            started_us: Some(1_760_000_000_000_000),
            dead: None,
        }
    }

    #[test]
    fn a_broker_gives_back_what_it_was_given() {
        let pairs = headers().pairs();
        let read = Headers::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str()))).unwrap();
        assert_eq!(read, headers());
        let time = pairs.iter().find(|(name, _)| *name == "ce_time").unwrap();
        assert_eq!(time.1, "2025-10-09T08:53:20.123456Z");
    }

    #[test]
    fn a_missing_or_wrong_attribute_is_named() {
        let mut pairs = headers().pairs();
        pairs.retain(|(name, _)| *name != "ce_id");
        let error = Headers::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str()))).unwrap_err();
        assert_eq!(error.to_string(), "event header ce_id is \"\", expected a value");
        let wrong = pairs.iter().map(|(name, value)| (*name, if *name == "ce_type" { "other" } else { value }));
        let error = Headers::from_pairs(wrong).unwrap_err();
        assert_eq!(error.to_string(), "event header ce_type is \"other\", expected mcsp.<topic>.v<version>");
    }

    #[test]
    fn only_version_00_with_real_ids_is_a_traceparent() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceParent::parse(good).unwrap().trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        for text in ["", "00", zero, &good.to_uppercase(), &good.replace("00-", "ff-"), &format!("{good}-x")] {
            assert_eq!(TraceParent::parse(text), None, "{text:?} was taken");
        }
    }
}
