//! What operators and relays ask of the log: reading outside of groups, lag, replay, redelivery, retention.

use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::{Lag, LogError, PartitionSpan, Record, ReplayFrom, now_us};
use sqlx::{Row, SqliteConnection};

use super::group::{begin_offset, changed, reap};
use super::position::{OFFSET_END, Part, offset, partition};
use super::settle::Aside;
use super::topics::TopicInfo;
use super::{Fault, Inner, fetch};
use crate::sqlite::Durability;

/// Records that one transaction of a sweep removes: other writers get their turn between two of them.
const SWEEP_ROWS_MAX: i64 = 2_000;

impl Inner {
    pub(super) async fn position(&self, source: &str) -> Result<Option<u64>, LogError> {
        let read = async {
            let mut connection = self.database.read().await?;
            let query = sqlx::query_scalar("SELECT position FROM relay WHERE source = ?").bind(source);
            let found = query.fetch_optional(&mut *connection).await?.map(offset);
            drop(connection);
            // The relay goes on from here for good: what it learns of must not go with the power.
            self.database.sync_all().await?;
            Ok(found)
        };
        read.await.map_err(|fault| self.failed("read the position of a relay", fault))
    }

    pub(super) async fn read(
        &self,
        topic: &TopicName,
        partition: u32,
        from_offset: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let info = self.topic(topic).await?;
        if partition >= info.partitions || from_offset >= OFFSET_END {
            return Ok(Vec::new());
        }
        let read = async {
            let mut connection = self.database.read().await?;
            fetch::read(&mut connection, Part { topic: info.id, part: partition }, from_offset, max).await
        };
        let rows = read.await.map_err(|fault| self.failed("read records", fault))?;
        Ok(rows.into_iter().map(|row| row.into_record(topic.clone())).collect())
    }

    pub(super) async fn partitions(&self, topic: &TopicName) -> Result<Vec<PartitionSpan>, LogError> {
        let info = self.topic(topic).await?;
        let read = async {
            let mut connection = self.database.read().await?;
            let query = sqlx::query("SELECT part, next FROM part WHERE topic = ? ORDER BY part").bind(info.id);
            let mut spans = Vec::new();
            for row in query.fetch_all(&mut *connection).await? {
                let part = partition(row.try_get(0)?);
                let begin = begin_offset(&mut connection, Part { topic: info.id, part }).await?;
                let (begin_offset, end_offset) = (offset(begin), offset(row.try_get(1)?));
                spans.push(PartitionSpan { partition: part, begin_offset, end_offset });
            }
            Ok(spans)
        };
        read.await.map_err(|fault| self.failed("read partitions", fault))
    }

    pub(super) async fn lag(&self, group: &GroupName) -> Result<Vec<Lag>, LogError> {
        let read = async {
            let mut connection = self.database.read().await?;
            let rows = sqlx::query(LAG).bind(group.as_str()).bind(OFFSET_END.cast_signed());
            rows.fetch_all(&mut *connection).await?.iter().map(read_lag).collect::<Result<Vec<Lag>, Fault>>()
        };
        read.await.map_err(|fault| self.failed("read the lag of a group", fault))
    }

    pub(super) async fn epoch(&self, group: &GroupName) -> Result<u64, LogError> {
        let read = async {
            let mut connection = self.database.read().await?;
            let query = sqlx::query_scalar("SELECT epoch FROM consumer_group WHERE name = ?").bind(group.as_str());
            let epoch: Option<i64> = query.fetch_optional(&mut *connection).await?;
            Ok(epoch.map_or(0, i64::cast_unsigned))
        };
        read.await.map_err(|fault| self.failed("read the epoch of a group", fault))
    }

    pub(super) async fn groups(&self) -> Result<Vec<GroupName>, LogError> {
        let read = async {
            let mut connection = self.database.read().await?;
            let query = sqlx::query_scalar("SELECT name FROM consumer_group ORDER BY name");
            let names: Vec<String> = query.fetch_all(&mut *connection).await?;
            Ok(names.iter().filter_map(|name| GroupName::parse(name).ok()).collect())
        };
        read.await.map_err(|fault| self.failed("read the groups", fault))
    }

