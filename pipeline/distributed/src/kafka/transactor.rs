//! One transactional producer: records, and offsets of a group where there are any, all or none. Calls block.
//!
//! The library's own waits go in steps of 100 ms; records are drained before each step of a transaction, so that these
//! waits find nothing to wait for.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mcsp_runtime::LogError;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client::{CALL_MAX, Client, Context, lock};
use super::wire::Outbound;

/// Looks at a producer's queue without sleeping, before looks that sleep in between.
const BUSY_LOOKS: u32 = 20;
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// A producer under a transactional id.
pub(super) struct Transactor {
    client: Arc<Client>,
    id: String,
    producer: Option<BaseProducer<Deliveries>>,
}

/// Offsets that go with a transaction.
pub(super) struct Offsets<'a> {
    pub(super) list: &'a TopicPartitionList,
    pub(super) group: &'a ConsumerGroupMetadata,
}

/// Why a transaction did not happen, as far as that is known.
#[derive(Debug)]
pub(super) enum TxFault {
    /// Nothing of it is visible.
    Aborted(KafkaError),
    /// Nothing of it is visible: another producer has the id now.
    Replaced(KafkaError),
    /// It may be visible or not, which is decided when the producer is made ready again.
    Unknown(KafkaError),
    /// The producer could not be made.
    NotReady(LogError),
}

impl TxFault {
    /// Returns it in the port's words.
    pub(super) fn at(self, client: &Client, action: &'static str) -> LogError {
        match self {
            Self::Aborted(error) | Self::Replaced(error) | Self::Unknown(error) => client.failed(action, error),
            Self::NotReady(error) => error,
        }
    }
}

impl Transactor {
    /// Returns a producer that connects at its first use.
    pub(super) fn new(client: Arc<Client>, id: String) -> Self {
        Self { client, id, producer: None }
    }

    /// Returns whether the producer has its id, and nothing of an earlier one of this id stands open.
    pub(super) fn is_ready(&self) -> bool {
        self.producer.is_some()
    }

    /// Takes the id: what an earlier producer of it left open is decided, and it can commit nothing from here on.
    pub(super) fn ready(&mut self) -> Result<(), LogError> {
        if self.producer.is_some() {
            return Ok(());
        }
        let mut config = self.client.producer();
        config.set("transactional.id", &self.id).set("client.id", &self.id);
        config.set("transaction.timeout.ms", self.client.options.transaction_max.as_millis().to_string());
        let failed = |error| self.client.failed("take a transactional id", error);
        let context = Deliveries { context: self.client.context(), failed: Mutex::default() };
        let producer: BaseProducer<Deliveries> = config.create_with_context(context).map_err(failed)?;
        let deadline = Instant::now() + CALL_MAX;
        loop {
            match producer.init_transactions(CALL_MAX) {
                Ok(()) => break,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.producer = Some(producer);
        Ok(())
    }

    /// Writes records and offsets, all or none.
    pub(super) fn run(&mut self, records: &[&Outbound], offsets: Option<&Offsets<'_>>) -> Result<(), TxFault> {
        self.ready().map_err(TxFault::NotReady)?;
        let Some(producer) = self.producer.take() else { unreachable!("ready() made it") };
        lock(&producer.context().failed).take();
        if let Err(error) = prepare(&producer, records, offsets) {
            return Err(self.undo(producer, error));
        }
        match again(|| producer.commit_transaction(CALL_MAX)) {
            Ok(()) => {
                self.producer = Some(producer);
                Ok(())
            }
            Err(error) if requires_abort(&error) => Err(self.undo(producer, error)),
            Err(error) => Err(TxFault::Unknown(error)),
        }
    }

    /// Leaves a transaction before its commit was asked for.
    fn undo(&mut self, producer: BaseProducer<Deliveries>, error: KafkaError) -> TxFault {
        let is_fatal = || producer.client().fatal_error().is_some();
        if !is_fatal() && again(|| producer.abort_transaction(CALL_MAX)).is_ok() {
            self.producer = Some(producer);
            return TxFault::Aborted(error);
        }
        // A producer that could not abort is dropped: whoever takes its id does. Some learn only here that they lost theirs.
        if is_fatal() { TxFault::Replaced(error) } else { TxFault::Aborted(error) }
    }
}

/// Does everything up to the commit.
fn prepare(
    producer: &BaseProducer<Deliveries>,
    records: &[&Outbound],
    offsets: Option<&Offsets<'_>>,
) -> Result<(), KafkaError> {
    producer.begin_transaction()?;
    for record in records {
        send(producer, record)?;
    }
    drain(producer)?;
    if let Some(offsets) = offsets {
        again(|| producer.send_offsets_to_transaction(offsets.list, offsets.group, CALL_MAX))?;
    }
    Ok(())
}

fn send(producer: &BaseProducer<Deliveries>, record: &Outbound) -> Result<(), KafkaError> {
    let mut message = BaseRecord::<str, [u8]>::to(&record.topic).partition(record.partition).key(record.key.as_str());
    message = message.headers(record.library_headers());
    if let Some(payload) = &record.payload {
        message = message.payload(payload.as_slice());
    }
    let deadline = Instant::now() + CALL_MAX;
    loop {
        match producer.send(message) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) if Instant::now() < deadline => {
                message = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Waits until every record is with the brokers.
fn drain(producer: &BaseProducer<Deliveries>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + CALL_MAX;
    let mut looks = 0;
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::ZERO);
        looks += 1;
        if looks > BUSY_LOOKS {
            std::thread::sleep(LOOK_EVERY);
        }
        if Instant::now() > deadline {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
        }
    }
    producer.poll(Duration::ZERO);
    lock(&producer.context().failed).take().map_or(Ok(()), Err)
}

/// Repeats a step of a transaction as long as the library says that it may be.
fn again(step: impl Fn() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let deadline = Instant::now() + CALL_MAX;
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < deadline => {}
            done => return done,
        }
    }
}

fn requires_abort(error: &KafkaError) -> bool {
    matches!(error, KafkaError::Transaction(error) if error.txn_requires_abort())
}

/// Keeps the first failed delivery of a transaction.
pub(super) struct Deliveries {
    context: Context,
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.context.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            lock(&self.failed).get_or_insert_with(|| error.clone());
        }
    }
}
