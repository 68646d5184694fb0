//! Looks, a few times a second, for what other processes changed: replays in the groups' topic, and records that were set
//! aside by others or redelivered. One question to a broker where nothing did.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mcsp_runtime::{LogError, chain};

use super::Inner;
use super::reader::Place;

/// How late a change is noticed by a member that has nothing to settle.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The thread that looks; it ends when this is dropped.
pub(super) struct Keeper {
    _stop: Sender<()>,
}

impl Keeper {
    /// Starts looking.
    pub(super) fn start(log: &Arc<Inner>) -> Result<Self, LogError> {
        let (stop, stopped) = channel();
        let log = Arc::downgrade(log);
        let thread = std::thread::Builder::new().name("kafka-keeper".to_owned());
        let started = thread.spawn(move || keep(&log, &stopped));
        started.map_err(|error| LogError::Engine { action: "start the keeper", source: Box::new(error) })?;
        Ok(Self { _stop: stop })
    }
}

fn keep(log: &Weak<Inner>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(log) = log.upgrade() else { return };
        if let Err(error) = look(&log) {
            tracing::debug!(error = %chain(&error), "changes of other processes are noticed later");
        }
    }
}

fn look(log: &Inner) -> Result<(), LogError> {
    let members = log.living();
    if members.is_empty() {
        return Ok(());
    }
    let asides = log.asides.all();
    let groups: Place = (log.client.groups_topic(), 0);
    let places: Vec<Place> =
        std::iter::once(groups).chain(asides.iter().map(|asides| (asides.topic().to_owned(), 0))).collect();
    let ends = log.reader.ends(&places)?;
    let (mut ends, mut changed) = (ends.into_iter(), false);
    if let Some(end) = ends.next() {
        log.groups.look(end)?;
    }
    for (asides, end) in asides.iter().zip(ends) {
        changed |= asides.look(end)?;
    }
    for member in members {
        if let Some(state) = log.groups.known(&member.group) {
            member.adopt(state);
        }
        if changed {
            member.wake.notify_waiters();
        }
    }
    Ok(())
}
