//! `mcsp content`: what somebody owns, and how far it is.

use std::fmt::Write as _;
use std::io::{BufRead, Write as _};

use anyhow::{Context, bail};
use mcsp_domain::ContentId;
use reqwest::Method;
use serde_json::{Value, json};

use super::api::Api;
use super::args::{ContentArgs, ContentCommand};

/// Runs the command and returns what it prints.
///
/// # Errors
/// When the platform refuses or cannot be reached.
pub(crate) async fn run(args: &ContentArgs) -> anyhow::Result<String> {
    let api = Api::open()?;
    match &args.command {
        ContentCommand::List { json } => list(&api, *json).await,
        ContentCommand::Show { content, json } => show(&api, *content, *json).await,
        ContentCommand::Delete { contents, yes } => delete(&api, contents, *yes).await,
        ContentCommand::Retry { content, rendition } => {
            let path = match rendition {
                Some(name) => format!("content/{content}/renditions/{}/retry", plain(name)?),
                None => format!("content/{content}/retry"),
            };
            api.post(&path, &json!({})).await?;
            Ok(format!("{content} is tried again; see mcsp content show {content}\n"))
        }
    }
}

/// Refuses a name that would be another address.
fn plain(name: &str) -> anyhow::Result<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    anyhow::ensure!(!name.is_empty() && name.chars().all(fits), "rendition {name:?} is no name");
    Ok(name)
}

async fn list(api: &Api, as_json: bool) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut cursor = None;
    loop {
        let path = match &cursor {
            Some(cursor) => format!("content?limit=100&cursor={cursor}"),
            None => "content?limit=100".to_owned(),
        };
        let page = api.get(&path).await?;
        for item in page["items"].as_array().context("the answer has no items")? {
            if as_json {
                writeln!(text, "{item}")?;
            } else {
                let reason = item["reason"].as_str().map(|reason| format!("  {reason}")).unwrap_or_default();
                writeln!(
                    text,
                    "{}  {:<10}  {}{reason}",
                    word(&item["id"]),
                    word(&item["state"]),
                    word(&item["title"])
                )?;
            }
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(text),
        }
    }
}

async fn show(api: &Api, content: ContentId, as_json: bool) -> anyhow::Result<String> {
    let timeline = timeline(api, &content.to_string()).await?;
    if as_json {
        return Ok(serde_json::to_string_pretty(&timeline)? + "\n");
    }
    let found = api.get(&format!("content/{content}")).await?;
    let mut text = format!("{}\nstate     {}\n", word(&found["title"]), word(&timeline["state"]));
    if let Some(reason) = timeline["reason"].as_str().filter(|reason| !reason.is_empty()) {
        writeln!(text, "reason    {reason}")?;
    }
    writeln!(text, "revision  {}", timeline["revision"])?;
    text.push_str(&steps(&timeline)?);
    for rendition in timeline["renditions"].as_array().into_iter().flatten() {
        let reason = word(&rendition["reason"]);
        writeln!(text, "  {:<14} {:<12} {reason}", word(&rendition["name"]), word(&rendition["state"]))?;
    }
    Ok(text)
}

/// Returns one line a step: how far, how long, which attempt, where, why.
pub(super) fn steps(timeline: &Value) -> anyhow::Result<String> {
    let mut text = String::new();
    for step in timeline["steps"].as_array().into_iter().flatten() {
        let time = |name: &str| step[name].as_i64();
        let took = match (time("started_us"), time("ended_us")) {
            (Some(started), Some(ended)) => format!("{:.1} s", (ended - started).max(0) as f64 / 1e6),
            _ => String::new(),
        };
        let attempt = step["attempt"].as_u64().filter(|attempt| *attempt > 1);
        let attempt = attempt.map(|attempt| format!("attempt {attempt}")).unwrap_or_default();
        let (name, state) = (word(&step["name"]), word(&step["state"]));
        writeln!(text, "  {name:<12} {state:<8} {took:>9}  {attempt} {}", word(&step["reason"]))?;
    }
    Ok(text)
}

/// Returns a content's timeline.
///
/// # Errors
/// As `Api::get`.
pub(super) async fn timeline(api: &Api, content: &str) -> anyhow::Result<Value> {
    api.get(&format!("content/{content}/timeline")).await
}

async fn delete(api: &Api, contents: &[ContentId], yes: bool) -> anyhow::Result<String> {
    if !yes && !confirmed(contents.len())? {
        bail!("nothing was removed");
    }
    let mut text = String::new();
    for content in contents {
        api.call(Method::DELETE, &format!("content/{content}"), None).await.with_context(|| content.to_string())?;
        writeln!(text, "{content} removed")?;
    }
    Ok(text)
}

fn confirmed(count: usize) -> anyhow::Result<bool> {
    let noun = if count == 1 { "content" } else { "contents" };
    write!(std::io::stderr(), "remove {count} {noun} for ever? [y/N] ")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("no answer: give --yes where there is no terminal")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// Returns a text of an answer, empty where there is none, without what would move the cursor of a terminal.
pub(super) fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
