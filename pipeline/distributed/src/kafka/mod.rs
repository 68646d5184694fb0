//! `EventLog` on Apache Kafka (4.x; anything from 2.5 on speaks the protocol that is used). Read in this order: what a log is
//! opened with (`options`), what all connections share (`client`), records on the wire (`wire`), topics (`topics`), reading
//! outside of groups (`reader`), transactions (`transactor`, `append`); then groups: their records (`group_state`), places
//! (`place`), what is set aside (`asides`), what a member has in its hands (`hand`, `member`), its threads (`poll`,
//! `settle`), its calls (`subscription`), what operators do (`desk`), and who looks after changes (`keeper`).
//!
//! What exactly-once covers: outputs, offsets, what is set aside and dead letters of a completion are one transaction, and a
//! relay's records are one with its position. Everything reads committed records alone. What it does not cover: an id that
//! an earlier transaction wrote already is written again (`Recent` leaves out what this process wrote last); who reads it
//! knows it by its id, in the ledger or the inbox.

mod append;
mod asides;
mod client;
mod desk;
mod group_state;
mod hand;
mod keeper;
mod member;
mod options;
mod place;
mod poll;
mod reader;
mod settle;
mod subscription;
mod topics;
mod transactor;
mod wire;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mcsp_events::{GroupName, Message, TopicName};
use mcsp_runtime::{EventLog, Lag, LogError, PartitionSpan, Record, ReplayFrom, SubscribeOptions, Subscription};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, FutureProducer, Producer};

use append::{Recent, Relays};
use asides::AsidesOfGroups;
use client::{Client, Context, lock, wait_for};
use desk::Desk;
use group_state::Groups;
use keeper::Keeper;
use member::Member;
use reader::Reader;
use topics::Topics;
use transactor::Transactor;

pub use options::{KafkaOptions, KafkaTopic, SaslMechanism};

/// How long one look for brokers takes while a log is opened.
const CONNECT_LOOK: Duration = Duration::from_millis(500);

/// The event log on Kafka. Dropping it, and every subscription, is what the end of a process is: others take over what its
/// members held.
pub struct KafkaLog {
    inner: Arc<Inner>,
    _keeper: Keeper,
}

/// What the log, its subscriptions and its threads share.
pub(crate) struct Inner {
    client: Arc<Client>,
    reader: Arc<Reader>,
    topics: Topics,
    groups: Groups,
    asides: AsidesOfGroups,
    plain: FutureProducer<Context>,
    /// Writes appends of several records.
    transactor: Mutex<Transactor>,
    relays: Relays,
    recent: Recent,
    desk: Desk,
    members: Mutex<Vec<Weak<Member>>>,
    /// Ids of members that live.
    ids: Mutex<HashSet<String>>,
    stalled: AtomicBool,
}

impl KafkaLog {
    /// Connects, and makes every topic of the options that is not there.
    ///
    /// # Errors
    /// `Misused` for what time will not help: a refused login, a topic with too few partitions or replicas, options that the
    /// brokers do not take. `Engine` when no broker answers within `connect_max`. Both name the brokers.
    pub async fn open(options: KafkaOptions) -> Result<Self, LogError> {
        let client = Arc::new(Client::new(options));
        let log = wait_for("open", move || {
            find_brokers(&client)?;
            Inner::new(client)
        });
        let log = Arc::new(log.await?);
        log.topics.declare().await?;
        let keeper = Keeper::start(&log)?;
        Ok(Self { inner: log, _keeper: keeper })
    }

    /// Has this handle's members say nothing more, as in a process that hangs: for tests of what others do then.
    pub fn stall(&self) {
        self.inner.stalled.store(true, Ordering::Release);
    }
}

/// Waits until a broker answers, and finds out what is wrong where none does.
fn find_brokers(client: &Client) -> Result<(), LogError> {
    let failed = |error| client.failed("open", error);
    client.check_files()?;
    // A producer's queue tells why a connection was refused.
    let probe: BaseProducer<Probe> = client.config().create_with_context(Probe(client.context())).map_err(|error| {
        let servers = &client.options.servers;
        match error {
            // A file that is not there, or a setting that the library does not take. The value may be a password.
            KafkaError::ClientConfig(_, what, key, _) => {
                LogError::Misused { what: format!("kafka at {servers} cannot be used: {key}: {what}") }
            }
            KafkaError::ClientCreation(what) => {
                LogError::Misused { what: format!("kafka at {servers} cannot be used: {what}") }
            }
            error => failed(error),
        }
    })?;
    let deadline = Instant::now() + client.options.connect_max;
    loop {
        let answer = probe.client().fetch_metadata(None, CONNECT_LOOK);
        probe.poll(Duration::from_millis(20));
        if let Some(refusal) = client.refusal() {
            return Err(refusal);
        }
        match answer {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(failed(error)),
            Err(_) => {}
        }
    }
}

/// Hears what a probe's connection reports.
struct Probe(Context);

