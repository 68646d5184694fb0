//! The ingestor: nobody has looked at an upload before. In: `media.upload.initiated`. Out: `media.upload.completed` when the
//! source is what it says it is, else `media.upload.blocked` with the reason in words for its uploader.
//!
//! Two confined children look at the source at the same time: one reads its headers, one searches every byte by rules. The
//! words of a refused header are those that `mcsp process` gives.

mod verdict;

use mcsp_domain::{Probe, limits};
use mcsp_events::{BlockReason, Outgoing, Topic, UploadBlocked, UploadCompleted, UploadInitiated};
use mcsp_runtime::StageError;
use mcsp_runtime::stage::{Context, Stage};
use mcsp_sandbox::child::{FailureKind, FromChild, ScanReport, Work};
use mcsp_sandbox::{Sandbox, SandboxError, Source};

use crate::stores::Stores;
use crate::transcode::stage_error;
pub use verdict::{Blocked, Sound};

/// What uploads may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestPolicy {
    /// Bytes of a source.
    pub len_bytes_max: u64,
    /// Length of a source, where its headers tell.
    pub duration_s_max: u64,
    /// Containers that are taken, by the names of `CONTAINERS`.
    pub containers: Vec<String>,
}

/// The containers that can be read.
pub const CONTAINERS: [&str; 11] =
    ["mp4", "matroska", "mpegts", "mpeg", "avi", "flv", "ogg", "wav", "mp3", "aac", "flac"];

impl Default for IngestPolicy {
    /// All that can be read, up to half a day: a creator's longest stream.
    fn default() -> Self {
        Self {
            len_bytes_max: limits::SOURCE_LEN_BYTES_MAX,
            duration_s_max: 12 * 3600,
            containers: CONTAINERS.map(str::to_owned).to_vec(),
        }
    }
}

/// The stage.
pub struct UploadIngestor {
    stores: Stores,
    sandbox: Sandbox,
    policy: IngestPolicy,
}

impl UploadIngestor {
    /// Makes the stage.
    pub fn new(stores: Stores, sandbox: Sandbox, policy: IngestPolicy) -> Self {
        Self { stores, sandbox, policy }
    }
}

impl Stage for UploadIngestor {
    const NAME: &'static str = "upload-ingestor";
    const GROUP: &'static str = "upload-ingestor";
    type Input = UploadInitiated;
    const OUTPUTS: &'static [Topic] = &[Topic::UploadCompleted, Topic::UploadBlocked];

    async fn handle(&self, event: UploadInitiated, cx: &Context) -> Result<Vec<Outgoing>, StageError> {
        let source = self.stores.source(&event.asset, &event.source).await?;
        let verdict = ingest(&source, &self.policy, &self.sandbox, cx.attempt()).await?;
        let content = event.asset.content;
        match &verdict {
            Ok(sound) => tracing::info!(%content, container = sound.container, "upload is sound"),
            Err(blocked) => {
                tracing::info!(%content, reason = ?blocked.reason, detail = blocked.detail, "upload is blocked");
            }
        }
        Ok(vec![outgoing(event, verdict)])
    }
}

/// Says the verdict once a session and revision, however often its completion was told.
fn outgoing(event: UploadInitiated, verdict: Result<Sound, Blocked>) -> Outgoing {
    let UploadInitiated { asset, owner, session, source, file_name, title } = event;
    let scope = session.as_bytes().to_vec();
    let name = format!("ingested/{}", asset.revision);
    match verdict {
        Ok(Sound { container, duration_ms }) => {
            let completed = UploadCompleted { asset, owner, source, container, duration_ms, file_name, title };
            Outgoing::once(&scope, &name, &completed)
        }
        Err(Blocked { reason, detail }) => {
            let blocked = UploadBlocked { asset, owner, reason, detail, ranges: Vec::new() };
            Outgoing::once(&scope, &name, &blocked)
        }
    }
}

/// Looks at a source: `Ok(Err(_))` is the answer that it is not taken. `attempt` counts from 1.
///
/// # Errors
/// `Retry` when a child was killed or the source could not be read, `Reject` when a child crashes on it for the second time.
pub async fn ingest(
    source: &Source,
    policy: &IngestPolicy,
    sandbox: &Sandbox,
    attempt: u32,
) -> Result<Result<Sound, Blocked>, StageError> {
    if let Err(blocked) = verdict::check_len(source.len_bytes(), policy) {
        return Ok(Err(blocked));
    }
    let (headers, report) = tokio::join!(read_headers(source, sandbox), scan(source, sandbox));
    let headers = match headers {
        Ok(probe) => Ok(probe),
        Err(SandboxError::Rejected(failure)) if block_reason(failure.kind).is_some() => {
            let reason = block_reason(failure.kind).unwrap_or(BlockReason::Format);
            Err(Blocked { reason, detail: failure.message })
        }
        Err(error) => return Err(fault(error, attempt)),
    };
    let report = report.map_err(|error| fault(error, attempt))?;
    Ok(verdict::judge(headers, &report, policy))
}

