//! Reading what a member may hand out. In: free partitions of a member. Out: rows of each, oldest events first where there
//! are more than are asked for. A partition gives either what was set aside and is due, or what is fresh.

use std::collections::BTreeSet;

use futures_util::{FutureExt, Stream, StreamExt};
use mcsp_events::{Headers, TopicName};
use mcsp_runtime::{LogError, Record};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::Fault;
use super::append::json;
use super::hand::Source;
use super::position::{Part, offset, partition};

/// Bytes of payloads that one call reads, but for the last record: what a process keeps in memory for a batch.
const READ_BYTES_MAX: usize = 64 << 20;
/// Looks for a row before sleeping: about as long as SQLite takes for a few rows.
const ROW_TRIES: u32 = 30;

/// A free partition that has something.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) part: Part,
    pub(super) generation: i64,
    /// When the first record that was set aside was due, where that time has come.
    pub(super) due_us: Option<i64>,
    /// Where the search for fresh records begins.
    pub(super) from: u64,
    /// The partition's end.
    pub(super) until: u64,
    /// Offsets that are settled already.
    pub(super) settled: BTreeSet<u64>,
}

/// What was read of a partition.
#[derive(Debug)]
pub(super) struct Lot {
    pub(super) part: Part,
    pub(super) generation: i64,
    pub(super) rows: Vec<Fetched>,
    /// Nothing fresh lies below, where no row was found.
    pub(super) searched: u64,
    /// The due time for which nothing was found.
    pub(super) nothing_due_at: Option<i64>,
}

/// A record as it was read.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) part: Part,
    pub(super) offset: u64,
    pub(super) attempt: u32,
    pub(super) source: Source,
    key: String,
    headers: Headers,
    payload: Vec<u8>,
}

impl Fetched {
    /// Reads the columns `key, headers, payload` that begin at `first`.
    fn read(row: &SqliteRow, first: usize, part: Part, at: u64, attempt: u32, source: Source) -> Result<Self, Fault> {
        let headers: &str = row.try_get(first + 1)?;
        let headers = serde_json::from_str(headers).map_err(|error| {
            let name = format!("{}:{}:{at}", part.topic, part.part);
            Fault::Log(LogError::Engine {
                action: "read the headers of a record",
                source: format!("{name}: {error}").into(),
            })
        })?;
        let (key, payload) = (row.try_get(first)?, row.try_get(first + 2)?);
        Ok(Self { part, offset: at, attempt, source, key, headers, payload })
    }

    pub(super) fn into_record(self, topic: TopicName) -> Record {
        Record {
            topic,
            partition: self.part.part,
            offset: self.offset,
            key: self.key,
            headers: self.headers,
            payload: self.payload,
            attempt: self.attempt,
        }
    }
}

/// How much a call asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub(super) max: usize,
    pub(super) per_partition: usize,
    pub(super) now_us: i64,
}

/// Reads what is due of the records that were set aside, then what is fresh.
pub(super) async fn fetch(
    connection: &mut SqliteConnection,
    group: i64,
    candidates: &[Candidate],
    measure: Measure,
) -> Result<Vec<Lot>, Fault> {
    let (due, fresh): (Vec<&Candidate>, Vec<&Candidate>) =
        candidates.iter().partition(|candidate| candidate.due_us.is_some());
    let mut lots = if due.is_empty() { Vec::new() } else { fetch_due(&mut *connection, group, &due, measure).await? };
    let taken: usize = lots.iter().map(|lot| lot.rows.len()).sum();
    let left = Measure { max: measure.max.saturating_sub(taken), ..measure };
    if left.max > 0 && !fresh.is_empty() {
        lots.extend(fetch_fresh(connection, &fresh, left).await?);
    }
    Ok(lots)
}

async fn fetch_due(
    connection: &mut SqliteConnection,
    group: i64,
    candidates: &[&Candidate],
    measure: Measure,
) -> Result<Vec<Lot>, Fault> {
    let list: Vec<_> = candidates.iter().map(|candidate| (candidate.part.topic, candidate.part.part)).collect();
    let sql = "SELECT d.topic, d.part, d.id, d.off, d.attempt, d.key, d.headers, d.payload
               FROM json_each(?1) AS j CROSS JOIN delayed AS d
                   ON d.crew = ?2 AND d.topic = (j.value ->> 0) AND d.part = (j.value ->> 1) AND d.due_us <= ?3
               ORDER BY d.time_us, d.off LIMIT ?4";
    let limit = i64::try_from(measure.max).unwrap_or(i64::MAX);
    let query = sqlx::query(sql).bind(json(&list)).bind(group).bind(measure.now_us).bind(limit);
    let mut lots: Vec<Lot> = candidates.iter().map(|candidate| Lot::empty(candidate)).collect();
    let (mut read, mut bytes) = (0, 0);
    let mut cut = false;
    let mut rows = query.fetch(connection);
    while let Some(row) = next_row(&mut rows).await? {
        read += 1;
        let part = Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) };
        let Some(lot) = lots.iter_mut().find(|lot| lot.part == part) else { continue };
        lot.nothing_due_at = None;
        if lot.rows.len() == measure.per_partition {
            continue;
        }
        let (at, attempt) = (offset(row.try_get(3)?), partition(row.try_get(4)?));
        let fetched = Fetched::read(&row, 5, part, at, attempt, Source::Delayed(row.try_get(2)?))?;
        bytes += fetched.payload.len();
        lot.rows.push(fetched);
        if bytes >= READ_BYTES_MAX {
            cut = true;
            break;
        }
    }
    // Rows that were read, not those that were kept: the limit is on the former.
    if cut || read >= measure.max {
        // The rows of some partitions may lie behind the cut.
        lots.iter_mut().for_each(|lot| lot.nothing_due_at = None);
    }
    Ok(lots)
}

