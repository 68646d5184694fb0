//! `mcsp trace`: one content's life, from the log alone: who said what when, how long it took, what failed, what runs now.

use std::fmt::Write as _;

use anyhow::ensure;
use mcsp_domain::limits;
use mcsp_events::{Key, Topic, TopicName};
use mcsp_runtime::Record;
use mcsp_runtime::stage::Beat;
use serde_json::json;

use super::args::TraceArgs;
use super::engines::Engines;
use super::records;

/// Runs the command; returns what is to be printed.
///
/// # Errors
/// When the configuration is refused, an engine fails, or nobody has heard of the content.
pub(crate) async fn trace(args: &TraceArgs) -> anyhow::Result<String> {
    let config = crate::config::load(&args.node.sources([]))?;
    let engines = Engines::open(&config).await?;
    let key = args.content.to_string();
    let mut life = Vec::new();
    for topic in Topic::ALL.iter().filter(|topic| topic.spec().key != Key::User) {
        let is_spread = topic.spec().key == Key::ContentChunk;
        life.extend(records::of_key(engines.log.as_ref(), &TopicName::from(*topic), &key, is_spread).await?);
    }
    for group in engines.log.groups().await? {
        life.extend(records::of_key(engines.log.as_ref(), &TopicName::dead(&group), &key, true).await?);
    }
    ensure!(!life.is_empty(), "no event tells of content {key}");
    life.sort_by_key(|record| record.headers.time_us);
    let beats = beats(&engines, &key).await?;
    if args.json { as_json(&life, &beats) } else { as_text(&life, &beats) }
}

/// Returns what stages say of work that runs now.
async fn beats(engines: &Engines, key: &str) -> anyhow::Result<Vec<(String, Beat)>> {
    let mut beats = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let found = engines.ledger.scan("progress/", after.as_deref()).await?;
        let is_last = found.len() < limits::TTL_SCAN_MAX;
        for (name, text) in &found {
            let mut parts = name.split('/').skip(1);
            let (stage, of) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            if let (true, Ok(beat)) = (of == key, serde_json::from_slice(text)) {
                beats.push((stage.to_owned(), beat));
            }
        }
        after = found.into_iter().next_back().map(|(name, _)| name);
        if is_last {
            return Ok(beats);
        }
    }
}

fn as_text(life: &[Record], beats: &[(String, Beat)]) -> anyhow::Result<String> {
    let begin_us = life.first().map_or(0, |record| record.headers.time_us);
    let mut text = String::new();
    let mut traces: Vec<&str> =
        life.iter().filter_map(|record| Some(record.headers.traceparent.as_ref()?.trace_id())).collect();
    traces.dedup();
    if let Some(trace) = traces.first() {
        writeln!(text, "trace {trace}")?;
    }
    for record in life {
        let headers = &record.headers;
        let at_s = (headers.time_us - begin_us) as f64 / 1e6;
        write!(text, "{at_s:>9.3} s  {:<38} {}", record.topic.as_str(), headers.source)?;
        if let Some(started_us) = headers.started_us {
            write!(text, "  took {:.3} s", (headers.time_us - started_us) as f64 / 1e6)?;
        }
        if let Some(attempt) = headers.attempt.filter(|attempt| *attempt > 1) {
            write!(text, "  attempt {attempt}")?;
        }
        if let Some(worker) = &headers.worker {
            write!(text, "  on {worker}")?;
        }
        if let Some(what) = detail(record) {
            write!(text, "  {what}")?;
        }
        writeln!(text)?;
    }
    for (stage, beat) in beats {
        let share = f64::from(beat.permille) / 10.0;
        writeln!(
            text,
            "      now    {stage} on {}: {share:.1} % {}, attempt {}",
            beat.worker, beat.note, beat.attempt
        )?;
    }
    Ok(text)
}

/// Returns what sets one event apart from its neighbours.
fn detail(record: &Record) -> Option<String> {
    if let Some(end) = &record.headers.dead {
        return Some(format!("given up after {} attempts: {}", end.attempts, end.error));
    }
    let payload: serde_json::Value = serde_json::from_slice(&record.payload).ok()?;
    let text = |name: &str| Some(payload.get(name)?.as_str()?.to_owned());
    let number = |name: &str| payload.get(name)?.as_u64();
    match Topic::of(record.topic.as_str())? {
        Topic::TranscodeRequestedInteractive | Topic::TranscodeRequestedBulk | Topic::ChunkTranscoded => {
            Some(format!("chunk {} of {}", number("chunk")?, number("chunk_count")?))
        }
        Topic::TranscodingCompleted => text("rendition"),
        Topic::DrmPackaged => text("folder"),
        Topic::StageFailed => Some(format!("{}: {}", text("stage")?, text("error")?)),
        Topic::UploadBlocked => text("detail"),
        Topic::CopyrightCleared => text("cleared_by"),
        _ => None,
    }
}

fn as_json(life: &[Record], beats: &[(String, Beat)]) -> anyhow::Result<String> {
    let mut text = String::new();
    for record in life {
        let payload: serde_json::Value = serde_json::from_slice(&record.payload).unwrap_or_default();
        let position = record.position();
        writeln!(text, "{}", json!({ "position": position, "headers": record.headers, "payload": payload }))?;
    }
    for (stage, beat) in beats {
        writeln!(text, "{}", json!({ "stage": stage, "progress": beat }))?;
    }
    Ok(text)
}
