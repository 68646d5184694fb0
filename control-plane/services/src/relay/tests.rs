//! The relay, cut at every step, alone and against a second one, on a log that keeps its port's promises.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use mcsp_catalog::ScratchDatabase;
use mcsp_domain::EventId;
use mcsp_events::{GroupName, Headers, Message, Topic, TopicName};
use mcsp_runtime::{Lag, PartitionSpan, Record, ReplayFrom, SubscribeOptions, Subscription};
use proptest::prelude::*;

use super::*;

/// Where the next append dies.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Nothing was written.
    Before,
    /// Everything was written, and nobody heard.
    After,
}

/// As much of a log as a relay sees: an id is taken once, a position is noted with what it stands for.
#[derive(Default)]
struct ModelLog {
    records: Mutex<Vec<Message>>,
    positions: Mutex<HashMap<String, u64>>,
    cuts: Mutex<VecDeque<Cut>>,
}

impl ModelLog {
    fn ids(&self) -> Vec<EventId> {
        self.records.lock().unwrap().iter().map(|message| message.headers.id).collect()
    }

    fn take(&self, messages: Vec<Message>) {
        let mut records = self.records.lock().unwrap();
        for message in messages {
            if records.iter().all(|record| record.headers.id != message.headers.id) {
                records.push(message);
            }
        }
    }
}

#[async_trait]
impl EventLog for ModelLog {
    async fn append_at(&self, source: &str, position: u64, messages: Vec<Message>) -> Result<(), LogError> {
        let cut = self.cuts.lock().unwrap().pop_front();
        let fault = || LogError::Engine { action: "append", source: "the test cut it".into() };
        if matches!(cut, Some(Cut::Before)) {
            return Err(fault());
        }
        let mut positions = self.positions.lock().unwrap();
        let noted = positions.entry(source.to_owned()).or_default();
        if *noted < position {
            *noted = position;
            self.take(messages);
        }
        if cut.is_some() { Err(fault()) } else { Ok(()) }
    }

    async fn position(&self, source: &str) -> Result<Option<u64>, LogError> {
        Ok(self.positions.lock().unwrap().get(source).copied())
    }

    async fn append(&self, messages: Vec<Message>) -> Result<(), LogError> {
        self.take(messages);
        Ok(())
    }

    async fn subscribe(
        &self,
        _: &GroupName,
        _: &[TopicName],
        _: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>, LogError> {
        unreachable!("a relay reads nothing")
    }

    async fn read(&self, _: &TopicName, _: u32, _: u64, _: usize) -> Result<Vec<Record>, LogError> {
        unreachable!("a relay reads nothing")
    }

    async fn partitions(&self, _: &TopicName) -> Result<Vec<PartitionSpan>, LogError> {
        unreachable!("a relay reads nothing")
    }

    async fn lag(&self, _: &GroupName) -> Result<Vec<Lag>, LogError> {
        unreachable!("a relay reads nothing")
    }

    async fn groups(&self) -> Result<Vec<GroupName>, LogError> {
        unreachable!("a relay reads nothing")
    }

    async fn epoch(&self, _: &GroupName) -> Result<u64, LogError> {
        unreachable!("a relay is in no group")
    }

    async fn replay(&self, _: &GroupName, _: &TopicName, _: ReplayFrom) -> Result<u64, LogError> {
        unreachable!("a relay sets nobody back")
    }

    async fn redeliver(&self, _: &GroupName, _: &Record) -> Result<(), LogError> {
        unreachable!("a relay delivers once")
    }

    async fn forget_group(&self, _: &GroupName) -> Result<(), LogError> {
        unreachable!("a relay forgets nobody")
    }

    async fn sweep(&self, _: i64) -> Result<u64, LogError> {
        unreachable!("a relay sweeps nothing")
    }
}

/// A catalog in a folder of its own, or a database of its own where `MCSP_POSTGRES` names a server, and a log.
struct World {
    folder: tempfile::TempDir,
    database: Option<ScratchDatabase>,
    catalog: Catalog,
    log: Arc<ModelLog>,
    sent: u32,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = ScratchDatabase::make().await.unwrap();
        let catalog = open(&folder, database.as_ref()).await;
        Self { folder, database, catalog, log: Arc::new(ModelLog::default()), sent: 0 }
    }

    fn relay(&self, owner: &str) -> Relay {
        Relay::new(self.catalog.clone(), self.log.clone(), owner.to_owned())
    }

