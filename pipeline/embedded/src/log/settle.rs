//! Settling records: what follows from them, their offsets, their rows in the ledger and their dead letters, in one
//! transaction that only the owner of their partitions can commit.

use std::sync::Arc;

use mcsp_domain::EventId;
use mcsp_domain::limits::ERROR_CHARS_MAX;
use mcsp_events::{DeadLetter, Message, TopicName};
use mcsp_runtime::{LedgerEntry, LogError, Record, now_us};
use sqlx::{Row, SqliteConnection};

use super::Fault;
use super::append::{self, Batch, Ends, NewRecord, json};
use super::member::{Member, Moves};
use super::position::{Part, partition};
use crate::ttl::mark_done;

/// Records and what becomes of them.
pub(super) struct Settling {
    pub(super) records: Vec<Record>,
    pub(super) outputs: Vec<Message>,
    pub(super) fate: Fate,
}

/// What becomes of a record.
pub(super) enum Fate {
    /// It is handled.
    Done,
    /// It is set aside.
    Later { due_us: i64, error: String },
    /// It is given up.
    Dead { error: String },
}

/// When the first record that was set aside is due, by partition.
type Due = Vec<(Part, Option<i64>)>;

/// Settles records; nothing is visible where it fails.
pub(super) async fn settle(member: Arc<Member>, settling: Settling) -> Result<(), LogError> {
    let Settling { records, outputs, fate } = settling;
    let action = match fate {
        Fate::Done => "complete records",
        Fate::Later { .. } => "set a record aside",
        Fate::Dead { .. } => "give a record up",
    };
    let batch = prepare(&member, &records, outputs, &fate).await?;
    let _alone = member.settling.lock().await;
    let moves = match member.plan(&records) {
        Err(fenced @ LogError::Fenced { .. }) => {
            member.forget_lost(&records);
            return Err(fenced);
        }
        moves => moves?,
    };
    match write(&member, &records, &moves, batch, &fate).await {
        Ok((ends, due)) => {
            member.settle(&records, &moves, &due);
            if !ends.is_empty() {
                member.log.pulse.grew(&ends);
                member.log.process.announce();
            }
            // The records are settled: what fails here is made good by the next look.
            let _ = member.hand_over().await;
            Ok(())
        }
        Err(fault) => {
            let error = member.log.failed(action, fault);
            if matches!(error, LogError::Fenced { .. }) {
                // The rights that the database refused are gone already, whether or not the look succeeds.
                let _ = member.reload_alone().await;
                member.forget_lost(&records);
            }
            Err(error)
        }
    }
}

/// Checks the outputs, and adds the dead letter.
async fn prepare(member: &Member, records: &[Record], outputs: Vec<Message>, fate: &Fate) -> Result<Batch, LogError> {
    let mut batch = member.log.batch(outputs).await?;
    if let Fate::Dead { error } = fate {
        let topic = member.log.topic(&TopicName::dead(&member.group)).await?;
        batch.durability = batch.durability.max(topic.durability);
        let part = Part { topic: topic.id, part: 0 };
        batch.records.extend(records.iter().map(|record| dead_letter(record, part, error)));
    }
    Ok(batch)
}

/// Writes a record as a dead letter. Its place takes one letter at a time: the row's id is made of the position.
fn dead_letter(record: &Record, part: Part, error: &str) -> NewRecord {
    let mut headers = record.headers.clone();
    headers.dead = Some(DeadLetter {
        position: record.position(),
        topic: record.topic.clone(),
        attempts: record.attempt,
        at_us: now_us(),
        error: error.to_owned(),
    });
    NewRecord {
        part,
        id: letter_id(record),
        time_us: headers.time_us,
        key: record.key.clone(),
        // Headers are a struct of numbers and text: nothing in them can fail to serialise.
        headers: serde_json::to_string(&headers).unwrap_or_default(),
        payload: record.payload.clone(),
    }
}

fn letter_id(record: &Record) -> [u8; 16] {
    *EventId::derived(&[b"dead letter", record.position().as_bytes()]).as_bytes()
}

async fn write(
    member: &Member,
    records: &[Record],
    moves: &Moves,
    batch: Batch,
    fate: &Fate,
) -> Result<(Ends, Due), Fault> {
    let group = member.group_id();
    let now_us = now_us();
    let mut tx = member.log.database.write(batch.durability).await?;
    let connection = tx.connection();
    move_places(&mut *connection, member, moves).await?;
    match fate {
        Fate::Done => take_delayed(&mut *connection, moves).await?,
        Fate::Later { due_us, error } => {
            for record in records {
                set_aside(&mut *connection, member, record, moves, (*due_us, error)).await?;
            }
        }
        Fate::Dead { .. } => {
            take_delayed(&mut *connection, moves).await?;
            forget_letters(&mut *connection, member, records).await?;
        }
    }
    let ends = append::insert(&mut *connection, batch.records, now_us).await?;
    if !matches!(fate, Fate::Later { .. }) {
        let namespace = format!("{}.{}", member.group, member.epoch());
        let entries: Vec<LedgerEntry> = records.iter().map(Record::ledger_entry).collect();
        mark_done(&mut *connection, &namespace, &entries, now_us).await?;
    }
    let due = read_due(&mut *connection, group, moves, fate).await?;
    tx.commit().await?;
    Ok((ends, due))
}

