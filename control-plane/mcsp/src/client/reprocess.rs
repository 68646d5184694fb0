//! `mcsp reprocess`: a run over several contents, planned first, gone on with by its id.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::{Value, json};

use super::api::Api;
use super::args::{From, ReprocessArgs};
use super::content::word;

/// Runs the command and returns what it prints.
///
/// # Errors
/// When the platform refuses or cannot be reached.
pub(crate) async fn run(args: &ReprocessArgs) -> anyhow::Result<String> {
    let api = Api::open()?;
    let run = match (&args.run, &args.query) {
        (Some(run), _) => api.post(&format!("reprocess/{run}"), &json!({})).await?,
        (None, query) => {
            let from = match args.from {
                From::Transcode => "transcode",
                From::Package => "package",
            };
            let query = query.as_deref().context("a query or --run is wanted")?;
            api.post("reprocess", &json!({ "query": query, "from": from, "dry_run": args.dry_run })).await?
        }
    };
    if args.json {
        return Ok(run.to_string() + "\n");
    }
    told(&run, args.dry_run)
}

fn told(run: &Value, dry_run: bool) -> anyhow::Result<String> {
    let items = run["items"].as_array().context("the answer has no items")?;
    let mut text = String::new();
    for item in items {
        let reason = word(&item["reason"]);
        writeln!(text, "{}  {:<8}  {}  {reason}", word(&item["content"]), word(&item["state"]), word(&item["title"]))?;
    }
    let noun = if items.len() == 1 { "content" } else { "contents" };
    if dry_run {
        writeln!(text, "{} {noun} would be reprocessed; nothing was done", items.len())?;
    } else {
        let id = word(&run["run"]);
        writeln!(text, "run {id}: {} {noun}; go on with: mcsp reprocess --run {id}", items.len())?;
    }
    Ok(text)
}
