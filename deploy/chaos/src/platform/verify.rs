//! What must hold after the kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mcsp_domain::ObjectKey;
use mcsp_events::{Topic, TopicName};
use mcsp_runtime::{EventLog, ObjectStore};
use serde_json::Value;

use super::Upload;
use super::receiver::Seen;
use crate::say;

/// Records that one read gives.
const READ_MAX: usize = 500;

/// Every good upload is published, every bad one blocked, with a reason.
pub(super) fn states(uploads: &[Upload], contents: &[String], states: &[(String, String)]) -> anyhow::Result<()> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for ((upload, content), (state, reason)) in uploads.iter().zip(contents).zip(states) {
        let wanted = if upload.is_good { "PUBLISHED" } else { "BLOCKED" };
        ensure!(
            state == wanted,
            "upload {} ({}, {content}) is {state}, not {wanted}: {reason}",
            upload.number,
            upload.name
        );
        ensure!(upload.is_good || !reason.is_empty(), "upload {} was blocked without a reason", upload.number);
        *counts.entry(wanted).or_default() += 1;
    }
    say(&format!("platform: {counts:?}, as seeded"))
}

/// Each content was announced once and each good one published once; nothing was given up.
pub(super) async fn log(log: &dyn EventLog, uploads: &[Upload], contents: &[String]) -> anyhow::Result<()> {
    let initiated = counts(log, Topic::UploadInitiated).await?;
    let packaged = counts(log, Topic::DrmPackaged).await?;
    let published = counts(log, Topic::Published).await?;
    for (upload, content) in uploads.iter().zip(contents) {
        let count = |counts: &BTreeMap<String, u32>| counts.get(content).copied().unwrap_or(0);
        let good = u32::from(upload.is_good);
        let found = (count(&initiated), count(&packaged), count(&published));
        ensure!(
            found == (1, good, good),
            "upload {} was initiated, packaged, published {found:?} times",
            upload.number
        );
    }
    let failed = counts(log, Topic::StageFailed).await?;
    ensure!(failed.is_empty(), "stages gave records up: {failed:?}");
    say("platform: each event once, nothing given up")
}

/// Counts a topic's records by content.
async fn counts(log: &dyn EventLog, topic: Topic) -> anyhow::Result<BTreeMap<String, u32>> {
    let name = TopicName::from(topic);
    let mut counts = BTreeMap::new();
    for span in log.partitions(&name).await? {
        let mut next = span.begin_offset;
        loop {
            let records = log.read(&name, span.partition, next, READ_MAX).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            for record in &records {
                let payload: Value = serde_json::from_slice(&record.payload).context("a payload is no JSON")?;
                *counts.entry(payload["content"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

/// Each kind of news of a content came under one id, however often.
pub(super) fn webhooks(seen: &Seen, contents: &[String]) -> anyhow::Result<()> {
    for ((content, kind), ids) in seen {
        ensure!(!contents.contains(content) || ids.len() == 1, "{kind} of {content} came under {} ids", ids.len());
    }
    say(&format!("platform: {} webhooks, each under one id", seen.len()))
}

/// Waits until the deleted content has no package any more.
pub(super) async fn wait_until_swept(
    store: &dyn ObjectStore,
    uploads: &[Upload],
    contents: &[String],
    max: Duration,
) -> anyhow::Result<()> {
    let deleted = uploads.iter().position(|upload| upload.is_good).and_then(|index| contents.get(index));
    let deleted = deleted.context("no good upload")?;
    let began = Instant::now();
    while !names(store, &format!("media/{deleted}"), 2).await?.is_empty() {
        ensure!(began.elapsed() < max, "{deleted} was deleted and still has objects after {max:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Only what is published has objects, and of one plan; nothing unfinished lies about.
pub(super) async fn objects(store: &dyn ObjectStore, uploads: &[Upload], contents: &[String]) -> anyhow::Result<()> {
    let deleted = uploads.iter().position(|upload| upload.is_good);
    for (index, (upload, content)) in uploads.iter().zip(contents).enumerate() {
        let plans = names(store, &format!("media/{content}/1"), 3).await?.len();
        let wanted = usize::from(upload.is_good && Some(index) != deleted);
        ensure!(plans == wanted, "{content} has {plans} packages, not {wanted}");
    }
    for kind in ["uploads", "work", "media"] {
        for name in names(store, kind, 1).await? {
            ensure!(contents.contains(&name), "{kind}/{name} belongs to nobody");
        }
    }
    say("platform: no object without its content")
}

/// Returns the words at a place of all keys below a prefix: at 1 in `media/<content>/<revision>/<plan>/…` stands the content.
async fn names(store: &dyn ObjectStore, prefix: &str, place: usize) -> anyhow::Result<BTreeSet<String>> {
    let prefix = ObjectKey::parse(prefix)?;
    let (mut names, mut after) = (BTreeSet::new(), None);
    loop {
        let keys = store.list(&prefix, after.as_ref()).await?;
        names.extend(keys.iter().filter_map(|key| key.as_str().split('/').nth(place).map(str::to_owned)));
        let Some(last) = keys.into_iter().last() else { return Ok(names) };
        after = Some(last);
    }
}
