//! `mcsp fingerprint`, `mcsp match` and `mcsp library`: what is remembered of a file, what of it the library knows, and the
//! library itself.

pub(crate) mod args;
mod shelf;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use mcsp_domain::{ReferenceId, UserId};
use mcsp_fingerprint::{Channel, Fingerprint, Reference, ReferenceAsset, RightsDecision, Segment};
use mcsp_runtime::{ObjectStore, StageError};
use mcsp_sandbox::Sandbox;
use mcsp_sandbox::child::Isolation;
use mcsp_stages::copyright::{Density, Library, remember};
use serde_json::json;

use crate::args::IsolationArg;
use crate::ids::random_id;
use crate::platform::args::NodeArgs;
use crate::platform::engines::Engines;
use crate::process::{failure, open_source};
use args::{FingerprintArgs, LibraryAddArgs, LibraryArgs, LibraryCommand, MatchArgs};
use shelf::Shelf;

/// Runs of a decode before it is given up: a killed child may have been killed by the system's need of memory.
const ATTEMPTS_MAX: u32 = 3;

/// Runs `mcsp fingerprint`; returns what is to be printed.
///
/// # Errors
/// When the file is refused, or cannot be stored.
pub(crate) async fn fingerprint(args: &FingerprintArgs) -> anyhow::Result<String> {
    let made = make(&args.input, args.isolation, Density::Reference).await?;
    let bytes = made.to_bytes();
    if let Some(path) = &args.out {
        tokio::fs::write(path, &bytes).await.with_context(|| format!("could not write {}", path.display()))?;
    }
    let told = json!({
        "pictures": made.video.len(), "landmarks": made.audio.len(), "duration_ms": made.duration_ms(), "bytes": bytes.len(),
    });
    Ok(serde_json::to_string_pretty(&told)? + "\n")
}

/// Runs `mcsp match`; returns what is to be printed.
///
/// # Errors
/// When the configuration or the file is refused, or the library cannot be read.
pub(crate) async fn match_file(args: &MatchArgs) -> anyhow::Result<String> {
    let store = open_store(&args.node).await?;
    let made = make(&args.input, args.isolation, Density::Upload).await?;
    let uploader = match args.uploader {
        Some(uploader) => uploader,
        None => random_id(UserId::new)?,
    };
    let decision = Library::new(store).decide(made, uploader).await.map_err(failure)?;
    if args.json {
        return Ok(serde_json::to_string_pretty(&decision)? + "\n");
    }
    table(&decision)
}

/// Runs `mcsp library`; returns what is to be printed.
///
/// # Errors
/// When the configuration or a file is refused, a reference is unknown, or the store fails.
pub(crate) async fn library(args: &LibraryArgs) -> anyhow::Result<String> {
    let shelf = Shelf::new(open_store(&args.node).await?);
    match &args.command {
        LibraryCommand::Add(args) => add(&shelf, args).await,
        LibraryCommand::List { json } => list(&shelf, *json).await,
        LibraryCommand::Remove { references } => {
            let pointer = shelf.remove(references).await?;
            Ok(format!("{} removed, {} left\n", references.len(), pointer.references))
        }
    }
}

async fn open_store(node: &NodeArgs) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let config = crate::config::load(&node.sources([]))?;
    let engines = Engines::open(&config).await?;
    engines.library(&config)
}

async fn add(shelf: &Shelf, args: &LibraryAddArgs) -> anyhow::Result<String> {
    let fingerprint = make(&args.input, args.isolation, Density::Reference).await?;
    let name = args.input.display();
    anyhow::ensure!(!fingerprint.video.is_empty() || !fingerprint.audio.is_empty(), "{name} shows and sounds nothing");
    let file_name = || args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let asset = ReferenceAsset {
        id: random_id(ReferenceId::new)?,
        title: args.title.clone().unwrap_or_else(file_name),
        owner: args.owner.clone(),
        duration_ms: fingerprint.duration_ms(),
        policy: args.policy(),
    };
    let (pictures, landmarks) = (fingerprint.video.len(), fingerprint.audio.len());
    let reference = Reference { asset, fingerprint };
    let pointer = shelf.add(&reference).await?;
    let id = reference.asset.id;
    Ok(format!("{id}\n{pictures} pictures, {landmarks} landmarks; {} references\n", pointer.references))
}

