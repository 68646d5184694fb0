//! How a long playback goes on: heartbeats are answered with newer addresses and a newer token before the old ones end.
//! Whoever may no longer watch gets none.

use mcsp_catalog::PlaybackRow;

use super::play::{DrmPass, PlaybackService};
use super::{Addresses, ManifestFormat, PlaybackError, Watcher};

/// How old a DRM token gets before a heartbeat brings a newer one: half of its life.
const DRM_RENEW_US: i64 = 150 * 1_000_000;

/// What a player goes on with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Newer addresses, where the old ones are half over.
    pub addresses: Option<Addresses>,
    /// A newer token for licences.
    pub drm: Option<DrmPass>,
}

impl PlaybackService {
    /// Returns what a heartbeat brings. `row` is the playback as it was before the heartbeat.
    ///
    /// # Errors
    /// When the viewer may no longer watch. Where a service does not answer, nothing is renewed, and the next heartbeat
    /// asks again.
    pub async fn renew(&self, watcher: Watcher, row: &PlaybackRow, now_us: i64) -> Result<Renewal, PlaybackError> {
        let is_lease_due = now_us >= row.renew_us;
        // Tokens are handed out at fixed distances from the start, by the first heartbeat after each: nothing is stored.
        let step = |at_us: i64| at_us.saturating_sub(row.started_us).div_euclid(DRM_RENEW_US);
        if !is_lease_due && step(now_us) == step(row.seen_us) {
            return Ok(Renewal::default());
        }
        match self.renewed(watcher, row, is_lease_due, now_us).await {
            Err(error) if error.may_pass() => {
                let error = mcsp_runtime::chain(&error);
                tracing::warn!(playback = %row.id, error, "a playback could not be renewed");
                Ok(Renewal::default())
            }
            renewed => renewed,
        }
    }

    async fn renewed(
        &self,
        watcher: Watcher,
        row: &PlaybackRow,
        is_lease_due: bool,
        now_us: i64,
    ) -> Result<Renewal, PlaybackError> {
        let entitled = self.entitled(watcher, row.content, Some(row.revision), ManifestFormat::default()).await;
        let (content, package, _) = entitled?;
        let drm = self.authorize(&content, &package, watcher.user, row.id, now_us).await?;
        if !is_lease_due {
            return Ok(Renewal { addresses: None, drm });
        }
        let addresses = package.lease(row.id, &self.inner.edge_keys, &self.inner.settings.edge_url, now_us);
        let mut tx = self.inner.catalog.begin().await?;
        tx.renew_playback(row.id, addresses.renew_us).await?;
        tx.commit().await?;
        Ok(Renewal { addresses: Some(addresses), drm })
    }
}
