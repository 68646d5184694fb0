//! The role that removes what has expired, now and then: records, claims, answers, notices, playbacks, unfinished uploads, and
//! the objects of contents that are gone.

use std::sync::Arc;
use std::time::Duration;

use mcsp_catalog::Catalog;
use mcsp_runtime::{chain, now_us};
use mcsp_services::content::ContentService;
use mcsp_services::idempotency::Answers;
use mcsp_services::upload::UploadService;

use super::engines::Engines;

/// A day in microseconds.
const DAY_US: i64 = 24 * 3600 * 1_000_000;
/// How long notices are kept: a creator looks once a month.
const NOTICES_KEEP_US: i64 = 30 * DAY_US;
/// How long a playback that says nothing is kept: a film may be paused over a night.
const PLAYBACKS_KEEP_US: i64 = 7 * DAY_US;
/// How long delivered and given-up webhooks are kept.
const DELIVERIES_KEEP_US: i64 = 30 * DAY_US;
/// The age from which an upload in parts that nobody goes on with is removed.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is looked after.
pub(super) struct Upkeep {
    pub(super) engines: Arc<Engines>,
    pub(super) catalog: Catalog,
    pub(super) answers: Answers,
    pub(super) uploads: UploadService,
    pub(super) content: ContentService,
    /// How long the inbox remembers an event.
    pub(super) inbox_keep_us: i64,
}

impl Upkeep {
    /// Looks at everything once. What cannot be removed stays for the next time.
    pub(super) async fn round(&self) {
        let before = |keep_us: i64| now_us().saturating_sub(keep_us);
        let catalog = &self.catalog;
        told("records of the log", self.engines.log.sweep(now_us()).await);
        told("claims and values", self.engines.ledger.sweep().await);
        told("inbox", catalog.sweep_inbox(before(self.inbox_keep_us)).await);
        told("sign-ins", catalog.sweep_sign_ins(now_us()).await);
        told("kept answers", self.answers.sweep(now_us()).await);
        told("notices", catalog.sweep_notices(before(NOTICES_KEEP_US)).await);
        told("playbacks", catalog.sweep_playbacks(before(PLAYBACKS_KEEP_US)).await);
        told("deliveries", catalog.sweep_deliveries(before(DELIVERIES_KEEP_US)).await);
        told("uploads", self.uploads.sweep(now_us()).await);
        told("uploads without a session", self.uploads.sweep_orphans(now_us()).await);
        told("contents", self.content.sweep(now_us()).await);
        told("parts", self.engines.sweep_folders(UPLOAD_AGE_MAX).await);
        told("parts of a server", self.engines.sweep_buckets(UPLOAD_AGE_MAX).await);
    }
}

fn told<T: std::fmt::Debug, E: std::error::Error + 'static>(what: &str, swept: Result<T, E>) {
    match swept {
        Ok(removed) => tracing::debug!(what, ?removed, "swept"),
        Err(error) => tracing::warn!(what, error = chain(&error), "what has expired stays for now"),
    }
}
