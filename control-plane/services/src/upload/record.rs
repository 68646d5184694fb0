//! Sessions as they lie in the store of values that expire. The key begins with the owner, so that one look finds all of a
//! user's sessions and nobody finds another's: `upload/open/{user}/{session}`, and `upload/ended/…` for what is over.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_domain::{ContentId, Digest, ObjectKey, Placement, Revision, SessionId, UserId};
use mcsp_runtime::{TtlStore, UploadId};
use serde::{Deserialize, Serialize};

use super::UploadError;
use super::layout::PartLayout;

/// How long an open session outlives its end: the sweep looks at it before it is forgotten.
const OPEN_GRACE: Duration = Duration::from_secs(2 * 24 * 3600);
/// How long a session that is over still says how it ended.
const ENDED_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// One upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) owner: UserId,
    pub(super) content: ContentId,
    pub(super) revision: Revision,
    pub(super) placement: Placement,
    pub(super) key: ObjectKey,
    pub(super) file_name: String,
    pub(super) size_bytes: u64,
    pub(super) sha256: Option<Digest>,
    pub(super) created_us: i64,
    pub(super) expires_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<End>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum End {
    /// Its bytes are stored and were handed on.
    Complete,
    /// Its owner gave it up, or put another in its place.
    Aborted,
    /// Nobody went on with it in time.
    Expired,
}

impl End {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }
}

impl Session {
    pub(super) fn layout(&self) -> PartLayout {
        PartLayout::of(self.size_bytes)
    }

    pub(super) fn ended(&self, end: End) -> UploadError {
        UploadError::Ended { session: self.id, state: end.as_str() }
    }
}

/// The store of sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    store: Arc<dyn TtlStore>,
}

impl Sessions {
    pub(super) fn new(store: Arc<dyn TtlStore>) -> Self {
        Self { store }
    }

    /// Stores a session that begins.
    pub(super) async fn open(&self, session: &Session) -> Result<(), UploadError> {
        let life_us = session.expires_us.saturating_sub(session.created_us);
        let life = Duration::from_micros(u64::try_from(life_us).unwrap_or_default());
        let key = open_key(session.owner, session.id);
        Ok(self.store.put(&key, text(session), life + OPEN_GRACE).await?)
    }

    /// Returns a session, open or over.
    pub(super) async fn find(&self, owner: UserId, id: SessionId) -> Result<Option<Session>, UploadError> {
        // In this order: a session that ends meanwhile is under both keys for a moment, and never under none.
        for key in [open_key(owner, id), ended_key(owner, id)] {
            if let Some(value) = self.store.get(&key).await? {
                return read(&key, &value).map(Some);
            }
        }
        Ok(None)
    }

    /// Returns the open sessions of a user, at most `limits::TTL_SCAN_MAX`, the oldest first.
    pub(super) async fn open_of(&self, owner: UserId) -> Result<Vec<Session>, UploadError> {
        let rows = self.store.scan(&open_prefix(owner), None).await?;
        rows.iter().map(|(key, value)| read(key, value)).collect()
    }

    /// Returns open sessions of all users with their keys, those that follow `after`, at most `limits::TTL_SCAN_MAX`.
    pub(super) async fn open_after(&self, after: Option<&str>) -> Result<Vec<(String, Session)>, UploadError> {
        let rows = self.store.scan("upload/open/", after).await?;
        rows.into_iter().map(|(key, value)| read(&key, &value).map(|session| (key, session))).collect()
    }

    /// Returns how many sessions of a user are open, as far as one scan counts.
    pub(super) async fn count_open(&self, owner: UserId) -> Result<usize, UploadError> {
        Ok(self.store.count(&open_prefix(owner)).await?)
    }

    /// Notes that a session is over.
    pub(super) async fn end(&self, session: &Session, end: End) -> Result<(), UploadError> {
        let over = Session { end: Some(end), ..session.clone() };
        self.store.put(&ended_key(session.owner, session.id), text(&over), ENDED_KEEP).await?;
        self.store.delete(&open_key(session.owner, session.id)).await?;
        Ok(self.store.delete(&parts_key(session.id)).await?)
    }

    /// Forgets a session that never came to be.
    pub(super) async fn forget(&self, session: &Session) -> Result<(), UploadError> {
        self.store.delete(&open_key(session.owner, session.id)).await?;
        Ok(self.store.delete(&parts_key(session.id)).await?)
    }

    /// Returns the upload in parts that was begun for a session.
    pub(super) async fn upload(&self, id: SessionId) -> Result<Option<UploadId>, UploadError> {
        let Some(value) = self.store.get(&parts_key(id)).await? else { return Ok(None) };
        read_upload(id, &value).map(Some)
    }

    /// Notes the upload in parts that was begun for a session. The first wins: returns the one that holds.
    pub(super) async fn hold_upload(&self, session: &Session, upload: UploadId) -> Result<UploadId, UploadError> {
        let left_us = session.expires_us.saturating_sub(mcsp_runtime::now_us());
        let life = Duration::from_micros(u64::try_from(left_us).unwrap_or_default());
        let value = Bytes::from(upload.as_str().to_owned());
        if self.store.put_absent(&parts_key(session.id), value, life + OPEN_GRACE).await? {
            return Ok(upload);
        }
        // Gone again only where the session ended in between; then this one is given up like any other.
        Ok(self.upload(session.id).await?.unwrap_or(upload))
    }
}

fn open_prefix(owner: UserId) -> String {
    format!("upload/open/{owner}/")
}

fn open_key(owner: UserId, id: SessionId) -> String {
    format!("upload/open/{owner}/{id}")
}

fn ended_key(owner: UserId, id: SessionId) -> String {
    format!("upload/ended/{owner}/{id}")
}

fn parts_key(id: SessionId) -> String {
    format!("upload/parts/{id}")
}

fn text(session: &Session) -> Bytes {
    let text = serde_json::to_vec(session).unwrap_or_default();
    assert!(!text.is_empty(), "a session of plain values failed to serialise");
    Bytes::from(text)
}

fn read(key: &str, value: &[u8]) -> Result<Session, UploadError> {
    serde_json::from_slice(value)
        .map_err(|error| UploadError::Damaged { session: key.to_owned(), detail: error.to_string() })
}

fn read_upload(id: SessionId, value: &[u8]) -> Result<UploadId, UploadError> {
    UploadId::parse(&String::from_utf8_lossy(value))
        .map_err(|error| UploadError::Damaged { session: id.to_string(), detail: error.to_string() })
}