    pub(super) async fn replay(&self, group: &GroupName, topic: &TopicName, from: ReplayFrom) -> Result<u64, LogError> {
        let info = self.topic(topic).await?;
        let written = async {
            let mut tx = self.database.write(Durability::Synced).await?;
            let connection = tx.connection();
            let id = find_group(&mut *connection, group).await?;
            for part in parts_of(&info, from)? {
                let to = replay_offset(&mut *connection, part, from).await?;
                move_back(&mut *connection, id, part, to, (group, topic)).await?;
            }
            let sql = "UPDATE consumer_group SET epoch = epoch + 1 WHERE id = ? RETURNING epoch";
            let epoch: i64 = sqlx::query_scalar(sql).bind(id).fetch_one(&mut *connection).await?;
            changed(connection, id).await?;
            tx.commit().await?;
            Ok(epoch.cast_unsigned())
        };
        let epoch = written.await.map_err(|fault| self.failed("replay", fault))?;
        self.ring();
        Ok(epoch)
    }

    pub(super) async fn redeliver(&self, group: &GroupName, dead: &Record) -> Result<(), LogError> {
        let misused = |what: String| LogError::Misused { what };
        let letter = dead.headers.dead.as_ref().filter(|_| dead.topic == TopicName::dead(group));
        let letter =
            letter.ok_or_else(|| misused(format!("record {} is no dead letter of {group}", dead.position())))?;
        let place = letter.position.rsplit(':').next().and_then(|text| text.parse().ok());
        let part = letter.position.rsplit(':').nth(1).and_then(|text| text.parse().ok());
        let (Some(origin), Some(part)) = (place, part) else {
            return Err(misused(format!("dead letter {} came from {:?}", dead.position(), letter.position)));
        };
        let letters = self.topic(&dead.topic).await?;
        let topic = self.topic(&letter.topic).await?;
        let mut record = dead.clone();
        (record.topic, record.partition, record.offset) = (letter.topic.clone(), part, origin);
        record.headers.dead = None;
        let row = Part { topic: letters.id, part: dead.partition }.row(dead.offset.min(OFFSET_END));
        let written = async {
            let mut tx = self.database.write(Durability::Synced).await?;
            let connection = tx.connection();
            let id = find_group(&mut *connection, group).await?;
            let removed = sqlx::query("DELETE FROM record WHERE pos = ?").bind(row).execute(&mut *connection).await?;
            if removed.rows_affected() == 0 {
                return Err(Fault::Log(misused(format!("dead letter {} is there no longer", dead.position()))));
            }
            let part = Part { topic: topic.id, part };
            if !comes_anyway(&mut *connection, id, part, origin).await? {
                let aside = Aside { group: id, part, attempt: 1, due_us: now_us(), error: "redelivered" };
                aside.insert(&mut *connection, &record).await?;
            }
            changed(connection, id).await?;
            tx.commit().await?;
            Ok(())
        };
        written.await.map_err(|fault| self.failed("redeliver a dead letter", fault))?;
        self.ring();
        Ok(())
    }

    pub(super) async fn forget_group(&self, group: &GroupName) -> Result<(), LogError> {
        let written = async {
            let mut tx = self.database.write(Durability::Synced).await?;
            let connection = tx.connection();
            let id = find_group(&mut *connection, group).await?;
            // Members of dead processes, and those whose lease ran out, are not waited for.
            let processes = sqlx::query_scalar("SELECT id FROM process").fetch_all(&mut *connection).await?;
            reap(&mut *connection, &self.process.dead_among(processes), now_us()).await?;
            let query = sqlx::query_scalar("SELECT name FROM member WHERE crew = ? ORDER BY id LIMIT 1").bind(id);
            let living: Option<String> = query.fetch_optional(&mut *connection).await?;
            if let Some(member) = living {
                let what = format!("group {group} cannot be forgotten: its member {member} lives");
                return Err(Fault::Log(LogError::Misused { what }));
            }
            for sql in FORGET_GROUP {
                sqlx::query(sql).bind(id).execute(&mut *connection).await?;
            }
            tx.commit().await?;
            Ok(())
        };
        written.await.map_err(|fault| self.failed("forget a group", fault))?;
        self.ring();
        Ok(())
    }