impl rdkafka::ClientContext for Probe {
    fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl rdkafka::producer::ProducerContext for Probe {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

impl Inner {
    fn new(client: Arc<Client>) -> Result<Self, LogError> {
        let reader = Arc::new(Reader::new(Arc::clone(&client))?);
        let mut config = client.producer();
        config.set("message.timeout.ms", client::CALL_MAX.as_millis().to_string());
        let plain = config.create_with_context(client.context());
        let plain = plain.map_err(|error| client.failed("open", error))?;
        let id = client.name(&format!("{}/append", client.options.process));
        Ok(Self {
            topics: Topics::new(Arc::clone(&client), Arc::clone(&reader))?,
            groups: Groups::new(Arc::clone(&client), Arc::clone(&reader)),
            asides: AsidesOfGroups::new(Arc::clone(&client), Arc::clone(&reader)),
            plain,
            transactor: Mutex::new(Transactor::new(Arc::clone(&client), id)),
            relays: Relays::new(Arc::clone(&client), Arc::clone(&reader)),
            recent: Recent::default(),
            desk: Desk::default(),
            members: Mutex::default(),
            ids: Mutex::default(),
            stalled: AtomicBool::new(false),
            client,
            reader,
        })
    }

    /// Returns a member's transactional id: of process, group and member, and a number where one process has several of one
    /// name. It is the same after a restart, so that what was left open ends at once.
    fn member_id(&self, group: &GroupName, member: &str) -> String {
        let first = self.client.name(&format!("{}/{group}/{member}", self.client.options.process));
        let mut ids = lock(&self.ids);
        let numbered = (2_u32..).map(|number| format!("{first}/{number}"));
        let free = std::iter::once(first.clone()).chain(numbered).find(|id| !ids.contains(id)).unwrap_or(first);
        ids.insert(free.clone());
        free
    }

    /// Notes that a member's id is free again.
    fn left(&self, id: &str) {
        lock(&self.ids).remove(id);
    }

    /// Returns the members that live.
    fn living(&self) -> Vec<Arc<Member>> {
        let mut members = lock(&self.members);
        members.retain(|member| member.strong_count() > 0);
        members.iter().filter_map(Weak::upgrade).collect()
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn append(&self, messages: Vec<Message>) -> Result<(), LogError> {
        self.inner.append(messages).await
    }

    async fn append_at(&self, source: &str, position: u64, messages: Vec<Message>) -> Result<(), LogError> {
        let records = self.inner.outbound(messages)?;
        let (log, source) = (Arc::clone(&self.inner), source.to_owned());
        wait_for("append what a relay read", move || log.relays.append_at(&source, position, &records)).await
    }

    async fn position(&self, source: &str) -> Result<Option<u64>, LogError> {
        let (log, source) = (Arc::clone(&self.inner), source.to_owned());
        wait_for("read the position of a relay", move || log.relays.position(&source)).await
    }

    async fn subscribe(
        &self,
        group: &GroupName,
        topics: &[TopicName],
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>, LogError> {
        subscription::subscribe(&self.inner, group, topics, options).await
    }

    async fn read(
        &self,
        topic: &TopicName,
        partition: u32,
        from_offset: u64,
        max: usize,
    ) -> Result<Vec<Record>, LogError> {
        let (log, topic) = (Arc::clone(&self.inner), topic.clone());
        wait_for("read records", move || log.read(&topic, partition, from_offset, max)).await
    }

    async fn partitions(&self, topic: &TopicName) -> Result<Vec<PartitionSpan>, LogError> {
        let (log, topic) = (Arc::clone(&self.inner), topic.clone());
        wait_for("read partitions", move || log.partitions(&topic)).await
    }

    async fn lag(&self, group: &GroupName) -> Result<Vec<Lag>, LogError> {
        let (log, group) = (Arc::clone(&self.inner), group.clone());
        wait_for("read the lag of a group", move || log.lag(&group)).await
    }

    async fn epoch(&self, group: &GroupName) -> Result<u64, LogError> {
        let (log, group) = (Arc::clone(&self.inner), group.clone());
        let epoch = move || Ok(log.groups.read(&group)?.map_or(0, |state| state.epoch));
        wait_for("read the epoch of a group", epoch).await
    }

    async fn groups(&self) -> Result<Vec<GroupName>, LogError> {
        let log = Arc::clone(&self.inner);
        wait_for("read the groups", move || Ok(log.groups.all()?.into_keys().collect())).await
    }

    async fn replay(&self, group: &GroupName, topic: &TopicName, from: ReplayFrom) -> Result<u64, LogError> {
        let (log, group, topic) = (Arc::clone(&self.inner), group.clone(), topic.clone());
        wait_for("replay", move || log.replay(&group, &topic, from)).await
    }

    async fn redeliver(&self, group: &GroupName, dead: &Record) -> Result<(), LogError> {
        let (log, group, dead) = (Arc::clone(&self.inner), group.clone(), dead.clone());
        wait_for("redeliver a dead letter", move || log.redeliver(&group, &dead)).await
    }

    async fn forget_group(&self, group: &GroupName) -> Result<(), LogError> {
        self.inner.forget_group(group).await
    }

    async fn sweep(&self, now_us: i64) -> Result<u64, LogError> {
        self.inner.sweep(now_us).await
    }
}
