//! What a user is shown live: stored notices from where the user left off, and how far the uploads in progress are. Nothing is
//! queued for a connection: a slow one reads on from the catalog when it is ready, so it loses nothing and holds nothing.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcsp_catalog::{Catalog, Notice, NoticeWatch};
use mcsp_domain::{ContentId, SessionId, UserId};
use mcsp_runtime::{chain, now_us};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use super::NotifyError;
use crate::upload::{UploadProgress, UploadService};

/// Connections of one user in one process: some tabs on some machines.
pub const CONNECTIONS_PER_USER_MAX: u32 = 8;
/// Notices that one read takes.
const READ_MAX: usize = 100;
/// How often a stream tells of uploads, and looks for notices of other processes.
const TICK: Duration = Duration::from_secs(1);

/// Tells how far a user's uploads in progress are.
pub type ProgressLookup =
    Arc<dyn Fn(UserId) -> Pin<Box<dyn Future<Output = Vec<UploadProgress>> + Send>> + Send + Sync>;

/// Returns the lookup that asks the upload service. Its failures are logged: progress that is not told is told later.
pub fn progress_of(uploads: UploadService) -> ProgressLookup {
    Arc::new(move |user| {
        let uploads = uploads.clone();
        Box::pin(async move {
            uploads.active_of(user).await.unwrap_or_else(|error| {
                tracing::warn!(error = chain(&error), "progress of uploads could not be read");
                Vec::new()
            })
        })
    })
}

/// One message to a user.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveMessage {
    /// Where to go on after it.
    pub cursor: String,
    /// What it is: a notice's kind, `upload.progress`, `events.ready` or `events.missed`.
    pub kind: String,
    /// The content that it is about.
    pub content: Option<ContentId>,
    /// What happened.
    pub body: Value,
    /// When, microseconds since 1970.
    pub at_us: i64,
}

/// How patient a connection is.
#[derive(Clone, Copy, Debug)]
pub struct LiveTimes {
    /// How often it is asked whether its client is there.
    pub ping_every: Duration,
    /// How long a client may say nothing at all.
    pub silence_max: Duration,
    /// How long a client may take to take one message.
    pub send_max: Duration,
}

impl Default for LiveTimes {
    /// 20 s, 60 s, 10 s.
    fn default() -> Self {
        let [ping_every, silence_max, send_max] = [20, 60, 10].map(Duration::from_secs);
        Self { ping_every, silence_max, send_max }
    }
}

/// Opens streams.
#[derive(Clone)]
pub struct LiveEvents {
    catalog: Catalog,
    progress: ProgressLookup,
    times: LiveTimes,
    open: Arc<Mutex<HashMap<UserId, u32>>>,
}

/// One connection's messages.
pub struct LiveStream {
    events: LiveEvents,
    user: UserId,
    watch: NoticeWatch,
    ticks: tokio::time::Interval,
    /// The last stored notice that was given out.
    position: u64,
    pending: VecDeque<Pending>,
    /// Whether there may be more notices in the catalog.
    may_have_more: bool,
    /// What was told of each upload last.
    told: HashMap<SessionId, u64>,
}

enum Pending {
    Notice(Notice),
    Other { kind: &'static str, content: Option<ContentId>, body: Value },
}

impl LiveEvents {
    /// Makes the service.
    pub fn new(catalog: Catalog, progress: ProgressLookup, times: LiveTimes) -> Self {
        Self { catalog, progress, times, open: Arc::default() }
    }

    /// Returns how patient its connections are.
    pub fn times(&self) -> LiveTimes {
        self.times
    }

    /// Opens a stream of a user's messages after a position; without one, of those from now on. The first message,
    /// `events.ready`, tells where the stream begins. Where notices after the position were swept, or the position is none
    /// that was ever given, `events.missed` comes before it: the client is to read the state of its contents anew.
    ///
    /// # Errors
    /// When the user holds too many connections, or the catalog fails.
    pub async fn stream(&self, user: UserId, after: Option<u64>) -> Result<LiveStream, NotifyError> {
        self.take_place(user)?;
        let mut stream = LiveStream {
            watch: self.catalog.notices_changed(user),
            events: self.clone(),
            user,
            ticks: tokio::time::interval_at(Instant::now() + TICK, TICK),
            position: 0,
            pending: VecDeque::new(),
            may_have_more: true,
            told: HashMap::new(),
        };
        stream.ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let span = self.catalog.notice_span().await?;
        let position = after.unwrap_or(span.last);
        stream.position = if position > span.last { span.last } else { position.max(span.swept) };
        if stream.position != position {
            let body = json!({ "after": position.to_string(), "from": stream.position.to_string() });
            stream.pending.push_back(Pending::Other { kind: "events.missed", content: None, body });
        }
        stream.pending.push_back(Pending::Other { kind: "events.ready", content: None, body: json!({}) });
        Ok(stream)
    }

    fn take_place(&self, user: UserId) -> Result<(), NotifyError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(user).or_default();
        if *count >= CONNECTIONS_PER_USER_MAX {
            return Err(NotifyError::TooManyConnections { user, max: CONNECTIONS_PER_USER_MAX });
        }
        *count += 1;
        Ok(())
    }

    fn give_place(&self, user: UserId) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&user);
            }
        }
    }
}

impl LiveStream {
    /// Returns the next message, waiting for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn next(&mut self) -> Result<LiveMessage, NotifyError> {
        loop {
            if let Some(pending) = self.pending.pop_front() {
                return Ok(self.message(pending));
            }
            if self.may_have_more {
                let found = self.events.catalog.notices_after(self.user, self.position, READ_MAX).await?;
                self.may_have_more = found.len() == READ_MAX;
                self.pending.extend(found.into_iter().map(Pending::Notice));
                continue;
            }
            tokio::select! {
                () = self.watch.changed() => self.may_have_more = true,
                _ = self.ticks.tick() => {
                    // Notices of other processes wake nobody here.
                    self.may_have_more = true;
                    self.look_at_uploads().await;
                }
            }
        }
    }

    /// Writes a message of each upload that has moved since it was last told.
    async fn look_at_uploads(&mut self) {
        let active = (self.events.progress)(self.user).await;
        self.told.retain(|session, _| active.iter().any(|upload| upload.session == *session));
        for upload in active {
            let UploadProgress { session, content, bytes, total_bytes } = upload;
            if self.told.insert(session, bytes) != Some(bytes) {
                let body =
                    json!({ "session": session, "content": content, "bytes": bytes, "total_bytes": total_bytes });
                self.pending.push_back(Pending::Other { kind: "upload.progress", content: Some(content), body });
            }
        }
    }

    fn message(&mut self, pending: Pending) -> LiveMessage {
        match pending {
            Pending::Notice(Notice { position, kind, content, body, at_us }) => {
                self.position = position;
                LiveMessage { cursor: position.to_string(), kind, content, body, at_us }
            }
            Pending::Other { kind, content, body } => {
                LiveMessage { cursor: self.position.to_string(), kind: kind.to_owned(), content, body, at_us: now_us() }
            }
        }
    }
}

impl Drop for LiveStream {
    fn drop(&mut self) {
        self.events.give_place(self.user);
    }
}
