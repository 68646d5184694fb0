//! The topics of a log: those of the catalogue, those that a caller adds, and each group's dead letters. Numbers and
//! partitions stand in the database; a process keeps what it has seen.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use mcsp_domain::limits::PARTITIONS_MAX;
use mcsp_events::{GroupName, Topic, TopicName};
use mcsp_runtime::LogError;
use sqlx::{Row, SqliteConnection};

use super::Fault;
use super::options::LogOptions;
use super::position::{self, TOPICS_MAX};
use crate::sqlite::Durability;

/// How long dead letters are kept: until somebody looks, ten years at most.
const DEAD_KEEP: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A topic as the log runs it.
#[derive(Clone, Debug)]
pub(super) struct TopicInfo {
    pub(super) id: i64,
    pub(super) name: TopicName,
    pub(super) partitions: u32,
    pub(super) durability: Durability,
}

/// What somebody asks of a topic.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: TopicName,
    pub(super) partitions: u32,
    /// Whether the number was asked for, or is only what the catalogue says.
    pub(super) firm: bool,
    pub(super) durability: Durability,
    pub(super) retention: Duration,
}

impl Wanted {
    /// Returns the topics of the catalogue and of the options.
    pub(super) fn all(options: &LogOptions) -> Result<Vec<Self>, LogError> {
        let catalogue = Topic::ALL.iter().map(|topic| {
            let spec = topic.spec();
            Self {
                name: (*topic).into(),
                partitions: spec.partitions,
                firm: false,
                durability: spec.durability,
                retention: Duration::from_secs(u64::from(spec.retention_days) * 24 * 3600),
            }
        });
        let extra = options.extra_topics.iter().map(|extra| Self {
            name: extra.name.clone(),
            partitions: extra.partitions,
            firm: true,
            durability: extra.durability,
            retention: extra.retention,
        });
        let mut all: Vec<Self> = catalogue.chain(extra).collect();
        for (name, change) in &options.overrides {
            let found = all.iter_mut().find(|wanted| wanted.name == *name);
            let wanted = found.ok_or_else(|| LogError::UnknownTopic { topic: name.to_string() })?;
            wanted.firm |= change.partitions.is_some();
            wanted.partitions = change.partitions.unwrap_or(wanted.partitions);
            wanted.durability = change.durability.unwrap_or(wanted.durability);
            wanted.retention = change.retention.unwrap_or(wanted.retention);
        }
        let out_of_bounds = all.iter().find(|wanted| !(1..=PARTITIONS_MAX).contains(&wanted.partitions));
        match out_of_bounds {
            Some(Wanted { name, partitions, .. }) => Err(LogError::Misused {
                what: format!("topic {name} is asked to have {partitions} partitions, 1 to {PARTITIONS_MAX} allowed"),
            }),
            None => Ok(all),
        }
    }

    /// Returns what a group's dead letters need.
    pub(super) fn dead(group: &GroupName) -> Self {
        Self {
            name: TopicName::dead(group),
            partitions: 1,
            firm: false,
            durability: Durability::Synced,
            retention: DEAD_KEEP,
        }
    }
}

/// Makes topics that are not there, and adds partitions to those that have fewer than asked for. `alone` says whether no
/// other process has the log open: one that counts partitions otherwise would put a key's events elsewhere.
pub(super) async fn declare(
    connection: &mut SqliteConnection,
    wanted: &[Wanted],
    alone: bool,
) -> Result<Vec<TopicInfo>, Fault> {
    let mut declared = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let retention_us = i64::try_from(wanted.retention.as_micros()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO topic (name, durability, retention_us) VALUES (?, ?, ?)
                   ON CONFLICT (name) DO UPDATE SET durability = excluded.durability, retention_us = excluded.retention_us
                   RETURNING id, (SELECT count(*) FROM part WHERE part.topic = topic.id)";
        let row = sqlx::query(sql)
            .bind(wanted.name.as_str())
            .bind(i64::from(wanted.durability == Durability::Synced))
            .bind(retention_us)
            .fetch_one(&mut *connection)
            .await?;
        let (id, has) = (row.try_get::<i64, _>(0)?, position::partition(row.try_get(1)?));
        if id > TOPICS_MAX {
            return Err(misused(format!("topic {} would be number {id}, {TOPICS_MAX} allowed", wanted.name)));
        }
        let partitions = partitions(wanted, has, alone)?;
        if partitions > has {
            add_partitions(&mut *connection, id, has..partitions).await?;
        }
        let (name, durability) = (wanted.name.clone(), wanted.durability);
        declared.push(TopicInfo { id, name, partitions, durability });
    }
    Ok(declared)
}

/// Returns how many partitions a topic gets that has some already.
fn partitions(wanted: &Wanted, has: u32, alone: bool) -> Result<u32, Fault> {
    let (name, asked) = (&wanted.name, wanted.partitions);
    if asked < has && wanted.firm {
        return Err(misused(format!("topic {name} has {has} partitions and cannot get fewer, {asked} asked for")));
    }
    if asked > has && has > 0 && !alone {
        let what =
            format!("topic {name} has {has} partitions, {asked} asked for: stop the other processes of this log");
        return Err(misused(what));
    }
    Ok(asked.max(has))
}

/// Adds partitions, for the groups that read the topic too.
async fn add_partitions(
    connection: &mut SqliteConnection,
    topic: i64,
    added: std::ops::Range<u32>,
) -> Result<(), sqlx::Error> {
    for part in added {
        sqlx::query("INSERT INTO part (topic, part, next) VALUES (?, ?, 0)")
            .bind(topic)
            .bind(part)
            .execute(&mut *connection)
            .await?;
        let sql = "INSERT INTO place (crew, topic, part, committed, generation)
                   SELECT DISTINCT crew, ?1, ?2, 0, 0 FROM place WHERE topic = ?1
                   ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(topic).bind(part).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Reads a topic that another process made.
pub(super) async fn find(connection: &mut SqliteConnection, name: &TopicName) -> Result<Option<TopicInfo>, Fault> {
    let sql = "SELECT id, durability, (SELECT count(*) FROM part WHERE part.topic = topic.id)
               FROM topic WHERE name = ?";
    let Some(row) = sqlx::query(sql).bind(name.as_str()).fetch_optional(connection).await? else { return Ok(None) };
    let synced = row.try_get::<i64, _>(1)? == 1;
    Ok(Some(TopicInfo {
        id: row.try_get(0)?,
        name: name.clone(),
        partitions: position::partition(row.try_get(2)?),
        durability: if synced { Durability::Synced } else { Durability::Process },
    }))
}

/// The topics that this process has seen: at most `TOPICS_MAX`, which the database holds to.
#[derive(Debug, Default)]
pub(super) struct Topics {
    known: RwLock<HashMap<TopicName, Arc<TopicInfo>>>,
}

impl Topics {
    pub(super) fn remember(&self, topics: Vec<TopicInfo>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic))));
    }

    pub(super) fn get(&self, name: &TopicName) -> Option<Arc<TopicInfo>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

fn misused(what: String) -> Fault {
    Fault::Log(LogError::Misused { what })
}