    async fn send(&mut self, count: u32) {
        let mut tx = self.catalog.begin().await.unwrap();
        for number in self.sent..self.sent + count {
            tx.send(message(number)).unwrap();
        }
        tx.commit().await.unwrap();
        self.sent += count;
    }

    /// Lets a relay finish, and holds the log against what was sent.
    async fn settle(&self) {
        let (relay, mut state) = (self.relay("last"), State::default());
        while relay.turn(&mut state).await.unwrap() == Turn::Moved {}
        self.assert_settled().await;
    }

    async fn assert_settled(&self) {
        let sent: Vec<EventId> = (0..self.sent).map(|number| message(number).headers.id).collect();
        assert_eq!(self.log.ids(), sent, "each message once, in the order of commits");
        assert_eq!(self.catalog.outbox_after(0, 1).await.unwrap(), [], "the outbox is empty");
    }

    /// Runs a relay until the log has everything and the outbox nothing, then stops it.
    async fn run_until_settled(&self, relay: &Relay) {
        let settled = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while self.log.ids().len() < self.sent as usize
                || !self.catalog.outbox_after(0, 1).await.unwrap().is_empty()
            {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), relay.run(settled)).await.unwrap();
        self.assert_settled().await;
    }
}

async fn open(folder: &tempfile::TempDir, database: Option<&ScratchDatabase>) -> Catalog {
    if let Some(database) = database {
        return Catalog::open_postgres(database.options()).await.unwrap();
    }
    Catalog::open(&format!("sqlite:{}", folder.path().join("catalog.db").display())).await.unwrap()
}

