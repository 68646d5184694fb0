//! `mcsp submit`: hands a film to the platform as an operator who answers for its rights: object and
//! `media.copyright.cleared`, without the checks of the upload flow.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use mcsp_domain::{ContentId, ObjectKey, Placement, Revision, SessionId, UserId, limits};
use mcsp_events::{
    Asset, ClearedBy, CopyrightCleared, DrmPackaged, Inputs, Lane, Outgoing, Seal, SourceObject, StageFailed, Topic,
};
use mcsp_runtime::{PutIf, now_us, telemetry};
use tracing::Instrument;

use super::args::SubmitArgs;
use super::engines::Engines;
use super::records;
use crate::ids::random_id;

/// Bytes of the film that are in memory at once.
const PIECE_BYTES: usize = 1 << 20;
/// How often a waiting submit looks for the end.
const LOOK: Duration = Duration::from_millis(300);

/// Runs the command; returns what is to be printed.
///
/// # Errors
/// When the configuration or the film is refused, an engine fails, or the platform gives the film up.
pub(crate) async fn submit(args: &SubmitArgs) -> anyhow::Result<String> {
    let config = crate::config::load(&args.node.sources([]))?;
    // The trace of the film begins here.
    let _telemetry = telemetry::start_with(&telemetry::Options {
        filter: std::env::var("MCSP_LOG").unwrap_or_else(|_| "warn,mcsp::platform=info".to_owned()),
        ..super::telemetry_options(&config)
    })?;
    let engines = Engines::open(&config).await?;
    let placement = config.placement(args.region.as_deref())?;
    let content = match args.content {
        Some(content) => content,
        None => random_id(ContentId::new)?,
    };
    let revision = Revision::new(args.revision).context("revision 0 is none")?;
    let asset = Asset { content, revision, placement };
    if args.content.is_some() {
        check_new(&engines, &asset).await?;
    }
    let span = tracing::info_span!("submit", %content);
    async {
        let source = store(&engines, &asset.placement, content, &args.input).await?;
        let event = CopyrightCleared {
            asset: asset.clone(),
            owner: random_id(UserId::new)?,
            source,
            cleared_by: ClearedBy::Operator,
            lane: Lane::Interactive,
        };
        let seal = Seal {
            source: "operator",
            now_us: now_us(),
            traceparent: telemetry::current_traceparent(),
            ..Seal::default()
        };
        let name = format!("cleared/{revision}");
        let message = Outgoing::once(content.as_bytes(), &name, &event).seal(&seal)?;
        engines.log.append(vec![message]).await?;
        anyhow::Ok(())
    }
    .instrument(span)
    .await?;
    if !args.wait {
        return Ok(format!("{content}\n"));
    }
    let packaged = wait(&engines, &asset).await?;
    Ok(format!("{content}\n{}\n{}\n", packaged.hls, packaged.dash))
}

/// A revision is cleared once: its event's id says so, and the log would leave a second one out.
async fn check_new(engines: &Engines, asset: &Asset) -> anyhow::Result<()> {
    let key = asset.content.to_string();
    for record in records::of_key(engines.log.as_ref(), &Topic::CopyrightCleared.into(), &key, false).await? {
        let earlier = CopyrightCleared::read(&record.topic, &record.headers, &record.payload)?;
        let (content, revision) = (asset.content, asset.revision);
        ensure!(
            earlier.asset.revision != revision,
            "revision {revision} of content {content} was submitted before: --revision takes the next number"
        );
    }
    Ok(())
}

/// Stores the film under a session of its own.
async fn store(
    engines: &Engines,
    placement: &Placement,
    content: ContentId,
    input: &Path,
) -> anyhow::Result<SourceObject> {
    let name = || input.display().to_string();
    let meta = std::fs::metadata(input).with_context(|| format!("could not open {}", name()))?;
    if !meta.is_file() || meta.len() == 0 || meta.len() > limits::SOURCE_LEN_BYTES_MAX {
        bail!("{} is no regular file of 1 to {} bytes", name(), limits::SOURCE_LEN_BYTES_MAX);
    }
    let bucket = engines.buckets.of(placement)?;
    let key = ObjectKey::upload(content, random_id(SessionId::new)?);
    let mut upload = bucket.begin(&key).await?;
    let mut file = std::fs::File::open(input).with_context(|| format!("could not open {}", name()))?;
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let len_bytes = tokio::task::block_in_place(|| file.read(&mut piece)).with_context(name)?;
        if len_bytes == 0 {
            break;
        }
        piece.truncate(len_bytes);
        upload.write(Bytes::from(piece)).await?;
    }
    upload.finish(PutIf::Absent).await?;
    let stored = bucket.head(&key).await?.with_context(|| format!("object {key} is gone"))?;
    Ok(SourceObject { key, etag: stored.etag.to_string(), len_bytes: stored.len_bytes })
}

/// Waits until the revision is packaged or given up.
async fn wait(engines: &Engines, asset: &Asset) -> anyhow::Result<DrmPackaged> {
    let key = asset.content.to_string();
    loop {
        for record in records::of_key(engines.log.as_ref(), &Topic::DrmPackaged.into(), &key, false).await? {
            let packaged = DrmPackaged::read(&record.topic, &record.headers, &record.payload)?;
            if packaged.asset.revision == asset.revision {
                return Ok(packaged);
            }
        }
        for record in records::of_key(engines.log.as_ref(), &Topic::StageFailed.into(), &key, false).await? {
            let failed = StageFailed::read(&record.topic, &record.headers, &record.payload)?;
            if failed.revision.is_none_or(|revision| revision == asset.revision) {
                bail!("stage {} gave up after {} attempts: {}", failed.stage, failed.attempts, failed.error);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
