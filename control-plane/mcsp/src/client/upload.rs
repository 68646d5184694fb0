//! `mcsp upload`: films go straight to the object store in parts, several at a time; a second run of the same command goes on
//! where the first one stopped.

use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mcsp_domain::ContentState;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, Refused};
use super::args::UploadArgs;
use super::content;
use super::resume::Note;

/// Parts of one film on their way at a time.
const PARTS_AT_ONCE: usize = 4;
/// Parts whose addresses are asked for at a time.
const SIGN_AT_ONCE: usize = 100;
/// Tries of one part.
const TRIES_MAX: u32 = 8;
/// The delay after a part's first failure; each further one doubles it.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// How often a film is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the platform says of an upload.
#[derive(Deserialize)]
struct State {
    state: String,
    content_id: String,
    bytes: u64,
    missing: Vec<u32>,
}

/// Where one part goes.
#[derive(Clone, Deserialize)]
struct Part {
    number: u32,
    url: String,
    headers: std::collections::BTreeMap<String, String>,
    offset_bytes: u64,
    size_bytes: u64,
}

/// Uploads each film and returns what the command prints.
///
/// # Errors
/// When one film could not be uploaded, or was waited for and not published; the others went on.
pub(crate) async fn run(args: &UploadArgs) -> anyhow::Result<String> {
    ensure!(args.title.is_none() || args.files.len() == 1, "--title names one film, {} were given", args.files.len());
    let api = Api::open()?;
    let bars = MultiProgress::new();
    let mut text = String::new();
    let mut failures = 0;
    for file in &args.files {
        let outcome = async {
            let content = upload(&api, args, file, &bars).await?;
            if args.wait {
                wait(&api, &content, &bars).await
            } else {
                Ok((content, ContentState::Uploaded, String::new()))
            }
        };
        let name = file.display();
        match outcome.await {
            Ok((content, state, reason)) => {
                let is_bad = args.wait && state != ContentState::Published;
                failures += u32::from(is_bad);
                if args.json {
                    let line =
                        json!({ "file": name.to_string(), "content": content, "state": state, "reason": reason });
                    writeln!(text, "{line}")?;
                } else {
                    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
                    writeln!(text, "{content}  {state}  {name}{reason}")?;
                    if state == ContentState::Published {
                        writeln!(text, "watch at {}/watch?content={content}", api.server().await)?;
                    }
                }
            }
            Err(error) if args.json => {
                failures += 1;
                writeln!(text, "{}", json!({ "file": name.to_string(), "error": format!("{error:#}") }))?;
            }
            Err(error) => {
                failures += 1;
                writeln!(text, "{name}: {error:#}")?;
            }
        }
    }
    if failures > 0 {
        crate::print(&text)?;
        bail!("{failures} of {} films ended otherwise than they should", args.files.len());
    }
    Ok(text)
}

