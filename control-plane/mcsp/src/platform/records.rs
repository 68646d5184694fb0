//! Reading topics outside of any group, for operators.

use std::collections::BTreeMap;

use mcsp_events::{GroupName, Message, TopicName};
use mcsp_runtime::{EventLog, LogError, Record};

/// Records that one read takes.
const READ_MAX: usize = 1000;

/// Returns how far a group is behind in each of its topics: records, and the time of the oldest.
///
/// # Errors
/// When the log fails.
pub(crate) async fn lag_by_topic(
    log: &dyn EventLog,
    group: &GroupName,
) -> Result<BTreeMap<String, (u64, Option<i64>)>, LogError> {
    let mut topics: BTreeMap<String, (u64, Option<i64>)> = BTreeMap::new();
    for lag in log.lag(group).await? {
        let (records, oldest_us) = topics.entry(lag.topic.to_string()).or_default();
        *records += lag.records;
        *oldest_us = [*oldest_us, lag.oldest_us].into_iter().flatten().min();
    }
    Ok(topics)
}

/// Returns all records of a topic; none where the topic was never written to.
///
/// # Errors
/// When the log fails.
pub(crate) async fn all(log: &dyn EventLog, topic: &TopicName) -> Result<Vec<Record>, LogError> {
    let mut records = Vec::new();
    for span in spans(log, topic).await? {
        collect(log, topic, span, |_| true, &mut records).await?;
    }
    Ok(records)
}

/// Returns the records of one key. Where a topic keeps a key in one partition, only this one is read.
///
/// # Errors
/// When the log fails.
pub(crate) async fn of_key(
    log: &dyn EventLog,
    topic: &TopicName,
    key: &str,
    is_spread: bool,
) -> Result<Vec<Record>, LogError> {
    let spans = spans(log, topic).await?;
    let home = Message::partition_of(key, 0, u32::try_from(spans.len()).unwrap_or(u32::MAX));
    let mut records = Vec::new();
    for span in spans.into_iter().filter(|span| is_spread || span.partition == home) {
        collect(log, topic, span, |record| record.key == key, &mut records).await?;
    }
    Ok(records)
}

async fn spans(log: &dyn EventLog, topic: &TopicName) -> Result<Vec<mcsp_runtime::PartitionSpan>, LogError> {
    match log.partitions(topic).await {
        Ok(spans) => Ok(spans),
        Err(LogError::UnknownTopic { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn collect(
    log: &dyn EventLog,
    topic: &TopicName,
    span: mcsp_runtime::PartitionSpan,
    wanted: impl Fn(&Record) -> bool,
    into: &mut Vec<Record>,
) -> Result<(), LogError> {
    let mut from_offset = span.begin_offset;
    while from_offset < span.end_offset {
        let read = log.read(topic, span.partition, from_offset, READ_MAX).await?;
        let Some(last) = read.last() else { return Ok(()) };
        from_offset = last.offset + 1;
        into.extend(read.into_iter().filter(&wanted));
    }
    Ok(())
}
