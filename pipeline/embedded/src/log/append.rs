//! Putting records into partitions. In: messages and an open transaction. Out: rows at the ends of their partitions; an id
//! that its topic holds is left out.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use mcsp_domain::limits::{EVENT_HEADERS_BYTES_MAX, EVENTS_PER_APPEND_MAX};
use mcsp_events::{EventError, Message};
use mcsp_runtime::LogError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, SqliteConnection};

use super::Fault;
use super::position::{OFFSET_END, Part, offset};
use super::topics::TopicInfo;
use crate::sqlite::{Database, Durability};

/// A record on its way into the table.
pub(super) struct NewRecord {
    pub(super) part: Part,
    /// What its topic takes once.
    pub(super) id: [u8; 16],
    pub(super) time_us: i64,
    pub(super) key: String,
    pub(super) headers: String,
    pub(super) payload: Vec<u8>,
}

/// Records that go in together, with the strictest durability of their topics.
pub(super) struct Batch {
    pub(super) records: Vec<NewRecord>,
    pub(super) durability: Durability,
}

impl Batch {
    /// Checks messages against the limits and finds their partitions. `topic` looks a name up.
    pub(super) fn of(
        messages: Vec<Message>,
        topic: impl Fn(&Message) -> Option<Arc<TopicInfo>>,
    ) -> Result<Self, LogError> {
        if messages.len() > EVENTS_PER_APPEND_MAX {
            let what = format!("{} events in one append, {EVENTS_PER_APPEND_MAX} allowed", messages.len());
            return Err(LogError::Misused { what });
        }
        let mut batch = Self { records: Vec::with_capacity(messages.len()), durability: Durability::Process };
        for message in messages {
            message.check()?;
            let info = topic(&message).ok_or_else(|| LogError::UnknownTopic { topic: message.topic.to_string() })?;
            let part = Part { topic: info.id, part: message.partition(info.partitions) };
            batch.durability = batch.durability.max(info.durability);
            batch.records.push(NewRecord {
                part,
                id: *message.headers.id.as_bytes(),
                time_us: message.headers.time_us,
                headers: headers_text(&message)?,
                key: message.key,
                payload: message.payload,
            });
        }
        Ok(batch)
    }
}

fn headers_text(message: &Message) -> Result<String, EventError> {
    // Headers are a struct of numbers and text: nothing in them can fail to serialise.
    let text = serde_json::to_string(&message.headers).unwrap_or_default();
    if text.len() > EVENT_HEADERS_BYTES_MAX {
        let (topic, max) = (format!("{} (headers)", message.topic), EVENT_HEADERS_BYTES_MAX);
        return Err(EventError::Oversized { topic, len_bytes: text.len(), max });
    }
    Ok(text)
}

/// The ends of partitions, as an append left them.
pub(super) type Ends = Vec<(Part, u64)>;

/// Inserts records in their order and returns the new ends of the partitions that grew.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    records: Vec<NewRecord>,
    now_us: i64,
) -> Result<Ends, Fault> {
    let records = leave_out_known(&mut *connection, records).await?;
    let mut next = reserve(&mut *connection, &records).await?;
    if next.is_empty() {
        return Ok(Ends::new());
    }
    let mut rest = records.into_iter();
    while rest.len() > 0 {
        // Few lengths, so that each has its prepared statement.
        let (rows, sql) = match rest.len() {
            64.. => (64, INSERT_64.as_str()),
            8.. => (8, INSERT_8.as_str()),
            _ => (1, INSERT_1.as_str()),
        };
        let mut arguments = SqliteArguments::default();
        for record in rest.by_ref().take(rows) {
            let Some(at) = next.get_mut(&record.part) else {
                unreachable!("every partition of the batch was reserved")
            };
            bind(&mut arguments, record, *at, now_us).map_err(sqlx::Error::Encode)?;
            *at += 1;
        }
        sqlx::query_with(sql, arguments).execute(&mut *connection).await?;
    }
    Ok(next.into_iter().collect())
}

/// The whole transaction of a record that comes alone: one trip where a batch takes five.
const APPEND_ONE: &str = "BEGIN IMMEDIATE;
    UPDATE part SET next = next + 1 WHERE topic = ?1 AND part = ?2
        AND NOT EXISTS (SELECT 1 FROM record WHERE topic = ?1 AND id = ?3);
    INSERT INTO record (pos, stored_us, time_us, topic, id, key, headers, payload)
        SELECT ?4 + next - 1, ?5, ?6, ?1, ?3, ?7, ?8, ?9 FROM part WHERE topic = ?1 AND part = ?2 AND changes() = 1
        RETURNING pos;
    COMMIT";