fn message(number: u32) -> Message {
    let headers = Headers {
        id: EventId::derived(&[&number.to_be_bytes()]),
        kind: "media.published".to_owned(),
        version: 1,
        source: "content".to_owned(),
        time_us: i64::from(number),
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    Message { topic: Topic::Published.into(), key: "k".to_owned(), spread: 0, headers, payload: b"{}".to_vec() }
}

/// One step of one of two relays, or something that happens to them.
#[derive(Clone, Copy, Debug)]
enum Act {
    Send(u32),
    FindPlace(usize),
    Read(usize, usize),
    Append(usize),
    /// The append comes through, the relay dies before it knows.
    AppendAndDie(usize),
    Delete(usize),
    Die(usize),
}

/// What a relay holds between two steps.
#[derive(Default)]
struct Hand {
    place: Option<Place>,
    rows: Vec<OutboxRow>,
    appended: Option<u64>,
}

fn act() -> impl Strategy<Value = Act> {
    let who = 0..2_usize;
    prop_oneof![
        3 => (1..4_u32).prop_map(Act::Send),
        2 => who.clone().prop_map(Act::FindPlace),
        4 => (who.clone(), 1..4_usize).prop_map(|(who, max)| Act::Read(who, max)),
        4 => who.clone().prop_map(Act::Append),
        1 => who.clone().prop_map(Act::AppendAndDie),
        3 => who.clone().prop_map(Act::Delete),
        1 => who.prop_map(Act::Die),
    ]
}

async fn play(world: &mut World, relays: &[Relay; 2], hands: &mut [Hand; 2], act: Act) {
    match act {
        Act::Send(count) => world.send(count).await,
        Act::FindPlace(who) => {
            let place = Some(relays[who].find_place().await.unwrap());
            hands[who] = Hand { place, ..Hand::default() };
        }
        Act::Read(who, max) => {
            if let Some(place) = &hands[who].place {
                hands[who].rows = relays[who].read(place, max).await.unwrap();
            }
        }
        Act::Append(who) | Act::AppendAndDie(who) => {
            let hand = &mut hands[who];
            let (Some(place), Some(last)) = (&mut hand.place, hand.rows.last().map(|row| row.position)) else { return };
            relays[who].append(place, std::mem::take(&mut hand.rows)).await.unwrap();
            place.position = last;
            hand.appended = Some(last);
            if matches!(act, Act::AppendAndDie(_)) {
                *hand = Hand::default();
            }
        }
        Act::Delete(who) => {
            if let Some(position) = hands[who].appended.take() {
                world.catalog.outbox_delete_through(position).await.unwrap();
            }
        }
        Act::Die(who) => hands[who] = Hand::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_steps_and_deaths_of_two_relays_loses_or_doubles(acts in prop::collection::vec(act(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let relays = [world.relay("one"), world.relay("two")];
            let mut hands = [Hand::default(), Hand::default()];
            for act in acts {
                play(&mut world, &relays, &mut hands, act).await;
            }
            world.settle().await;
        });
    }
}

#[tokio::test]
async fn a_relay_that_dies_after_each_number_of_steps_is_finished_by_the_next() {
    // Two batches: find, read, append, delete, read, append, delete.
    let steps = [
        Act::FindPlace(0),
        Act::Read(0, 3),
        Act::Append(0),
        Act::Delete(0),
        Act::Read(0, 3),
        Act::Append(0),
        Act::Delete(0),
    ];
    for count in 0..=steps.len() {
        let mut world = World::new().await;
        world.send(5).await;
        let relays = [world.relay("one"), world.relay("two")];
        let mut hands = [Hand::default(), Hand::default()];
        for step in steps.iter().take(count) {
            play(&mut world, &relays, &mut hands, *step).await;
        }
        world.settle().await;
    }
}

#[tokio::test]
async fn a_log_that_fails_before_and_after_its_appends_gets_everything_once() {
    let mut world = World::new().await;
    world.log.cuts.lock().unwrap().extend([Cut::Before, Cut::After, Cut::Before]);
    world.send(1200).await;
    let relay = world.relay("one");
    world.run_until_settled(&relay).await;
    assert_eq!(world.catalog.lease(LEASE).await.unwrap(), None, "the lease was given back");
}

#[tokio::test]
async fn what_another_process_sends_is_relayed_too() {
    let mut world = World::new().await;
    let relay = world.relay("one");
    let here = std::mem::replace(&mut world.catalog, open(&world.folder, world.database.as_ref()).await);
    world.send(3).await;
    drop(here);
    world.run_until_settled(&relay).await;
}

#[tokio::test]
async fn one_relay_at_a_time_holds_the_lease() {
    let mut world = World::new().await;
    world.send(2).await;
    let (one, two) = (world.relay("one"), world.relay("two"));
    let (mut state_one, mut state_two) = (State::default(), State::default());
    assert_eq!(one.turn(&mut state_one).await.unwrap(), Turn::Moved);
    world.send(2).await;
    assert_eq!(two.turn(&mut state_two).await.unwrap(), Turn::NotOurs);
    // The first dies; its lease runs out.
    let now_us = now_us();
    assert!(world.catalog.claim_lease(LEASE, "one", now_us, now_us - 1).await.unwrap());
    assert_eq!(two.turn(&mut state_two).await.unwrap(), Turn::Moved);
    assert_eq!(two.turn(&mut state_two).await.unwrap(), Turn::Empty);
    // It was only asleep: when its lease is due again it sees that it has none.
    state_one.claimed_us = Some(now_us - LEASE_US);
    assert_eq!(one.turn(&mut state_one).await.unwrap(), Turn::NotOurs);
    assert!(state_one.place.is_none(), "and asks the log anew");
    world.assert_settled().await;
}

#[tokio::test]
async fn a_catalog_put_back_from_an_older_copy_relays_under_a_new_name() {
    let mut world = World::new().await;
    let id = world.catalog.id().await.unwrap();
    world.log.positions.lock().unwrap().insert(source(&id), 100);
    world.send(3).await;
    world.settle().await;
    assert_ne!(world.catalog.id().await.unwrap(), id);
}

#[tokio::test]
async fn what_took_old_positions_after_a_restore_is_relayed() {
    let mut world = World::new().await;
    // Before the catalog was put back, the log came to 700; since then it has sent more than that.
    let id = world.catalog.id().await.unwrap();
    world.log.positions.lock().unwrap().insert(source(&id), 700);
    world.send(703).await;
    const { assert!(limits::OUTBOX_BATCH_MAX < 700, "two batches stand below the log's position") };
    world.settle().await;
    assert_eq!(world.catalog.id().await.unwrap(), id, "nothing says that it is another catalog");
}

#[test]
fn pauses_grow_to_a_bound() {
    for failures in [0, 3, 7, 40, u32::MAX] {
        let longest = BACKOFF_MIN.saturating_mul(1 << failures.min(10)).min(BACKOFF_MAX);
        let pause = backoff(failures);
        assert!(pause <= longest && pause >= longest / 11, "{failures}: {pause:?}");
    }
}