/// Moves the offsets, where the member still owns every partition.
async fn move_places(connection: &mut SqliteConnection, member: &Member, moves: &Moves) -> Result<(), Fault> {
    let joined = member.joined();
    let list: Vec<_> =
        moves.iter().map(|(part, plan)| (part.topic, part.part, plan.generation, plan.committed)).collect();
    let list = json(&list);
    let sql = "UPDATE place SET committed = (j.value ->> 3) FROM json_each(?1) AS j
               WHERE crew = ?2 AND topic = (j.value ->> 0) AND part = (j.value ->> 1)
                   AND generation = (j.value ->> 2) AND owner = ?3";
    let query = sqlx::query(sql).bind(&list).bind(joined.group).bind(joined.member);
    let moved = query.execute(&mut *connection).await?.rows_affected();
    if usize::try_from(moved).ok() != Some(moves.len()) {
        let sql = "SELECT j.value ->> 0, j.value ->> 1 FROM json_each(?1) AS j WHERE NOT EXISTS
                       (SELECT 1 FROM place WHERE crew = ?2 AND topic = (j.value ->> 0) AND part = (j.value ->> 1)
                           AND generation = (j.value ->> 2) AND owner = ?3)";
        let query = sqlx::query(sql).bind(&list).bind(joined.group).bind(joined.member);
        let mut lost = Vec::new();
        for row in query.fetch_all(&mut *connection).await? {
            lost.push(Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) });
        }
        let Some(first) = lost.first() else { unreachable!("a place that was not moved is not the member's") };
        member.lose(&lost);
        return Err(Fault::Log(member.fenced(*first)));
    }
    for (part, plan) in moves {
        for at in &plan.ahead {
            let sql = "INSERT INTO settled (crew, topic, part, off) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
            let query = sqlx::query(sql).bind(joined.group).bind(part.topic).bind(part.part);
            query.bind(at.cast_signed()).execute(&mut *connection).await?;
        }
        if plan.tidy {
            let sql = "DELETE FROM settled WHERE crew = ? AND topic = ? AND part = ? AND off < ?";
            let query = sqlx::query(sql).bind(joined.group).bind(part.topic).bind(part.part);
            query.bind(plan.committed.cast_signed()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// Removes rows of records that were set aside and are settled now.
async fn take_delayed(connection: &mut SqliteConnection, moves: &Moves) -> Result<(), sqlx::Error> {
    let rows: Vec<i64> = moves.values().flat_map(|plan| plan.delayed.iter().copied()).collect();
    if !rows.is_empty() {
        let sql = "DELETE FROM delayed WHERE id IN (SELECT value FROM json_each(?))";
        sqlx::query(sql).bind(json(&rows)).execute(connection).await?;
    }
    Ok(())
}

/// Sets one record aside: its row moves on, or it gets one with a copy of it.
async fn set_aside(
    connection: &mut SqliteConnection,
    member: &Member,
    record: &Record,
    moves: &Moves,
    (due_us, error): (i64, &str),
) -> Result<(), Fault> {
    let Some(part) = member.part(record) else { unreachable!("the record's partition was found to plan its move") };
    let row = moves.get(&part).and_then(|plan| plan.delayed.first());
    if let Some(row) = row {
        let sql = "UPDATE delayed SET attempt = attempt + 1, due_us = ?, error = ? WHERE id = ?";
        sqlx::query(sql).bind(due_us).bind(error).bind(*row).execute(connection).await?;
        return Ok(());
    }
    let aside = Aside { group: member.group_id(), part, attempt: record.attempt.saturating_add(1), due_us, error };
    Ok(aside.insert(connection, record).await?)
}

/// A record that is set aside.
pub(super) struct Aside<'a> {
    pub(super) group: i64,
    pub(super) part: Part,
    pub(super) attempt: u32,
    pub(super) due_us: i64,
    pub(super) error: &'a str,
}

impl Aside<'_> {
    pub(super) async fn insert(self, connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
        let sql = "INSERT INTO delayed
                       (crew, topic, part, off, attempt, due_us, time_us, error, key, headers, payload)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql).bind(self.group).bind(self.part.topic).bind(self.part.part);
        let query = query.bind(record.offset.cast_signed()).bind(self.attempt).bind(self.due_us);
        let query = query.bind(record.headers.time_us).bind(self.error).bind(&record.key);
        let query = query.bind(serde_json::to_string(&record.headers).unwrap_or_default()).bind(&record.payload);
        query.execute(connection).await?;
        Ok(())
    }
}

/// Removes older letters of the same records: after a replay, the last death counts.
async fn forget_letters(connection: &mut SqliteConnection, member: &Member, records: &[Record]) -> Result<(), Fault> {
    let topic = member.log.topic(&TopicName::dead(&member.group)).await?;
    for record in records {
        let query = sqlx::query("DELETE FROM record WHERE topic = ? AND id = ?");
        query.bind(topic.id).bind(letter_id(record).to_vec()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads when the next record that was set aside is due, where that may have changed.
async fn read_due(
    connection: &mut SqliteConnection,
    group: i64,
    moves: &Moves,
    fate: &Fate,
) -> Result<Due, sqlx::Error> {
    let mut due = Due::new();
    for (part, plan) in moves {
        if plan.delayed.is_empty() && !matches!(fate, Fate::Later { .. }) {
            continue;
        }
        let sql = "SELECT min(due_us) FROM delayed WHERE crew = ? AND topic = ? AND part = ?";
        let query = sqlx::query_scalar(sql).bind(group).bind(part.topic).bind(part.part);
        due.push((*part, query.fetch_one(&mut *connection).await?));
    }
    Ok(due)
}

/// Cuts an error at what a dead letter keeps.
pub(super) fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
