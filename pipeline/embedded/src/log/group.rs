//! Membership of consumer groups in the database: joining, leaving, being reaped, and who gets which partition. Every
//! function runs inside a transaction that its caller opened.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mcsp_events::GroupName;
use sqlx::{Row, SqliteConnection};

use super::append::json;
use super::assign::{self, Candidate, Seat};
use super::position::{Part, partition};
use super::topics::TopicInfo;

/// Who joins what.
pub(super) struct Joining<'a> {
    pub(super) group: &'a GroupName,
    pub(super) topics: &'a [Arc<TopicInfo>],
    pub(super) process: &'a str,
    pub(super) name: &'a str,
    pub(super) lease_us: i64,
}

/// A member's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) group: i64,
    pub(super) member: i64,
}

/// Adds a member. A group that is new to a topic begins at the oldest record that is kept.
pub(super) async fn join(
    connection: &mut SqliteConnection,
    joining: &Joining<'_>,
    now_us: i64,
) -> Result<Joined, sqlx::Error> {
    let sql = "INSERT INTO consumer_group (name, epoch, changes) VALUES (?, 0, 0)
               ON CONFLICT (name) DO UPDATE SET changes = changes RETURNING id";
    let group: i64 = sqlx::query_scalar(sql).bind(joining.group.as_str()).fetch_one(&mut *connection).await?;
    let topics: Vec<i64> = joining.topics.iter().map(|topic| topic.id).collect();
    add_places(&mut *connection, group, &topics).await?;
    let sql = "INSERT INTO member (crew, process, name, lease_us, expires_us) VALUES (?, ?, ?, ?, ?) RETURNING id";
    let member: i64 = sqlx::query_scalar(sql)
        .bind(group)
        .bind(joining.process)
        .bind(joining.name)
        .bind(joining.lease_us)
        .bind(now_us.saturating_add(joining.lease_us))
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO member_topic (member, topic) SELECT ?1, value FROM json_each(?2)")
        .bind(member)
        .bind(json(&topics))
        .execute(&mut *connection)
        .await?;
    rebalance(connection, group).await?;
    Ok(Joined { group, member })
}

async fn add_places(connection: &mut SqliteConnection, group: i64, topics: &[i64]) -> Result<(), sqlx::Error> {
    let sql = "SELECT part.topic, part.part, part.next FROM json_each(?2) AS j JOIN part ON part.topic = j.value
               WHERE NOT EXISTS
                   (SELECT 1 FROM place WHERE crew = ?1 AND place.topic = part.topic AND place.part = part.part)";
    for row in sqlx::query(sql).bind(group).bind(json(topics)).fetch_all(&mut *connection).await? {
        let part = Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) };
        let begin = begin_offset(&mut *connection, part).await?;
        sqlx::query("INSERT INTO place (crew, topic, part, committed, generation) VALUES (?, ?, ?, ?, 0)")
            .bind(group)
            .bind(part.topic)
            .bind(part.part)
            .bind(begin)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Returns the offset of a partition's oldest record, or of its next one where it holds none.
pub(super) async fn begin_offset(connection: &mut SqliteConnection, part: Part) -> Result<i64, sqlx::Error> {
    let first: Option<i64> =
        sqlx::query_scalar("SELECT pos FROM record WHERE pos >= ? AND pos < ? ORDER BY pos LIMIT 1")
            .bind(part.row(0))
            .bind(part.end())
            .fetch_optional(&mut *connection)
            .await?;
    match first {
        Some(row) => Ok(Part::of_row(row).1.cast_signed()),
        None => {
            sqlx::query_scalar("SELECT next FROM part WHERE topic = ? AND part = ?")
                .bind(part.topic)
                .bind(part.part)
                .fetch_one(connection)
                .await
        }
    }
}

/// Removes a member.
pub(super) async fn leave(connection: &mut SqliteConnection, joined: Joined) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM member WHERE id = ?").bind(joined.member).execute(&mut *connection).await?;
    rebalance(connection, joined.group).await
}

/// Moves the end of leases, and returns which of the members are no longer there.
pub(super) async fn beat(
    connection: &mut SqliteConnection,
    members: &[i64],
    now_us: i64,
) -> Result<BTreeSet<i64>, sqlx::Error> {
    let sql = "UPDATE member SET expires_us = ?1 + lease_us WHERE id IN (SELECT value FROM json_each(?2)) RETURNING id";
    let there: Vec<i64> = sqlx::query_scalar(sql).bind(now_us).bind(json(members)).fetch_all(&mut *connection).await?;
    Ok(members.iter().copied().filter(|member| !there.contains(member)).collect())
}

