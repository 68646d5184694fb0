//! Which sagas this process drives, and for how long: takes the leases of due sagas, renews them while their drives run,
//! and sleeps until something is due or somebody has news.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcsp_runtime::now_us;
use tokio::task::{AbortHandle, Id, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::drive::Drive;
use super::{Inner, micros, table};
use crate::sqlite::{DatabaseError, Durability};

/// How often an engine says that it runs.
const ALIVE: Duration = Duration::from_secs(60);

/// What runs, by the task that runs it.
#[derive(Default)]
struct Drives {
    tasks: JoinSet<()>,
    /// The owner's name under which each task holds its lease.
    owners: HashMap<Id, (String, AbortHandle)>,
}

/// Runs until the engine stops and its drives have ended. Dropped, it drops them.
pub(super) async fn run(engine: Arc<Inner>) {
    let mut drives = Drives::default();
    let mut beat = ticks(engine.options.lease / 3);
    let mut alive = ticks(ALIVE);
    let mut turn_us = now_us();
    while !(engine.is_stopping() && drives.tasks.is_empty()) {
        let last_turn_us = std::mem::replace(&mut turn_us, now_us());
        if turn_us.saturating_sub(last_turn_us) > micros(engine.options.idle) {
            // The machine slept, timers and all: its waits must hear of that before one is ended.
            report(engine.say_alive().await, "journals cannot be told of the time that passed");
        }
        let pause = match take_due(&engine, &mut drives).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "sagas cannot be taken up");
                engine.options.poll
            }
        };
        tokio::select! {
            () = engine.news.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(ended) = drives.tasks.join_next_with_id() => drives.forget(ended),
            _ = beat.tick() => report(renew(&engine, &drives).await, "leases of sagas cannot be renewed"),
            _ = alive.tick() => report(engine.say_alive().await, "journals cannot be kept tidy"),
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn report(result: Result<(), DatabaseError>, what: &'static str) {
    if let Err(error) = result {
        tracing::error!(error = &error as &dyn std::error::Error, "{what}");
    }
}

/// Takes up what is due, as far as there is room. Returns how long nothing more will be due.
async fn take_due(engine: &Arc<Inner>, drives: &mut Drives) -> Result<Duration, DatabaseError> {
    let room = engine.options.driven_max.saturating_sub(drives.tasks.len());
    if room == 0 || engine.is_stopping() {
        return Ok(engine.options.poll);
    }
    let fail = |error| engine.database.explain(error);
    let now_us = now_us();
    let mut reader = engine.database.read().await?;
    let max = i64::try_from(room).unwrap_or(i64::MAX);
    let due = table::due(&mut reader, &engine.known(), now_us, max).await.map_err(fail)?;
    let next_us = table::next_wake_us(&mut reader, now_us).await.map_err(fail)?;
    drop(reader);
    for (id, owner) in take_leases(engine, due, now_us).await? {
        let (engine, held_by) = (engine.clone(), owner.clone());
        let task = drives.tasks.spawn(async move {
            let drive = Drive { engine: &engine, id: &id, owner: &held_by };
            if let Err(error) = drive.run().await {
                // The lease runs out by itself, which is the pause before the next try.
                tracing::error!(saga = id, error = &error as &dyn std::error::Error, "saga cannot be driven");
            }
        });
        drives.owners.insert(task.id(), (owner, task));
    }
    let until_next = next_us.map_or(engine.options.poll, |next_us| {
        Duration::from_micros(u64::try_from(next_us.saturating_sub(now_us)).unwrap_or(0))
    });
    Ok(until_next.min(engine.options.poll))
}

async fn take_leases(engine: &Inner, due: Vec<String>, now_us: i64) -> Result<Vec<(String, String)>, DatabaseError> {
    let mut taken = Vec::with_capacity(due.len());
    if due.is_empty() {
        return Ok(taken);
    }
    let until_us = now_us.saturating_add(micros(engine.options.lease));
    let mut transaction = engine.database.write(Durability::Process).await?;
    for id in due {
        let owner = format!("{:016x}.{}", engine.instance, engine.leases.fetch_add(1, Ordering::Relaxed));
        let free = table::take_lease(transaction.connection(), &id, &owner, now_us, until_us).await;
        if free.map_err(|error| engine.database.explain(error))? {
            taken.push((id, owner));
        }
    }
    transaction.commit().await?;
    Ok(taken)
}

/// Renews the leases of all drives. A drive that lost its lease is stopped: another process repeats its step.
async fn renew(engine: &Inner, drives: &Drives) -> Result<(), DatabaseError> {
    if drives.owners.is_empty() {
        return Ok(());
    }
    let owners: Vec<String> = drives.owners.values().map(|(owner, _)| owner.clone()).collect();
    let until_us = now_us().saturating_add(micros(engine.options.lease));
    let mut transaction = engine.database.write(Durability::Process).await?;
    let held = table::renew_leases(transaction.connection(), &owners, until_us).await;
    let held = held.map_err(|error| engine.database.explain(error))?;
    transaction.commit().await?;
    for (owner, task) in drives.owners.values() {
        // A drive that has just come to rest has given its lease back: stopping it changes nothing.
        if !held.contains(owner) {
            task.abort();
        }
    }
    Ok(())
}

impl Drives {
    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match &ended {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let owner = self.owners.remove(&id);
        if let Err(error) = ended
            && error.is_panic()
        {
            let owner = owner.map(|(owner, _)| owner);
            tracing::error!(owner, "a step panicked; its saga is taken up when the lease runs out");
        }
    }
}