async fn list(shelf: &Shelf, json: bool) -> anyhow::Result<String> {
    let assets: Vec<ReferenceAsset> = shelf.references().await?.into_iter().map(|reference| reference.asset).collect();
    if json {
        return Ok(serde_json::to_string_pretty(&assets)? + "\n");
    }
    if assets.is_empty() {
        return Ok("no references\n".to_owned());
    }
    let mut text = String::new();
    for asset in assets {
        let policy = serde_json::to_value(asset.policy.action)?;
        let (id, owner, title, seconds) = (asset.id, asset.owner, asset.title, asset.duration_ms / 1000);
        writeln!(text, "{id}  {:6}  {seconds:>6} s  {title}  ({owner})", policy.as_str().unwrap_or_default())?;
    }
    Ok(text)
}

/// Makes the fingerprint of a file in the confined child.
async fn make(input: &Path, isolation: IsolationArg, density: Density) -> anyhow::Result<Fingerprint> {
    let source = open_source(input)?;
    let sandbox = Sandbox::beside_current_exe(Isolation::from(isolation))?;
    for attempt in 1.. {
        match remember(&source, &sandbox, density, attempt, &|_| {}).await {
            Ok(made) => return Ok(made),
            Err(StageError::Retry(..)) if attempt < ATTEMPTS_MAX => {}
            Err(error) => return Err(failure(error)).with_context(|| input.display().to_string()),
        }
    }
    unreachable!("the last attempt returns");
}

/// Writes a decision for people.
fn table(decision: &RightsDecision) -> anyhow::Result<String> {
    let verdict = serde_json::to_value(decision.verdict)?;
    let mut text = format!("{}: {}\n", verdict.as_str().unwrap_or_default(), decision.reason);
    for asset in &decision.assets {
        let verdict = serde_json::to_value(asset.verdict)?;
        writeln!(text, "{}  {}  {}", asset.reference, verdict.as_str().unwrap_or_default(), asset.reason)?;
        for segment in &asset.segments {
            writeln!(text, "  {}", line(segment)?)?;
        }
    }
    Ok(text)
}

fn line(segment: &Segment) -> anyhow::Result<String> {
    let what = match segment.channel {
        Channel::Video => "pictures",
        Channel::Audio => "sound",
    };
    let seconds = |ms: u64| format!("{}.{}", ms / 1000, ms % 1000 / 100);
    let transform = serde_json::to_value(segment.transform)?;
    let (query, reference) = (segment.query, segment.reference);
    Ok(format!(
        "{what} {} to {} s are {} to {} s of it, {}, {} of them agree",
        seconds(query.start_ms),
        seconds(query.end_ms),
        seconds(reference.start_ms),
        seconds(reference.end_ms),
        transform.as_str().unwrap_or_default(),
        segment.marks,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::Digest;
    use mcsp_fingerprint::matching::{MatchedAsset, Span};
    use mcsp_fingerprint::video::Dihedral;
    use mcsp_fingerprint::{RightsPolicy, Verdict};

    #[test]
    fn a_decision_is_told_with_its_times() {
        let segment = Segment {
            channel: Channel::Video,
            query: Span { start_ms: 8000, end_ms: 20_100 },
            reference: Span { start_ms: 14_000, end_ms: 26_100 },
            transform: Dihedral::FlipY,
            evidence: 900,
            marks: 24,
            share_permille: 1000,
        };
        let asset = MatchedAsset {
            reference: ReferenceId::new(1, &[0; 10]),
            title: "film 1".to_owned(),
            owner: "a studio".to_owned(),
            verdict: Verdict::Blocked,
            policy: RightsPolicy::default(),
            reason: "\"film 1\" of a studio: 12.1 s of its pictures from 8 s on".to_owned(),
            segments: vec![segment],
        };
        let decision = RightsDecision {
            verdict: Verdict::Blocked,
            reason: asset.reason.clone(),
            assets: vec![asset],
            library: Digest::of(&[]),
            algorithm: 1,
        };
        let text = table(&decision).unwrap();
        assert!(text.starts_with("blocked: \"film 1\" of a studio: 12.1 s"), "{text}");
        assert!(
            text.ends_with("  pictures 8.0 to 20.1 s are 14.0 to 26.1 s of it, flip_y, 24 of them agree\n"),
            "{text}"
        );
    }
}
