//! One heartbeat: whose it is, whether it is news, and what follows.

use std::sync::Arc;

use mcsp_catalog::{Catalog, CatalogError, PlaybackRow, PositionUpdate};
use mcsp_domain::{PlaybackId, UserId};
use mcsp_events::{EngagementAction, EventError, Outgoing, Seal, UserEngagement};
use mcsp_runtime::{EventLog, now_us, telemetry};
use tokio::sync::{mpsc, oneshot};

use super::writer::{Pending, write};

/// Heartbeats that wait for the writer: a second of the most that one process takes. Further ones wait at the door.
const QUEUE_MAX: usize = 4096;
/// The name under which events are said.
const SOURCE: &str = "engagement";

/// Why a heartbeat was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EngagementError {
    /// There is no such playback, or it is somebody else's.
    #[error("no playback has the id {playback}")]
    NoPlayback {
        /// The id.
        playback: PlaybackId,
    },
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// An event that no log would take.
    #[error("heartbeat cannot be said")]
    Event(#[from] EventError),
    /// The batch that it was written with failed; the writer has said why.
    #[error("heartbeats could not be written")]
    Unwritten,
}

/// What a player tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Who.
    pub user: UserId,
    /// The playback.
    pub playback: PlaybackId,
    /// Its place in the playback, from 1; a player that does not count gets the next.
    pub seq: Option<u64>,
    /// Where the film stands, milliseconds.
    pub position_ms: u64,
    /// What happened.
    pub action: EngagementAction,
}

/// What came of a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The playback as it was before.
    pub before: PlaybackRow,
    /// Whether it was news: false for one that came late or again.
    pub is_news: bool,
    /// The highest place that was taken.
    pub seq: u64,
    /// Where the film stands.
    pub position_ms: u64,
}

/// The engagement service. Clones share one writer, which ends with the last of them.
#[derive(Clone)]
pub struct EngagementService {
    catalog: Catalog,
    queue: mpsc::Sender<Pending>,
}

impl EngagementService {
    /// Starts the writer. Must be called inside a runtime.
    pub fn new(catalog: Catalog, log: Arc<dyn EventLog>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(write(catalog.clone(), log, waiting));
        Self { catalog, queue }
    }

    /// Takes a heartbeat. When it returns, the position is on the disk and the event in the log.
    ///
    /// # Errors
    /// `NoPlayback` where it is not the user's own, or when the catalog or the log fails.
    pub async fn record(&self, beat: Beat) -> Result<Recorded, EngagementError> {
        let Beat { user, playback, seq, position_ms, action } = beat;
        let before = self.catalog.playback(playback).await?.filter(|row| row.user == user);
        let before = before.ok_or(EngagementError::NoPlayback { playback })?;
        let seq = seq.unwrap_or(before.seq + 1);
        if seq <= before.seq {
            return Ok(Recorded { before, is_news: false, seq: before.seq, position_ms: before.position_ms });
        }
        let at_us = now_us();
        let content = before.content;
        // A film that was seen to its end begins anew.
        let resume_ms = if action == EngagementAction::Finish { 0 } else { position_ms };
        let event = UserEngagement { user, content, action, position_ms: Some(position_ms), at_us };
        // The id follows from playback and place: a heartbeat that comes again after a failure is said once.
        let event = Outgoing::once(playback.as_bytes(), &seq.to_string(), &event);
        let traceparent = telemetry::current_traceparent();
        let message = event.seal(&Seal { source: SOURCE, now_us: at_us, traceparent, ..Seal::default() })?;
        let update = PositionUpdate { playback, user, content, seq, position_ms, resume_ms, at_us };
        let (done, written) = oneshot::channel();
        self.queue.send(Pending { update, message, done }).await.map_err(|_| EngagementError::Unwritten)?;
        let is_news = written.await.map_err(|_| EngagementError::Unwritten)?.ok_or(EngagementError::Unwritten)?;
        Ok(Recorded { before, is_news, seq, position_ms })
    }
}
