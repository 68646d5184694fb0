//! Records as brokers carry them. In: messages and records of the port. Out: keys, headers and payloads, and back.

use std::sync::Arc;

use mcsp_domain::EventId;
use mcsp_domain::limits::{ERROR_CHARS_MAX, EVENT_HEADERS_BYTES_MAX};
use mcsp_events::{DeadLetter, EventError, GroupName, Headers, Message, TopicName};
use mcsp_runtime::{LogError, Record, now_us};
use rdkafka::Message as _;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, OwnedHeaders};

/// Where a record that was set aside lay: `topic:partition:offset`, the key in the group's topic.
const KEY: &str = "mcsp_key";
const ATTEMPT: &str = "mcsp_attempt";
const NOT_BEFORE: &str = "mcsp_not_before_us";
const EPOCH: &str = "mcsp_epoch";
const ERROR: &str = "mcsp_error";

/// A record on its way to a broker.
pub(super) struct Outbound {
    /// The topic under the namespace.
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) key: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Nothing takes back what lies under the key.
    pub(super) payload: Option<Vec<u8>>,
    /// The event's id, where its topic takes ids once.
    pub(super) id: Option<EventId>,
}

impl Outbound {
    /// Returns a message as its topic takes it.
    pub(super) fn of(message: Message, topic: Arc<str>, partitions: u32) -> Result<Self, EventError> {
        message.check()?;
        let headers = message.headers.pairs();
        let len_bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if len_bytes > EVENT_HEADERS_BYTES_MAX {
            let topic = format!("{} (headers)", message.topic);
            return Err(EventError::Oversized { topic, len_bytes, max: EVENT_HEADERS_BYTES_MAX });
        }
        let partition = super::client::signed_partition(message.partition(partitions));
        let (key, id) = (message.key, Some(message.headers.id));
        Ok(Self { topic, partition, key, headers, payload: Some(message.payload), id })
    }

    /// Returns what takes back whatever lies under a key.
    pub(super) fn tombstone(topic: Arc<str>, key: String) -> Self {
        Self { topic, partition: 0, key, headers: Vec::new(), payload: None, id: None }
    }

    /// Returns plain text under a key.
    pub(super) fn text(topic: Arc<str>, partition: i32, key: &str, text: String) -> Self {
        let payload = Some(text.into_bytes());
        Self { topic, partition, key: key.to_owned(), headers: Vec::new(), payload, id: None }
    }

    /// Returns a record that is set aside.
    pub(super) fn aside(topic: Arc<str>, record: &Record, aside: &Aside<'_>) -> Self {
        let mut headers = record.headers.pairs();
        headers.extend([
            (KEY, record.key.clone()),
            (ATTEMPT, aside.attempt.to_string()),
            (NOT_BEFORE, aside.not_before_us.to_string()),
            (EPOCH, aside.epoch.to_string()),
            (ERROR, cut(aside.error)),
        ]);
        let payload = Some(record.payload.clone());
        Self { topic, partition: 0, key: record.position(), headers, payload, id: None }
    }

    /// Returns a record that is given up.
    pub(super) fn dead(topic: Arc<str>, record: &Record, error: &str) -> Self {
        let mut headers = record.headers.clone();
        headers.dead = Some(DeadLetter {
            position: record.position(),
            topic: record.topic.clone(),
            attempts: record.attempt,
            at_us: now_us(),
            error: cut(error),
        });
        let mut headers = headers.pairs();
        headers.push((KEY, record.key.clone()));
        Self { topic, partition: 0, key: record.position(), headers, payload: Some(record.payload.clone()), id: None }
    }

    /// Returns the headers as the library takes them.
    pub(super) fn library_headers(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        headers
    }
}

/// How a record is set aside.
pub(super) struct Aside<'a> {
    pub(super) attempt: u32,
    pub(super) not_before_us: i64,
    pub(super) epoch: u64,
    pub(super) error: &'a str,
}

/// What is known of a record that was set aside, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AsideNote {
    /// Its place in the group's topic of records set aside.
    pub(super) at: u64,
    pub(super) attempt: u32,
    pub(super) not_before_us: i64,
    pub(super) time_us: i64,
    /// The group's epoch when it was written.
    pub(super) epoch: u64,
}

