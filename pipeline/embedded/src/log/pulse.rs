//! How members learn that there is something for them. In one process by the ends of partitions, kept in memory; across
//! processes by a file that a writer touches after its commit and the others watch (`process`). Whatever happens, each
//! process looks once a second, by one query for all of its subscriptions.
//!
//! The write-ahead log itself would wake readers too early: its frames are written before the commit is visible.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use notify::RecommendedWatcher;
use sqlx::Row;
use tokio::sync::Notify;

use super::Fault;
use super::append::Ends;
use super::member::Member;
use super::position::{Part, offset, partition};
use super::process::Process;
use crate::sqlite::Database;

/// What one process knows of the log's growth.
pub(super) struct Pulse {
    ends: Mutex<HashMap<Part, u64>>,
    members: Mutex<Vec<Weak<Member>>>,
    /// Rung when another process, or another part of this one, changed something.
    signal: Arc<Notify>,
    /// Absent where the system gives no watch: the look of each second is all there is then.
    _watcher: Option<RecommendedWatcher>,
}

impl Pulse {
    /// Begins to watch the other processes.
    pub(super) fn new(process: &Process) -> Self {
        let signal = Arc::new(Notify::new());
        let watcher = process.watch(signal.clone());
        if let Err(error) = &watcher {
            tracing::warn!(%error, "no watch on the other processes of the event log, looking once a second");
        }
        Self { ends: Mutex::default(), members: Mutex::default(), signal, _watcher: watcher.ok() }
    }

    /// Returns what rings when somebody changed something.
    pub(super) fn signal(&self) -> Arc<Notify> {
        self.signal.clone()
    }

    /// Takes over what an append of this process added, and wakes the members that wait for it.
    pub(super) fn grew(&self, added: &Ends) {
        if added.is_empty() {
            return;
        }
        let mut grown = Vec::with_capacity(added.len());
        {
            let mut ends = lock(&self.ends);
            for (part, end) in added {
                let known = ends.entry(*part).or_default();
                if *end > *known {
                    *known = *end;
                    grown.push(part.topic);
                }
            }
        }
        for member in self.members() {
            if grown.iter().any(|topic| member.reads(*topic)) {
                member.wake.notify_waiters();
            }
        }
    }

    /// Looks at what all processes did, and returns how often each group changed.
    pub(super) async fn look(&self, database: &Database) -> Result<HashMap<i64, i64>, Fault> {
        let sql = "SELECT topic, part, next FROM part UNION ALL SELECT -1, id, changes FROM consumer_group";
        let rows = {
            let mut connection = database.read().await?;
            sqlx::query(sql).fetch_all(&mut *connection).await?
        };
        let mut changes = HashMap::new();
        let mut ends = Ends::with_capacity(rows.len());
        for row in rows {
            let (topic, second, count): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if topic < 0 {
                changes.insert(second, count);
            } else {
                ends.push((Part { topic, part: partition(second) }, offset(count)));
            }
        }
        self.grew(&ends);
        Ok(changes)
    }

    /// Returns the offset of a partition's next record, as far as this process knows.
    pub(super) fn end(&self, part: Part) -> u64 {
        lock(&self.ends).get(&part).copied().unwrap_or(0)
    }

    /// Adds a member to wake.
    pub(super) fn add(&self, member: &Arc<Member>) {
        let mut members = lock(&self.members);
        members.retain(|known| known.strong_count() > 0);
        members.push(Arc::downgrade(member));
    }

    /// Returns the members of this process that somebody still holds.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        lock(&self.members).iter().filter_map(Weak::upgrade).collect()
    }
}

/// Locks what no holder leaves half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
