//! `mcsp group list|pause|resume|forget|replay`: consumer groups, how far behind they are, stopping them, sending them back.

use std::fmt::Write as _;

use anyhow::Context;
use mcsp_events::TopicName;
use mcsp_runtime::stage::{pause, paused, resume};
use mcsp_runtime::{ReplayFrom, now_us};

use super::args::{GroupArgs, GroupCommand};
use super::engines::Engines;
use super::records;

/// Runs the command; returns what is to be printed.
///
/// # Errors
/// When the configuration is refused or an engine fails.
pub(crate) async fn group(args: &GroupArgs) -> anyhow::Result<String> {
    let config = crate::config::load(&args.node.sources([]))?;
    let engines = Engines::open(&config).await?;
    match &args.command {
        GroupCommand::List => list(&engines).await,
        GroupCommand::Pause { group, reason } => {
            pause(engines.ledger.as_ref(), group.as_str(), reason).await?;
            Ok(format!("{group} is paused; what runs goes on to its end\n"))
        }
        GroupCommand::Resume { group } => {
            resume(engines.ledger.as_ref(), group.as_str()).await?;
            Ok(format!("{group} takes records again\n"))
        }
        GroupCommand::Forget { group } => {
            engines.log.forget_group(group).await?;
            Ok(format!("{group} is forgotten\n"))
        }
        GroupCommand::Replay { group, topic, from_us } => {
            let topic = TopicName::parse(topic)?;
            let from = from_us.map_or(ReplayFrom::Beginning, ReplayFrom::TimeUs);
            let epoch = engines.log.replay(group, &topic, from).await.with_context(|| format!("replay of {topic}"))?;
            Ok(format!("{group} handles {topic} again, in epoch {epoch}\n"))
        }
    }
}

async fn list(engines: &Engines) -> anyhow::Result<String> {
    let mut text = String::new();
    for group in engines.log.groups().await? {
        let state = match paused(engines.ledger.as_ref(), group.as_str()).await? {
            Some(reason) => format!("paused: {reason}"),
            None => "runs".to_owned(),
        };
        writeln!(text, "{group}  epoch {}  {state}", engines.log.epoch(&group).await?)?;
        for (topic, (records, oldest_us)) in records::lag_by_topic(engines.log.as_ref(), &group).await? {
            let age = oldest_us.map_or(String::new(), |oldest_us| {
                format!(", the oldest {:.1} s old", now_us().saturating_sub(oldest_us) as f64 / 1e6)
            });
            writeln!(text, "  {topic}  {records} behind{age}")?;
        }
    }
    if text.is_empty() {
        text.push_str("no group has joined yet\n");
    }
    Ok(text)
}
