//! What a handler is given beside its input: which attempt this is, how to tell its progress, and when to stop.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mcsp_events::Headers;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::TtlStore;

/// The shortest time between two beats of progress.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How long a beat is remembered.
const BEAT_KEEP: Duration = Duration::from_secs(120);

/// Why a handler is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process drains and its deadline has come: the record goes back as it was.
    Drain,
    /// The lease or the claim was lost: somebody else has the record.
    Lost,
    /// The revision was cancelled: the record is done, without outputs.
    Revision,
}

/// What a handler is given.
pub struct Context {
    pub(super) attempt: u32,
    pub(super) headers: Headers,
    pub(super) namespace: String,
    pub(super) key: String,
    pub(super) stop: CancellationToken,
    pub(super) beats: Arc<Beats>,
}

impl Context {
    /// Makes a context for a test or for a caller without a loop: first attempt, never stopped, nobody listens.
    pub fn alone(headers: Headers, key: &str) -> Self {
        Self {
            namespace: "alone.0".to_owned(),
            attempt: 1,
            headers,
            key: key.to_owned(),
            stop: CancellationToken::new(),
            beats: Arc::new(Beats::silent()),
        }
    }

    /// Returns the number of this run, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns what the input carries beside its payload; for a batch, what its first record does.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns `group.epoch`, under which a desk's inbox remembers the input: a deliberate replay is not swallowed.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns what orders the input.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Resolves when the handler is to stop. The loop drops a handler that goes on.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Returns whether the handler is to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells how far the work is, in thousandths, with a word for people. At most one beat in two seconds is stored, so
    /// that a handler may call this as often as it likes.
    pub fn progress(&self, permille: u16, note: &str) {
        self.beats.beat(permille, note);
    }
}

/// A beat of progress as it lies in the `TtlStore` under `progress/<stage>/<key>/<event>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// How far, in thousandths.
    pub permille: u16,
    /// A word for people.
    pub note: String,
    /// The process that works.
    pub worker: String,
    /// The number of the run.
    pub attempt: u32,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// Where beats go.
pub(super) struct Beats {
    to: Option<Destination>,
    last: Mutex<Last>,
}

/// The last beat and the task that stores it.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    storing: Option<JoinHandle<()>>,
}

struct Destination {
    store: Arc<dyn TtlStore>,
    key: String,
    worker: String,
    attempt: u32,
    runtime: tokio::runtime::Handle,
}

impl Beats {
    pub(super) fn new(store: Arc<dyn TtlStore>, key: String, worker: String, attempt: u32) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { to: Some(Destination { store, key, worker, attempt, runtime }), last: Mutex::default() }
    }

    fn silent() -> Self {
        Self { to: None, last: Mutex::default() }
    }

    fn beat(&self, permille: u16, note: &str) {
        let Some(to) = &self.to else { return };
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.at.is_some_and(|at| at.elapsed() < BEAT_EVERY) {
            return;
        }
        last.at = Some(Instant::now());
        let (worker, attempt) = (to.worker.clone(), to.attempt);
        let beat = Beat { permille, note: note.chars().take(200).collect(), worker, attempt, at_us: crate::now_us() };
        let (store, key) = (Arc::clone(&to.store), to.key.clone());
        last.storing = Some(to.runtime.spawn(async move {
            let text = serde_json::to_vec(&beat).unwrap_or_default();
            if let Err(error) = store.put(&key, Bytes::from(text), BEAT_KEEP).await {
                tracing::debug!(%key, %error, "a beat of progress was lost");
            }
        }));
    }

    /// Takes the last beat back: the run is over.
    pub(super) async fn end(&self) {
        let storing = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).storing.take();
        let (Some(to), Some(storing)) = (&self.to, storing) else { return };
        // A beat that comes after its removal would stay: it is waited for.
        let _ = storing.await;
        if let Err(error) = to.store.delete(&to.key).await {
            tracing::debug!(key = %to.key, %error, "a beat of progress stays until it expires");
        }
    }
}
