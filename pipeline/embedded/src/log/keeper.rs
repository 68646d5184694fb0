//! The one background task of a process: it beats for every subscription in one transaction, reaps members of dead and
//! hanging processes, looks at what other processes did, and bounds what a loss of power takes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mcsp_runtime::now_us;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::member::Member;
use super::{Fault, Inner, group};
use crate::sqlite::Durability;

/// The longest pause between two looks.
const TICK_MAX: Duration = Duration::from_secs(1);
/// The shortest, however short a lease is.
const TICK_MIN: Duration = Duration::from_millis(20);
/// The pause after a look, so that a busy writer does not make others look for each of its commits.
const LOOK_GAP: Duration = Duration::from_millis(2);

/// Runs until the log is dropped.
pub(super) async fn keep(log: Weak<Inner>, signal: Arc<Notify>) {
    let mut beaten = Instant::now();
    let mut ticked = Instant::now();
    loop {
        let Some(tick) = log.upgrade().map(|inner| inner.tick()) else { return };
        let rung = tokio::time::timeout_at(ticked + tick, signal.notified()).await.is_ok();
        let Some(inner) = log.upgrade() else { return };
        if inner.stalled.load(Ordering::Acquire) {
            return;
        }
        if rung {
            inner.report("look", inner.look().await);
        }
        drop(inner);
        if rung {
            tokio::time::sleep(LOOK_GAP).await;
        }
        if ticked.elapsed() < tick {
            continue;
        }
        let Some(inner) = log.upgrade() else { return };
        ticked = Instant::now();
        if beaten.elapsed() >= inner.beat_every() {
            beaten = Instant::now();
            inner.report("beat", inner.beat().await);
        }
        inner.report("reap", inner.reap().await);
        inner.report("look", inner.look().await);
        inner.report("sync", inner.database.sync().await.map_err(Fault::from));
    }
}

impl Inner {
    fn report(&self, action: &'static str, done: Result<(), Fault>) {
        if let Err(fault) = done {
            let error = self.failed(action, fault);
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(%error, cause, "the event log goes on and tries again");
        }
    }

    /// Returns the pause between two heartbeats: a third of the shortest lease.
    fn beat_every(&self) -> Duration {
        let leases = self.pulse.members().into_iter().map(|member| member.options.lease);
        leases.min().map_or(TICK_MAX, |lease| lease / 3).max(TICK_MIN)
    }

    fn tick(&self) -> Duration {
        self.beat_every().min(TICK_MAX)
    }

    /// Looks at what other processes did, and lets members look again whose group changed.
    async fn look(&self) -> Result<(), Fault> {
        let changes: HashMap<i64, i64> = self.pulse.look(&self.database).await?;
        for member in self.pulse.members() {
            if changes.get(&member.group_id()).is_some_and(|count| *count != member.changes()) {
                member.reload().await?;
            }
        }
        Ok(())
    }

    /// Moves the end of this process's leases; a member that was reaped meanwhile joins again.
    async fn beat(&self) -> Result<(), Fault> {
        let members: Vec<Arc<Member>> = self.pulse.members().into_iter().filter(|member| !member.is_closed()).collect();
        if members.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let ids: Vec<i64> = members.iter().map(|member| member.joined().member).collect();
        let mut tx = self.database.write(Durability::Process).await?;
        let gone = group::beat(tx.connection(), &ids, now_us()).await?;
        tx.commit().await?;
        for member in members {
            if gone.contains(&member.joined().member) {
                member.join().await?;
            } else {
                member.beaten(began);
            }
        }
        Ok(())
    }

    /// Removes members whose lease ran out and those of dead processes.
    async fn reap(&self) -> Result<(), Fault> {
        let sql = "SELECT id FROM process WHERE id <> ?1
                   UNION ALL SELECT '' FROM member WHERE expires_us < ?2 LIMIT 1000";
        let mut others: Vec<String> = {
            let mut connection = self.database.read().await?;
            let query = sqlx::query_scalar(sql).bind(&self.process.id).bind(now_us());
            query.fetch_all(&mut *connection).await?
        };
        let found = others.len();
        others.retain(|id| !id.is_empty());
        let lapsed = others.len() < found;
        let dead = self.process.dead_among(others);
        if dead.is_empty() && !lapsed {
            return Ok(());
        }
        let mut tx = self.database.write(Durability::Process).await?;
        let reaped = group::reap(tx.connection(), &dead, now_us()).await?;
        tx.commit().await?;
        if reaped {
            self.ring();
        }
        Ok(())
    }
}