/// Appends one record in a transaction of its own, unless its topic holds the id, and returns the new end of its partition.
pub(super) async fn append_one(
    database: &Database,
    durability: Durability,
    record: NewRecord,
    now_us: i64,
) -> Result<Ends, Fault> {
    let part = record.part;
    let bound = || {
        use sqlx::Arguments;
        let mut arguments = SqliteArguments::default();
        arguments.add(part.topic)?;
        arguments.add(part.part)?;
        arguments.add(record.id.to_vec())?;
        arguments.add(part.row(0))?;
        arguments.add(now_us)?;
        arguments.add(record.time_us)?;
        arguments.add(record.key)?;
        arguments.add(record.headers)?;
        arguments.add(record.payload)?;
        Ok(arguments)
    };
    let arguments = bound().map_err(sqlx::Error::Encode)?;
    let rows = database.write_at_once(durability, APPEND_ONE, arguments).await?;
    let Some(row) = rows.first() else { return Ok(Ends::new()) };
    let (stored, at) = Part::of_row(row.try_get(0)?);
    // A batch is refused before; here the neighbour's first row says that the partition ran over.
    check_end(part, if stored == part { at + 1 } else { OFFSET_END + 1 })?;
    Ok(vec![(part, at + 1)])
}

fn bind(
    arguments: &mut SqliteArguments,
    record: NewRecord,
    at: u64,
    now_us: i64,
) -> Result<(), sqlx::error::BoxDynError> {
    use sqlx::Arguments;
    arguments.add(record.part.row(at))?;
    arguments.add(now_us)?;
    arguments.add(record.time_us)?;
    arguments.add(record.part.topic)?;
    arguments.add(record.id.to_vec())?;
    arguments.add(record.key)?;
    arguments.add(record.headers)?;
    arguments.add(record.payload)
}

static INSERT_1: LazyLock<String> = LazyLock::new(|| insert_sql(1));
static INSERT_8: LazyLock<String> = LazyLock::new(|| insert_sql(8));
static INSERT_64: LazyLock<String> = LazyLock::new(|| insert_sql(64));

fn insert_sql(rows: usize) -> String {
    let values = vec!["(?, ?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!("INSERT INTO record (pos, stored_us, time_us, topic, id, key, headers, payload) VALUES {values}")
}

/// Drops records whose id their topic holds, and repetitions within the batch.
async fn leave_out_known(
    connection: &mut SqliteConnection,
    mut records: Vec<NewRecord>,
) -> Result<Vec<NewRecord>, sqlx::Error> {
    let mut by_topic: BTreeMap<i64, String> = BTreeMap::new();
    let mut seen = HashSet::with_capacity(records.len());
    records.retain(|record| seen.insert((record.part.topic, record.id)));
    for record in &records {
        let list = by_topic.entry(record.part.topic).or_default();
        list.push_str(if list.is_empty() { "[\"" } else { "\",\"" });
        for byte in record.id {
            // Writing to a string cannot fail.
            let _ = write!(list, "{byte:02x}");
        }
    }
    seen.clear();
    for (topic, mut list) in by_topic {
        list.push_str("\"]");
        let sql = "SELECT id FROM record WHERE topic = ?1 AND id IN (SELECT unhex(value) FROM json_each(?2))";
        for row in sqlx::query(sql).bind(topic).bind(list).fetch_all(&mut *connection).await? {
            let id: &[u8] = row.try_get(0)?;
            seen.extend(<[u8; 16]>::try_from(id).ok().map(|id| (topic, id)));
        }
    }
    if !seen.is_empty() {
        records.retain(|record| !seen.contains(&(record.part.topic, record.id)));
    }
    Ok(records)
}

/// Moves the ends of the partitions, and returns where each one's new records begin.
async fn reserve(connection: &mut SqliteConnection, records: &[NewRecord]) -> Result<BTreeMap<Part, u64>, Fault> {
    let mut counts: BTreeMap<Part, u64> = BTreeMap::new();
    if records.is_empty() {
        return Ok(counts);
    }
    for record in records {
        *counts.entry(record.part).or_default() += 1;
    }
    let list: Vec<_> = counts.iter().map(|(part, count)| (part.topic, part.part, count)).collect();
    let sql = "UPDATE part SET next = next + (j.value ->> 2) FROM json_each(?1) AS j
               WHERE part.topic = (j.value ->> 0) AND part.part = (j.value ->> 1)
               RETURNING topic, part, next";
    let mut starts = BTreeMap::new();
    for row in sqlx::query(sql).bind(json(&list)).fetch_all(connection).await? {
        let part = Part { topic: row.try_get(0)?, part: super::position::partition(row.try_get(1)?) };
        let end = offset(row.try_get(2)?);
        check_end(part, end)?;
        let count = counts.get(&part).copied().unwrap_or(0);
        starts.insert(part, end.saturating_sub(count));
    }
    if starts.len() != counts.len() {
        let what = "a topic lost partitions while it was written to".to_owned();
        return Err(Fault::Log(LogError::Misused { what }));
    }
    Ok(starts)
}

fn check_end(part: Part, end: u64) -> Result<(), Fault> {
    if end > OFFSET_END {
        let what = format!("partition {} of topic {} is full at offset {OFFSET_END}", part.part, part.topic);
        return Err(Fault::Log(LogError::Misused { what }));
    }
    Ok(())
}

/// Writes a list as an argument for `json_each`, so that a statement keeps its text whatever the list's length.
pub(super) fn json<T: serde::Serialize>(list: &[T]) -> String {
    // Lists of numbers and text: nothing in them can fail to serialise.
    serde_json::to_string(list).unwrap_or_default()
}
