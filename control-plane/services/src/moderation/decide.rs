//! Deciding a case: the decision, what it says to the platform, and what its uploader is shown, in one transaction.

use mcsp_catalog::{CaseDecision, CaseKind, CaseRow, ContentRow, Tx};
use mcsp_domain::{ContentId, ContentState, Revision, UserId};
use mcsp_events::{
    Asset, BlockReason, ClearedBy, CopyrightCleared, Lane, Message, ModerationDecided, Outgoing, Seal, SourceObject,
    TimeRange, UploadBlocked,
};
use mcsp_runtime::{now_us, telemetry};
use serde_json::json;

use super::{ModerationError, ModerationService};

/// The source of a decision's events.
const SOURCE: &str = "moderation";
/// Ranges that a refusal tells its uploader.
const RANGES_MAX: usize = 100;

/// What a moderator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The content.
    pub content: ContentId,
    /// The publication of it, where it is named; the newest with an open case otherwise.
    pub revision: Option<Revision>,
    /// The kind of case, where it is named; the one that is open otherwise.
    pub kind: Option<CaseKind>,
    /// Whether it goes on.
    pub approve: bool,
    /// Words for its uploader.
    pub reason: String,
    /// Who decides.
    pub moderator: UserId,
}

impl ModerationService {
    /// Decides an open case, once, and returns it.
    ///
    /// # Errors
    /// When there is no such open case, when the content is the moderator's own or has ended, or the catalog fails.
    pub async fn decide(&self, decision: Decision) -> Result<CaseRow, ModerationError> {
        let content_id = decision.content;
        let mut tx = self.catalog.begin().await?;
        let content = tx.content(content_id).await?.ok_or(ModerationError::NoCase { content: content_id })?;
        if content.owner == decision.moderator {
            return Err(ModerationError::OwnContent { content: content_id });
        }
        let mut case = choose(tx.cases_of(content_id).await?, &decision)?;
        let revision = case.revision;
        let is_over = matches!(content.state, ContentState::Deleted | ContentState::Blocked | ContentState::Failed);
        if is_over || content.revision != revision {
            return Err(ModerationError::Over { content: content_id, revision });
        }
        let Decision { approve: approved, reason, moderator: decided_by, .. } = decision;
        let decided_us = now_us();
        let made = CaseDecision { decided_by, approved, reason, decided_us };
        let source = match case.kind {
            CaseKind::Rights => tx.publication(content_id, revision).await?.and_then(|row| row.source),
            CaseKind::Content => None,
        };
        tx.send(self.seal(say(&content, &case, &made, source)?, &case, decided_us)?)?;
        if case.kind == CaseKind::Rights {
            // The decision on content comes back as an event, and is shown then; this one does not.
            show(&mut tx, &content, &case, &made).await?;
        }
        case.decision = Some(made);
        tx.put_case(&case).await?;
        tx.commit().await?;
        Ok(case)
    }

    fn seal(&self, outgoing: Outgoing, case: &CaseRow, now_us: i64) -> Result<Message, ModerationError> {
        let seal = Seal {
            source: SOURCE,
            cause: None,
            now_us,
            traceparent: telemetry::current_traceparent(),
            worker: Some(&self.worker),
            attempt: Some(1),
            started_us: Some(case.opened_us),
        };
        Ok(outgoing.seal(&seal)?)
    }
}

/// Returns the open case that a decision is about.
fn choose(cases: Vec<CaseRow>, decision: &Decision) -> Result<CaseRow, ModerationError> {
    let content = decision.content;
    let is_meant = |case: &CaseRow| {
        decision.revision.is_none_or(|revision| revision == case.revision)
            && decision.kind.is_none_or(|kind| kind == case.kind)
    };
    let meant: Vec<CaseRow> = cases.into_iter().filter(is_meant).collect();
    // Newest revision first: cases of earlier ones wait for nobody.
    let newest = meant.first().map(|case| case.revision).ok_or(ModerationError::NoCase { content })?;
    let mut open = meant.into_iter().filter(|case| case.revision == newest && case.decision.is_none());
    match (open.next(), open.next()) {
        (Some(case), None) => Ok(case),
        (Some(_), Some(_)) => Err(ModerationError::Ambiguous { content }),
        (None, _) => Err(ModerationError::Decided { content, revision: newest }),
    }
}

/// Returns what a decision says to the platform: one event a case, whoever says it again.
fn say(
    content: &ContentRow,
    case: &CaseRow,
    made: &CaseDecision,
    source: Option<SourceObject>,
) -> Result<Outgoing, ModerationError> {
    let revision = case.revision;
    let asset = Asset { content: content.id, revision, placement: content.placement.clone() };
    let scope = [&content.id.as_bytes()[..], &revision.number().to_be_bytes()].concat();
    let (owner, name) = (content.owner, format!("review {}", case.kind.as_str()));
    Ok(match (case.kind, made.approved) {
        (CaseKind::Content, approved) => {
            let (decided_by, reason) = (made.decided_by.to_string(), made.reason.clone());
            Outgoing::once(&scope, &name, &ModerationDecided { asset, approved, decided_by, reason })
        }
        (CaseKind::Rights, true) => {
            let source = source.ok_or(ModerationError::NoSource { content: content.id, revision })?;
            let (cleared_by, lane) = (ClearedBy::Review, Lane::Interactive);
            Outgoing::once(&scope, &name, &CopyrightCleared { asset, owner, source, cleared_by, lane })
        }
        (CaseKind::Rights, false) => {
            let ranges: Vec<TimeRange> =
                case.flags.iter().flat_map(|flag| flag.ranges.iter().copied()).take(RANGES_MAX).collect();
            let (reason, detail) = (BlockReason::Copyright, made.reason.clone());
            Outgoing::once(&scope, &name, &UploadBlocked { asset, owner, reason, detail, ranges })
        }
    })
}

async fn show(tx: &mut Tx, content: &ContentRow, case: &CaseRow, made: &CaseDecision) -> Result<(), ModerationError> {
    let body = json!({
        "content": content.id, "revision": case.revision, "approved": made.approved, "reason": made.reason,
    });
    Ok(tx.notice(content.owner, "moderation.decided", Some(content.id), &body, made.decided_us).await?)
}