    pub(super) async fn sweep(&self, now_us: i64) -> Result<u64, LogError> {
        let swept = async {
            let sql = "SELECT part.topic, part.part, topic.retention_us,
                           min(part.next, coalesce((SELECT min(committed) FROM place
                               WHERE place.topic = part.topic AND place.part = part.part), part.next))
                       FROM part JOIN topic ON topic.id = part.topic";
            let rows = {
                let mut connection = self.database.read().await?;
                sqlx::query(sql).fetch_all(&mut *connection).await?
            };
            let mut removed = 0;
            for row in rows {
                let part = Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) };
                let before_us = now_us.saturating_sub(row.try_get(2)?);
                removed += self.sweep_part(part, offset(row.try_get(3)?), before_us).await?;
            }
            Ok(removed)
        };
        swept.await.map_err(|fault| self.failed("sweep", fault))
    }

    /// Removes records of a partition from its beginning on, up to the first one that is kept.
    async fn sweep_part(&self, part: Part, below: u64, before_us: i64) -> Result<u64, Fault> {
        let mut removed = 0;
        loop {
            let times = {
                let mut connection = self.database.read().await?;
                let sql = "SELECT pos, stored_us FROM record WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT ?";
                let query = sqlx::query(sql).bind(part.row(0)).bind(part.row(below)).bind(SWEEP_ROWS_MAX);
                query.fetch_all(&mut *connection).await?
            };
            let mut last = None;
            for row in times {
                if row.try_get::<i64, _>(1)? >= before_us {
                    break;
                }
                last = Some(row.try_get::<i64, _>(0)?);
            }
            let Some(last) = last else { return Ok(removed) };
            // A group that joins or is set back meanwhile must not lose what it begins with: asked again under the lock.
            let sql = "DELETE FROM record WHERE pos >= ?1 AND pos <= ?2 AND NOT EXISTS (SELECT 1 FROM place
                           WHERE place.topic = ?3 AND place.part = ?4 AND place.committed <= (?2 & ?5))";
            let mut tx = self.database.write(Durability::Process).await?;
            let query = sqlx::query(sql).bind(part.row(0)).bind(last).bind(part.topic).bind(part.part);
            let done = query.bind(OFFSET_END.cast_signed()).execute(tx.connection()).await?;
            tx.commit().await?;
            if done.rows_affected() == 0 {
                return Ok(removed);
            }
            removed += done.rows_affected();
        }
    }
}

/// What there is of a group that has no member.
const FORGET_GROUP: [&str; 4] = [
    "DELETE FROM settled WHERE crew = ?",
    "DELETE FROM delayed WHERE crew = ?",
    "DELETE FROM place WHERE crew = ?",
    "DELETE FROM consumer_group WHERE id = ?",
];

/// What a group has before it, by partition: fresh records that are not settled, and those set aside.
const LAG: &str = "
WITH way AS (
    SELECT place.*, topic.name, part.next, (place.topic << 51) | (place.part << 41) AS base
    FROM consumer_group
    JOIN place ON place.crew = consumer_group.id
    JOIN topic ON topic.id = place.topic
    JOIN part ON part.topic = place.topic AND part.part = place.part
    WHERE consumer_group.name = ?1
), head AS (
    SELECT way.*,
        (SELECT pos FROM record WHERE pos >= base + committed AND pos < base + ?2
            AND NOT EXISTS (SELECT 1 FROM settled WHERE settled.crew = way.crew AND settled.topic = way.topic
                AND settled.part = way.part AND settled.off = (record.pos & ?2))
            ORDER BY pos LIMIT 1) AS first,
        (SELECT count(*) FROM settled WHERE settled.crew = way.crew AND settled.topic = way.topic
            AND settled.part = way.part AND settled.off >= committed) AS ahead,
        (SELECT count(*) FROM delayed WHERE delayed.crew = way.crew AND delayed.topic = way.topic
            AND delayed.part = way.part) AS aside,
        (SELECT min(time_us) FROM delayed WHERE delayed.crew = way.crew AND delayed.topic = way.topic
            AND delayed.part = way.part) AS aside_us
    FROM way
)
SELECT name, part, iif(first IS NULL, 0, next - committed - ahead) + aside, aside_us,
    (SELECT time_us FROM record WHERE pos = first)
FROM head ORDER BY name, part";

fn read_lag(row: &sqlx::sqlite::SqliteRow) -> Result<Lag, Fault> {
    let name: &str = row.try_get(0)?;
    let topic = TopicName::parse(name)
        .map_err(|error| LogError::Engine { action: "read a topic's name", source: Box::new(error) })?;
    let times: [Option<i64>; 2] = [row.try_get(3)?, row.try_get(4)?];
    let oldest_us = times.into_iter().flatten().min();
    Ok(Lag { topic, partition: partition(row.try_get(1)?), records: offset(row.try_get(2)?), oldest_us })
}

