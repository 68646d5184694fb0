//! `mcsp dead list|show|replay`: what groups gave up, why, and trying it again.

use std::fmt::Write as _;

use anyhow::{Context, bail, ensure};
use mcsp_domain::EventId;
use mcsp_events::{GroupName, TopicName};
use mcsp_runtime::Record;
use mcsp_runtime::stage::redeliver;
use serde_json::json;

use super::args::{DeadArgs, DeadCommand};
use super::engines::Engines;
use super::records;

/// Runs the command; returns what is to be printed.
///
/// # Errors
/// When the configuration is refused, an engine fails, or no such letter exists.
pub(crate) async fn dead(args: &DeadArgs) -> anyhow::Result<String> {
    let config = crate::config::load(&args.node.sources([]))?;
    let engines = Engines::open(&config).await?;
    match &args.command {
        DeadCommand::List { group } => list(&engines, group.as_deref()).await,
        DeadCommand::Show { event } => show(&engines, *event).await,
        DeadCommand::Replay { events, group } => replay(&engines, events, group.as_deref()).await,
    }
}

/// Returns the dead letters of one group, or of all.
async fn letters(engines: &Engines, group: Option<&str>) -> anyhow::Result<Vec<(GroupName, Record)>> {
    let groups = match group {
        Some(group) => vec![GroupName::parse(group)?],
        None => engines.log.groups().await?,
    };
    let mut letters = Vec::new();
    for group in groups {
        for record in records::all(engines.log.as_ref(), &TopicName::dead(&group)).await? {
            letters.push((group.clone(), record));
        }
    }
    Ok(letters)
}

async fn list(engines: &Engines, group: Option<&str>) -> anyhow::Result<String> {
    let letters = letters(engines, group).await?;
    if letters.is_empty() {
        return Ok("no dead letters\n".to_owned());
    }
    let mut text = String::new();
    for (group, record) in letters {
        let (error, attempts, topic) = match &record.headers.dead {
            Some(end) => (end.error.as_str(), end.attempts, end.topic.as_str()),
            None => ("", 0, "?"),
        };
        let id = record.headers.id;
        writeln!(text, "{id}  {group}  {topic}  key {}  attempts {attempts}  {error}", record.key)?;
    }
    Ok(text)
}

async fn find(engines: &Engines, event: EventId) -> anyhow::Result<(GroupName, Record)> {
    let mut letters = letters(engines, None).await?.into_iter();
    letters.find(|(_, record)| record.headers.id == event).with_context(|| format!("no dead letter has the id {event}"))
}

async fn show(engines: &Engines, event: EventId) -> anyhow::Result<String> {
    let (group, record) = find(engines, event).await?;
    let payload: serde_json::Value = serde_json::from_slice(&record.payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(&record.payload).into_owned().into());
    let whole = json!({
        "group": group,
        "key": record.key,
        "headers": record.headers,
        "payload": payload,
    });
    Ok(serde_json::to_string_pretty(&whole)? + "\n")
}

async fn replay(engines: &Engines, events: &[EventId], group: Option<&str>) -> anyhow::Result<String> {
    let mut chosen = Vec::new();
    match group {
        Some(group) => chosen = letters(engines, Some(group)).await?,
        None => {
            for event in events {
                chosen.push(find(engines, *event).await?);
            }
        }
    }
    ensure!(!chosen.is_empty(), "there is nothing to replay");
    let mut text = String::new();
    for (group, record) in chosen {
        match redeliver(engines.log.as_ref(), engines.ledger.as_ref(), &group, &record).await {
            Ok(event) => writeln!(text, "{event}  goes to {group} again")?,
            Err(error) => bail!(anyhow::Error::from(error).context(format!("event {}", record.headers.id))),
        }
    }
    Ok(text)
}