async fn fetch_fresh(
    connection: &mut SqliteConnection,
    candidates: &[&Candidate],
    measure: Measure,
) -> Result<Vec<Lot>, Fault> {
    let ranges = match candidates {
        [only] => vec![(*only, only.from)],
        several => oldest_first(&mut *connection, several).await?,
    };
    let found: BTreeSet<Part> = ranges.iter().map(|(candidate, _)| candidate.part).collect();
    let without = candidates.iter().filter(|candidate| !found.contains(&candidate.part));
    let mut lots: Vec<Lot> =
        without.map(|candidate| Lot { searched: candidate.until, ..Lot::empty(candidate) }).collect();
    let mut left = measure.max;
    let mut bytes = 0;
    for (candidate, from) in ranges {
        if left == 0 || bytes >= READ_BYTES_MAX {
            break;
        }
        let lot = fetch_part(&mut *connection, candidate, from, left.min(measure.per_partition), &mut bytes).await?;
        left = left.saturating_sub(lot.rows.len());
        lots.push(lot);
    }
    Ok(lots)
}

/// Finds the first record of each partition and sorts the partitions by its time.
async fn oldest_first<'a>(
    connection: &mut SqliteConnection,
    candidates: &[&'a Candidate],
) -> Result<Vec<(&'a Candidate, u64)>, Fault> {
    let list: Vec<_> = candidates
        .iter()
        .map(|candidate| (candidate.part.row(candidate.from), candidate.part.row(candidate.until)))
        .collect();
    let sql = "SELECT j.key, r.pos, r.time_us FROM json_each(?1) AS j CROSS JOIN record AS r ON r.pos =
                   (SELECT pos FROM record WHERE pos >= (j.value ->> 0) AND pos < (j.value ->> 1) ORDER BY pos LIMIT 1)";
    let mut heads = Vec::with_capacity(candidates.len());
    for row in sqlx::query(sql).bind(json(&list)).fetch_all(connection).await? {
        let index = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(usize::MAX);
        let Some(candidate) = candidates.get(index) else { continue };
        let from = Part::of_row(row.try_get(1)?).1;
        let time_us: i64 = row.try_get(2)?;
        heads.push((time_us, from, candidate.part, *candidate));
    }
    heads.sort_by_key(|(time_us, from, part, _)| (*time_us, *from, *part));
    Ok(heads.into_iter().map(|(_, from, _, candidate)| (candidate, from)).collect())
}

async fn fetch_part(
    connection: &mut SqliteConnection,
    candidate: &Candidate,
    from: u64,
    max: usize,
    bytes: &mut usize,
) -> Result<Lot, Fault> {
    let part = candidate.part;
    let mut lot = Lot { searched: candidate.until, ..Lot::empty(candidate) };
    let sql = "SELECT pos, key, headers, payload FROM record WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT ?";
    let limit = i64::try_from(max.saturating_add(candidate.settled.len())).unwrap_or(i64::MAX);
    let query = sqlx::query(sql).bind(part.row(from)).bind(part.row(candidate.until)).bind(limit);
    let mut rows = query.fetch(connection);
    while let Some(row) = next_row(&mut rows).await? {
        let (_, at) = Part::of_row(row.try_get(0)?);
        if candidate.settled.contains(&at) {
            continue;
        }
        let fetched = Fetched::read(&row, 1, part, at, 1, Source::Fresh)?;
        *bytes += fetched.payload.len();
        lot.rows.push(fetched);
        if lot.rows.len() == max || *bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(lot)
}

/// Reads records of one partition outside of any group.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    part: Part,
    from: u64,
    max: usize,
) -> Result<Vec<Fetched>, Fault> {
    let everything = Candidate {
        part,
        generation: 0,
        due_us: None,
        from,
        until: super::position::OFFSET_END,
        settled: BTreeSet::new(),
    };
    Ok(fetch_part(connection, &everything, from, max, &mut 0).await?.rows)
}

/// Waits for a row, busy for some microseconds before it sleeps. Rows come from SQLite's thread one by one, as fast as they
/// are read here: to sleep and be woken for each would cost more than the row.
async fn next_row<S>(rows: &mut S) -> Result<Option<SqliteRow>, sqlx::Error>
where
    S: Stream<Item = Result<SqliteRow, sqlx::Error>> + Unpin,
{
    for _ in 0..ROW_TRIES {
        if let Some(row) = rows.next().now_or_never() {
            return row.transpose();
        }
        tokio::task::yield_now().await;
    }
    rows.next().await.transpose()
}

impl Lot {
    fn empty(candidate: &Candidate) -> Self {
        let (part, generation, nothing_due_at) = (candidate.part, candidate.generation, candidate.due_us);
        Self { part, generation, rows: Vec::new(), searched: 0, nothing_due_at }
    }
}