async fn find_group(connection: &mut SqliteConnection, group: &GroupName) -> Result<i64, Fault> {
    let query = sqlx::query_scalar("SELECT id FROM consumer_group WHERE name = ?").bind(group.as_str());
    let found: Option<i64> = query.fetch_optional(connection).await?;
    found.ok_or_else(|| Fault::Log(LogError::Misused { what: format!("group {group} never joined") }))
}

fn parts_of(topic: &TopicInfo, from: ReplayFrom) -> Result<Vec<Part>, Fault> {
    let all = (0..topic.partitions).map(|part| Part { topic: topic.id, part });
    let ReplayFrom::Offset { partition, .. } = from else { return Ok(all.collect()) };
    if partition >= topic.partitions {
        let what = format!("topic {} has {} partitions, no partition {partition}", topic.name, topic.partitions);
        return Err(Fault::Log(LogError::Misused { what }));
    }
    Ok(vec![Part { topic: topic.id, part: partition }])
}

/// Returns where a replay begins in one partition: never before its oldest record, never behind its end.
async fn replay_offset(connection: &mut SqliteConnection, part: Part, from: ReplayFrom) -> Result<i64, Fault> {
    let begin = begin_offset(&mut *connection, part).await?;
    let query = sqlx::query_scalar("SELECT next FROM part WHERE topic = ? AND part = ?").bind(part.topic);
    let end: i64 = query.bind(part.part).fetch_one(&mut *connection).await?;
    match from {
        ReplayFrom::Beginning => Ok(begin),
        ReplayFrom::Offset { offset, .. } => Ok(offset.min(end.cast_unsigned()).cast_signed().max(begin)),
        ReplayFrom::TimeUs(time_us) => {
            let sql = "SELECT pos FROM record WHERE pos >= ? AND pos < ? AND time_us >= ? ORDER BY pos LIMIT 1";
            let query = sqlx::query_scalar(sql).bind(part.row(0)).bind(part.end()).bind(time_us);
            let first: Option<i64> = query.fetch_optional(connection).await?;
            Ok(first.map_or(end, |row| Part::of_row(row).1.cast_signed()))
        }
    }
}

/// Sets a group to an offset. What it set aside from there on comes again by itself.
async fn move_back(
    connection: &mut SqliteConnection,
    group: i64,
    part: Part,
    to: i64,
    (name, topic): (&GroupName, &TopicName),
) -> Result<(), Fault> {
    let sql = "UPDATE place SET committed = ?, generation = generation + 1 WHERE crew = ? AND topic = ? AND part = ?";
    let query = sqlx::query(sql).bind(to).bind(group).bind(part.topic).bind(part.part);
    if query.execute(&mut *connection).await?.rows_affected() == 0 {
        return Err(Fault::Log(LogError::Misused { what: format!("group {name} never joined topic {topic}") }));
    }
    let settled = sqlx::query("DELETE FROM settled WHERE crew = ? AND topic = ? AND part = ?");
    settled.bind(group).bind(part.topic).bind(part.part).execute(&mut *connection).await?;
    let aside = sqlx::query("DELETE FROM delayed WHERE crew = ? AND topic = ? AND part = ? AND off >= ?");
    aside.bind(group).bind(part.topic).bind(part.part).bind(to).execute(connection).await?;
    Ok(())
}

/// Returns whether a group reaches an offset anyway, because it was set back behind it.
async fn comes_anyway(connection: &mut SqliteConnection, group: i64, part: Part, at: u64) -> Result<bool, sqlx::Error> {
    let sql = "SELECT count(*) FROM place JOIN record ON record.pos = ?5
               WHERE crew = ?1 AND place.topic = ?2 AND part = ?3 AND committed <= ?4 AND NOT EXISTS
                   (SELECT 1 FROM settled WHERE settled.crew = ?1 AND settled.topic = ?2 AND settled.part = ?3 AND off = ?4)";
    let query = sqlx::query_scalar(sql).bind(group).bind(part.topic).bind(part.part).bind(at.cast_signed());
    let count: i64 = query.bind(part.row(at)).fetch_one(connection).await?;
    Ok(count > 0)
}