/// Removes members whose lease ran out and those of dead processes. Returns whether there were any.
pub(super) async fn reap(
    connection: &mut SqliteConnection,
    dead_processes: &[String],
    now_us: i64,
) -> Result<bool, sqlx::Error> {
    let sql = "DELETE FROM member WHERE expires_us < ?1 OR process IN (SELECT value FROM json_each(?2))
               RETURNING crew";
    let groups: Vec<i64> =
        sqlx::query_scalar(sql).bind(now_us).bind(json(dead_processes)).fetch_all(&mut *connection).await?;
    sqlx::query("DELETE FROM process WHERE id IN (SELECT value FROM json_each(?))")
        .bind(json(dead_processes))
        .execute(&mut *connection)
        .await?;
    let groups: BTreeSet<i64> = groups.into_iter().collect();
    for group in &groups {
        rebalance(&mut *connection, *group).await?;
    }
    Ok(!groups.is_empty())
}

/// Gives every partition of a group its owner. One that a living member has is only promised to its heir: the owner hands
/// it over when no record of it is out.
pub(super) async fn rebalance(connection: &mut SqliteConnection, group: i64) -> Result<(), sqlx::Error> {
    let candidates = candidates(&mut *connection, group).await?;
    let alive: BTreeSet<i64> = candidates.iter().map(|candidate| candidate.member).collect();
    let sql = "SELECT topic, part, owner, heir FROM place WHERE crew = ? ORDER BY topic, part";
    let rows = sqlx::query(sql).bind(group).fetch_all(&mut *connection).await?;
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let part = Part { topic: row.try_get(0)?, part: partition(row.try_get(1)?) };
        let (owner, heir): (Option<i64>, Option<i64>) = (row.try_get(2)?, row.try_get(3)?);
        places.push((part, owner, heir));
    }
    let living = |member: &i64| alive.contains(member);
    let seats: Vec<Seat> = places
        .iter()
        .map(|(part, owner, heir)| Seat { part: *part, holder: heir.filter(living).or(owner.filter(living)) })
        .collect();
    for ((part, owner, heir), target) in places.into_iter().zip(assign::balance(&candidates, &seats)) {
        let owned = owner.filter(living);
        let (new_owner, new_heir) = match owned {
            Some(owner) if target != Some(owner) && target.is_some() => (Some(owner), target),
            Some(owner) => (Some(owner), None),
            None => (target, None),
        };
        if (new_owner, new_heir) != (owner, heir) {
            let sql = "UPDATE place SET owner = ?1, heir = ?2, generation = generation + (owner IS NOT ?1)
                       WHERE crew = ?3 AND topic = ?4 AND part = ?5";
            let query = sqlx::query(sql).bind(new_owner).bind(new_heir).bind(group).bind(part.topic).bind(part.part);
            query.execute(&mut *connection).await?;
        }
    }
    changed(connection, group).await
}

/// Tells every member of a group to look again.
pub(super) async fn changed(connection: &mut SqliteConnection, group: i64) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE consumer_group SET changes = changes + 1 WHERE id = ?").bind(group).execute(connection).await?;
    Ok(())
}

async fn candidates(connection: &mut SqliteConnection, group: i64) -> Result<Vec<Candidate>, sqlx::Error> {
    let sql = "SELECT member.id, member_topic.topic FROM member JOIN member_topic ON member_topic.member = member.id
               WHERE member.crew = ?";
    let mut topics: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for row in sqlx::query(sql).bind(group).fetch_all(connection).await? {
        topics.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
    }
    Ok(topics.into_iter().map(|(member, topics)| Candidate { member, topics }).collect())
}

/// Passes free partitions on to their heirs. Returns how many were.
pub(super) async fn hand_over(
    connection: &mut SqliteConnection,
    joined: Joined,
    parts: &[(Part, i64)],
) -> Result<usize, sqlx::Error> {
    let list: Vec<_> = parts.iter().map(|(part, generation)| (part.topic, part.part, generation)).collect();
    let sql = "UPDATE place SET owner = heir, heir = NULL, generation = generation + 1 FROM json_each(?1) AS j
               WHERE crew = ?2 AND topic = (j.value ->> 0) AND part = (j.value ->> 1)
                   AND generation = (j.value ->> 2) AND owner = ?3 AND heir IS NOT NULL";
    let query = sqlx::query(sql).bind(json(&list)).bind(joined.group).bind(joined.member);
    let passed = query.execute(&mut *connection).await?.rows_affected();
    if passed > 0 {
        changed(connection, joined.group).await?;
    }
    Ok(usize::try_from(passed).unwrap_or(usize::MAX))
}
