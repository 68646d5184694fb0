//! Whether a run lost anything or did anything twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use mcsp_domain::ContentId;
use mcsp_events::{GroupName, Topic, TopicName};
use mcsp_runtime::Record;

use crate::children::Children;
use crate::load::{CHUNKS, Load, chunk_key, number};
use crate::say;
use crate::world::World;

/// How long a run may take to come to rest.
const REST_MAX: Duration = Duration::from_secs(300);

const GROUPS: [&str; 6] =
    ["upload-ingestor", "copyright-scanner", "virus-scanner", "transcoder", "transcoding-orchestrator", "content"];

/// What a run put out: topic, key and payload of every record with a repeating id, each once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outputs(BTreeMap<String, BTreeSet<(String, Vec<u8>)>>);

/// Waits until no group has anything left to do and the outbox is empty.
pub(crate) async fn wait_until_settled(world: &World, children: &mut Children) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        children.check()?;
        let mut left = Vec::new();
        for group in GROUPS {
            let lag = world.log.lag(&GroupName::parse(group)?).await?;
            let joined = !lag.is_empty();
            let records: u64 = lag.iter().map(|lag| lag.records).sum();
            if records > 0 || !joined {
                left.push(format!("{group} {records}"));
            }
        }
        if !world.catalog.outbox_after(0, 1).await?.is_empty() {
            left.push("outbox".to_owned());
        }
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > REST_MAX {
            bail!("not at rest after {REST_MAX:?}: {}", left.join(", "));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Checks every count and every object.
pub(crate) async fn verify(world: &World, load: Load) -> anyhow::Result<Outputs> {
    let good: BTreeSet<u32> = load.good().collect();
    let bad: BTreeSet<u32> = (0..load.count).filter(|number| !good.contains(number)).collect();
    let mut outputs = BTreeMap::new();
    let expected = [
        (Topic::UploadInitiated, 1, (0..load.count).collect()),
        (Topic::UploadCompleted, 1, good.clone()),
        (Topic::TranscodeRequestedInteractive, CHUNKS, good.clone()),
        (Topic::ChunkTranscoded, CHUNKS, good.clone()),
        (Topic::TranscodingCompleted, 1, good.clone()),
        (Topic::ModerationFlagged, 1, good.clone()),
        (Topic::Published, 1, good.clone()),
        (Topic::StageFailed, 1, bad.clone()),
    ];
    for (topic, each, contents) in expected {
        let records = records(world, &topic.into()).await?;
        check(topic.name(), &records, each, &contents)?;
        let told: BTreeSet<_> = records.into_iter().map(|record| (record.key, record.payload)).collect();
        outputs.insert(topic.name().to_owned(), told);
    }
    for group in GROUPS {
        let dead = records(world, &TopicName::dead(&GroupName::parse(group)?)).await?;
        let expected = if group == "upload-ingestor" { bad.clone() } else { BTreeSet::new() };
        check(&format!("dead.{group}"), &dead, 1, &expected)?;
    }
    for number in &good {
        for chunk in 0..CHUNKS {
            let bytes = world.objects.get(&chunk_key(*number, chunk)?).await?;
            ensure!(bytes == load.chunk(*number, chunk), "chunk {chunk} of content {number} holds other bytes");
        }
    }
    say(&format!(
        "{} contents: {} published once each, {} seeded bad in dead.upload-ingestor, {} objects as they must be",
        load.count,
        good.len(),
        bad.len(),
        good.len() * 3
    ))?;
    Ok(Outputs(outputs))
}

/// Checks that each of `contents` has `each` records, no more, and nobody else has any.
fn check(name: &str, records: &[Record], each: u32, contents: &BTreeSet<u32>) -> anyhow::Result<()> {
    let mut counts: BTreeMap<u32, u32> = contents.iter().map(|number| (*number, 0)).collect();
    for record in records {
        let number = number(ContentId::parse(&record.key).context("a record's key is no content")?);
        *counts.entry(number).or_default() += 1;
    }
    let wrong: Vec<_> =
        counts.iter().filter(|(number, count)| **count != each || !contents.contains(number)).take(5).collect();
    ensure!(wrong.is_empty(), "{name}: expected {each} records of each content, found (content, records) {wrong:?}");
    Ok(())
}

async fn records(world: &World, topic: &TopicName) -> anyhow::Result<Vec<Record>> {
    let Ok(spans) = world.log.partitions(topic).await else { return Ok(Vec::new()) };
    let mut records = Vec::new();
    for span in spans {
        let mut from = span.begin_offset;
        while from < span.end_offset {
            let read = world.log.read(topic, span.partition, from, 1000).await?;
            let Some(last) = read.last() else { break };
            from = last.offset + 1;
            records.extend(read);
        }
    }
    Ok(records)
}