/// Returns a key of the topics that groups keep for themselves, taken apart.
pub(super) fn position(key: &str) -> Option<(TopicName, u32, u64)> {
    let mut parts = key.rsplitn(3, ':');
    let offset = parts.next()?.parse().ok()?;
    let partition = parts.next()?.parse().ok()?;
    Some((TopicName::parse(parts.next()?).ok()?, partition, offset))
}

/// Returns a message's key.
pub(super) fn key<'a>(message: &'a BorrowedMessage<'_>) -> Option<&'a str> {
    std::str::from_utf8(message.key()?).ok()
}

/// Returns a message's offset.
pub(super) fn offset(message: &BorrowedMessage<'_>) -> u64 {
    u64::try_from(message.offset()).unwrap_or(0)
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let headers = message.headers()?;
    let value = headers.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok()
}

/// Returns all headers that are text.
fn pairs<'a>(message: &'a BorrowedMessage<'_>) -> Vec<(&'a str, &'a str)> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let text = headers.filter_map(|header| Some((header.key, std::str::from_utf8(header.value?).ok()?)));
    text.collect()
}

/// Reads an event's headers.
pub(super) fn event_headers(message: &BorrowedMessage<'_>) -> Result<Headers, LogError> {
    read_headers(message, &pairs(message))
}

fn read_headers(message: &BorrowedMessage<'_>, pairs: &[(&str, &str)]) -> Result<Headers, LogError> {
    Headers::from_pairs(pairs.iter().copied()).map_err(|error| {
        let place = format!("{}:{}:{}", message.topic(), message.partition(), message.offset());
        LogError::Engine { action: "read the headers of a record", source: format!("{place}: {error}").into() }
    })
}

/// Reads a record of a topic.
pub(super) fn record(message: &BorrowedMessage<'_>, topic: &TopicName) -> Result<Record, LogError> {
    let pairs = pairs(message);
    let own_key = pairs.iter().find(|(name, _)| *name == KEY).map(|(_, value)| *value);
    let key = own_key.or_else(|| key(message)).unwrap_or_default();
    Ok(Record {
        topic: topic.clone(),
        partition: u32::try_from(message.partition()).unwrap_or(0),
        offset: offset(message),
        key: key.to_owned(),
        headers: read_headers(message, &pairs)?,
        payload: message.payload().unwrap_or_default().to_vec(),
        attempt: 1,
    })
}

/// Reads what was set aside, as it was where it lay.
pub(super) fn aside_record(message: &BorrowedMessage<'_>) -> Result<Record, LogError> {
    let place = key(message).and_then(position);
    let Some((topic, partition, at)) = place else {
        let source = format!("{}:{} has no position for a key", message.topic(), message.offset()).into();
        return Err(LogError::Engine { action: "read a record that was set aside", source });
    };
    let mut found = record(message, &topic)?;
    (found.partition, found.offset) = (partition, at);
    found.attempt = header(message, ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(1);
    Ok(found)
}

/// Reads what is known of a record that was set aside.
pub(super) fn aside_note(message: &BorrowedMessage<'_>) -> Result<AsideNote, LogError> {
    let number = |name| header(message, name).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    Ok(AsideNote {
        at: offset(message),
        attempt: u32::try_from(number(ATTEMPT)).unwrap_or(1),
        not_before_us: number(NOT_BEFORE),
        time_us: event_headers(message)?.time_us,
        epoch: u64::try_from(number(EPOCH)).unwrap_or(0),
    })
}

/// Returns the key of a dead letter in its topic, and the record that it was.
pub(super) fn letter(group: &GroupName, dead: &Record) -> Result<(String, Record), LogError> {
    let misused = |what: String| LogError::Misused { what };
    let letter = dead.headers.dead.as_ref().filter(|_| dead.topic == TopicName::dead(group));
    let letter = letter.ok_or_else(|| misused(format!("record {} is no dead letter of {group}", dead.position())))?;
    let Some((topic, partition, offset)) = position(&letter.position) else {
        return Err(misused(format!("dead letter {} came from {:?}", dead.position(), letter.position)));
    };
    let mut record = dead.clone();
    (record.topic, record.partition, record.offset, record.attempt) = (topic, partition, offset, 1);
    record.headers.dead = None;
    Ok((letter.position.clone(), record))
}

/// Cuts an error at what is kept of it.
fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
