//! How far uploads are, cheap enough to be asked each second: the store is looked at no more often than a small share of
//! the time that looking takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mcsp_domain::{ContentId, SessionId, UserId};

use super::record::{End, Session};
use super::{UploadError, UploadService};

/// The shortest time between two looks at one upload.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that took long is not repeated before so many times that time.
const LOOK_SHARE: u32 = 20;
/// Looks that are remembered; forgetting them costs a look.
const LOOKS_MAX: usize = 10_000;

/// How far an upload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// The session.
    pub session: SessionId,
    /// The content.
    pub content: ContentId,
    /// Bytes of the parts that are stored.
    pub bytes: u64,
    /// Bytes of the file.
    pub total_bytes: u64,
}

/// What was seen of each upload last.
#[derive(Default)]
pub(super) struct Looks {
    seen: Mutex<HashMap<SessionId, Look>>,
}

#[derive(Clone, Copy)]
struct Look {
    bytes: u64,
    again_at: Instant,
}

impl Looks {
    fn fresh(&self, id: SessionId) -> Option<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(&id).filter(|look| Instant::now() < look.again_at).map(|look| look.bytes)
    }

    fn note(&self, id: SessionId, bytes: u64, took: Duration) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= LOOKS_MAX {
            seen.clear();
        }
        let again_at = Instant::now() + LOOK_EVERY.max(took * LOOK_SHARE);
        seen.insert(id, Look { bytes, again_at });
    }
}

impl UploadService {
    /// Returns how far one of a user's uploads is; of one that is over, all of it or nothing.
    ///
    /// # Errors
    /// `NoSession`, or when an engine fails.
    pub async fn progress(&self, owner: UserId, session: SessionId) -> Result<UploadProgress, UploadError> {
        let session = self.find_session(owner, session).await?;
        self.look(&session).await
    }

    /// Returns how far each of a user's open uploads is, the oldest first.
    ///
    /// # Errors
    /// When an engine fails.
    pub async fn active_of(&self, owner: UserId) -> Result<Vec<UploadProgress>, UploadError> {
        let mut active = Vec::new();
        for session in self.inner.sessions.open_of(owner).await? {
            active.push(self.look(&session).await?);
        }
        Ok(active)
    }

    async fn look(&self, session: &Session) -> Result<UploadProgress, UploadError> {
        let bytes = match session.end {
            Some(End::Complete) => session.size_bytes,
            Some(End::Aborted | End::Expired) => 0,
            None => match self.inner.looks.fresh(session.id) {
                Some(bytes) => bytes,
                None => self.look_again(session).await?,
            },
        };
        let (content, total_bytes) = (session.content, session.size_bytes);
        Ok(UploadProgress { session: session.id, content, bytes, total_bytes })
    }

    async fn look_again(&self, session: &Session) -> Result<u64, UploadError> {
        let begin = Instant::now();
        let stored = self.stored_parts(session).await?;
        let bytes = stored.iter().map(|part| part.len_bytes).sum();
        self.inner.looks.note(session.id, bytes, begin.elapsed());
        Ok(bytes)
    }
}