/// Uploads one film; returns its content.
async fn upload(api: &Api, args: &UploadArgs, file: &Path, bars: &MultiProgress) -> anyhow::Result<String> {
    let server = api.server().await;
    let note = Note::of(&server, file)?;
    let (session, state) = match going_on(api, &note).await? {
        Some(found) => found,
        None => begin(api, args, file, &server, &note).await?,
    };
    if state.state == "open" {
        let source = Arc::new(File::open(file)?);
        let bar = bars.add(ProgressBar::new(source.metadata()?.len()).with_style(style()));
        bar.set_prefix(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
        bar.set_position(state.bytes);
        bar.reset_eta();
        for numbers in state.missing.chunks(SIGN_AT_ONCE) {
            let parts = sign(api, &session, numbers).await?;
            let sending = parts.into_iter().map(|part| send(api, &session, Arc::clone(&source), part, &bar));
            stream::iter(sending).buffer_unordered(PARTS_AT_ONCE).try_collect::<Vec<()>>().await?;
        }
        api.post(&format!("uploads/{session}/complete"), &json!({})).await?;
        bar.finish_and_clear();
    }
    note.remove();
    Ok(state.content_id)
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{prefix:>24} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Returns an upload that an earlier run began, where the platform still knows it.
async fn going_on(api: &Api, note: &Note) -> anyhow::Result<Option<(String, State)>> {
    let Some(begun) = note.read() else { return Ok(None) };
    match state(api, &begun.session).await {
        Ok(state) if matches!(state.state.as_str(), "open" | "complete") => Ok(Some((begun.session, state))),
        Ok(_) => Ok(None),
        Err(error) => match error.downcast_ref::<Refused>().map(|refused| refused.status) {
            Some(StatusCode::NOT_FOUND | StatusCode::GONE) => Ok(None),
            _ => Err(error),
        },
    }
}

async fn begin(
    api: &Api,
    args: &UploadArgs,
    file: &Path,
    server: &str,
    note: &Note,
) -> anyhow::Result<(String, State)> {
    let name = file.file_name().context("the film has no name")?.to_string_lossy().into_owned();
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut body = json!({
        "file_name": name, "size_bytes": std::fs::metadata(file)?.len(),
        "title": args.title.clone().unwrap_or(stem), "description": args.description,
        "visibility": args.visibility, "tier": args.tier,
    });
    if let Some(region) = &args.region {
        body["region"] = json!(region);
    }
    let answer = api.post("uploads/session", &body).await?;
    let text =
        |name: &str| answer[name].as_str().map(str::to_owned).with_context(|| format!("the answer has no {name}"));
    let (session, content) = (text("session_id")?, text("content_id")?);
    note.write(server, &session, &content)?;
    let state = state(api, &session).await?;
    Ok((session, state))
}

async fn state(api: &Api, session: &str) -> anyhow::Result<State> {
    let answer = api.get(&format!("uploads/{session}")).await?;
    serde_json::from_value(answer).context("the platform's answer about the upload")
}

async fn sign(api: &Api, session: &str, numbers: &[u32]) -> anyhow::Result<Vec<Part>> {
    let wanted: Vec<Value> = numbers.iter().map(|number| json!({ "number": number })).collect();
    let answer = api.post(&format!("uploads/{session}/parts"), &json!({ "parts": wanted })).await?;
    let parts = answer.get("parts").cloned().unwrap_or_default();
    serde_json::from_value(parts).context("the platform's answer about parts")
}

/// Sends one part, again where the network fails, with a new address where the old one ran out.
async fn send(api: &Api, session: &str, source: Arc<File>, part: Part, bar: &ProgressBar) -> anyhow::Result<()> {
    let mut address = part.clone();
    let mut delay = RETRY_FIRST;
    for attempt in 1.. {
        let body = read(Arc::clone(&source), part.offset_bytes, part.size_bytes).await?;
        let fault = match put(api, &address, body).await {
            Ok(status) if status.is_success() => {
                bar.inc(part.size_bytes);
                return Ok(());
            }
            Ok(status) => format!("the store answered {status}"),
            Err(error) => format!("{error:#}"),
        };
        ensure!(attempt < TRIES_MAX, "part {} could not be stored: {fault}", part.number);
        tokio::time::sleep(delay).await;
        delay *= 2;
        if let Some(again) = sign(api, session, &[part.number]).await?.pop() {
            address = again;
        }
    }
    unreachable!("the last try returns")
}

async fn read(source: Arc<File>, offset_bytes: u64, size_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(size_bytes).context("a part is larger than memory")?];
        source.read_exact_at(&mut bytes, offset_bytes).context("the film became shorter while it was uploaded")?;
        Ok(bytes)
    });
    reading.await?
}

async fn put(api: &Api, part: &Part, body: Vec<u8>) -> anyhow::Result<StatusCode> {
    let mut request = api.client.put(&part.url);
    for (name, value) in &part.headers {
        // The client sets these by itself.
        if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("content-length") {
            request = request.header(name, value);
        }
    }
    Ok(request.body(body).send().await.context("the store cannot be reached")?.status())
}

/// Waits until a content is published or ended otherwise; returns its state and why.
async fn wait(api: &Api, content: &str, bars: &MultiProgress) -> anyhow::Result<(String, ContentState, String)> {
    let bar = bars.add(ProgressBar::new_spinner());
    bar.enable_steady_tick(Duration::from_millis(200));
    loop {
        let timeline = content::timeline(api, content).await?;
        let state: ContentState =
            serde_json::from_value(timeline["state"].clone()).context("the content has no state")?;
        if !matches!(state, ContentState::Draft | ContentState::Uploaded | ContentState::Processing) {
            bar.finish_and_clear();
            return Ok((content.to_owned(), state, content::word(&timeline["reason"])));
        }
        bar.set_message(running(&timeline));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Returns the steps that run now.
fn running(timeline: &Value) -> String {
    let steps = timeline["steps"].as_array().into_iter().flatten();
    let names = steps.filter(|step| step["state"] == "running").map(|step| content::word(&step["name"]));
    names.collect::<Vec<_>>().join(", ")
}