/// Returns what the source's fault is; nothing when it has none.
fn block_reason(kind: FailureKind) -> Option<BlockReason> {
    match kind {
        FailureKind::Unsupported | FailureKind::Corrupt => Some(BlockReason::Format),
        FailureKind::Limit => Some(BlockReason::Limit),
        FailureKind::Confinement | FailureKind::Read | FailureKind::Internal => None,
    }
}

fn fault(error: SandboxError, attempt: u32) -> StageError {
    match error {
        error if error.is_retryable() => StageError::retry("the media child failed", error),
        error => stage_error(error, attempt),
    }
}

async fn read_headers(source: &Source, sandbox: &Sandbox) -> Result<Probe, SandboxError> {
    let answer = answer(source, sandbox, Work::Probe, |message| match message {
        FromChild::Probe(probe) => Some(*probe),
        _ => None,
    });
    answer.await?.ok_or(SandboxError::OutOfTurn { what: "its end before a probe" })
}

async fn scan(source: &Source, sandbox: &Sandbox) -> Result<ScanReport, SandboxError> {
    let answer = answer(source, sandbox, Work::Scan, |message| match message {
        FromChild::Scan(report) => Some(report),
        _ => None,
    });
    answer.await?.ok_or(SandboxError::OutOfTurn { what: "its end before a scan's report" })
}

/// Runs a job to its end and returns its one answer.
async fn answer<T>(
    source: &Source,
    sandbox: &Sandbox,
    work: Work,
    wanted: impl Fn(FromChild) -> Option<T>,
) -> Result<Option<T>, SandboxError> {
    let limits = mcsp_sandbox::limits_for(&work, source.len_bytes(), None);
    let mut session = sandbox.start(source, work, limits, mcsp_sandbox::wall_for(&limits)).await?;
    let mut answer = None;
    while let Some(message) = session.next().await? {
        answer = wanted(message).or(answer);
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_domain::{Bucket, ContentId, EventId, ObjectKey, Placement, Revision, SessionId, Tier, UserId};
    use mcsp_events::{Asset, Seal, SourceObject};

    fn initiated(revision: Revision) -> UploadInitiated {
        let bucket = Bucket::parse("test").unwrap();
        UploadInitiated {
            asset: Asset {
                content: ContentId::new(1, &[1; 10]),
                revision,
                placement: Placement { region: "test".to_owned(), bucket, tier: Tier::Hot },
            },
            owner: UserId::new(1, &[2; 10]),
            session: SessionId::new(1, &[3; 10]),
            source: SourceObject { key: ObjectKey::parse("uploads/x").unwrap(), etag: "x".to_owned(), len_bytes: 1 },
            file_name: "Reise.mp4".to_owned(),
            title: "Große Reise".to_owned(),
        }
    }

    fn said(revision: Revision, verdict: Result<Sound, Blocked>) -> (EventId, serde_json::Value) {
        let message = outgoing(initiated(revision), verdict).seal(&Seal::default()).unwrap();
        (message.headers.id, serde_json::from_slice(&message.payload).unwrap())
    }

    #[test]
    fn a_verdict_is_said_once_a_revision_with_all_that_later_stages_need() {
        let sound = || Ok(Sound { container: "mp4".to_owned(), duration_ms: Some(4000) });
        let (first, payload) = said(Revision::FIRST, sound());
        assert_eq!((&payload["title"], &payload["file_name"]), (&"Große Reise".into(), &"Reise.mp4".into()));
        assert_eq!((&payload["container"], &payload["duration_ms"]), (&"mp4".into(), &4000.into()));
        assert_eq!(said(Revision::FIRST, sound()).0, first);
        let blocked = Err(Blocked { reason: BlockReason::Limit, detail: "source has 11 bytes".to_owned() });
        let (_, payload) = said(Revision::FIRST, blocked);
        assert_eq!((&payload["reason"], &payload["detail"]), (&"limit".into(), &"source has 11 bytes".into()));
    }
}
