//! What a log on Kafka is opened with.

use std::time::Duration;

use mcsp_events::{Durability, Topic, TopicName};

use crate::{Login, Tls};

/// What a log is opened with; `KafkaOptions::new` gives the catalogue as it stands.
#[derive(Clone)]
pub struct KafkaOptions {
    /// The brokers to ask first: `host:port`, several with commas between them.
    pub servers: String,
    /// The process's name: unique among those that run, the same after a restart. Transactional ids are made of it, so that
    /// a process that comes again ends at once what its predecessor left open; two processes of one name fence each other.
    pub process: String,
    /// Who asks (SASL); without it the brokers are not told.
    pub login: Option<Login>,
    /// How the login is proved.
    pub mechanism: SaslMechanism,
    /// TLS to the brokers; without it words and passwords travel in the clear.
    pub tls: Option<Tls>,
    /// What stands before every name of a topic, group and transaction: platforms that share a cluster.
    pub namespace: String,
    /// The topics, made at open where they are not there.
    pub topics: Vec<KafkaTopic>,
    /// Copies of each partition of topics that are made here. With three, an append waits for two.
    pub replication: u16,
    /// Whether brokers sync each append to synced topics that are made here (`flush.messages=1`). Without it what an append
    /// promises is what its replicas hold in memory: with one replica, the loss of power may take the last second.
    pub flush_each: bool,
    /// The shortest lease that the brokers take (`group.min.session.timeout.ms`): shorter ones are made as long.
    pub lease_min: Duration,
    /// How long a member keeps partitions that another one is to get while records of them are out. Others that join or
    /// leave wait for it; what is still out then is lost to the heir.
    pub hand_over_max: Duration,
    /// How much longer than its retention the brokers keep a topic's records for groups that have not completed them:
    /// a sweep removes what all have completed.
    pub hold: Duration,
    /// How long a transaction may stand open: what a dead process left is aborted then, where nobody of its name comes before.
    pub transaction_max: Duration,
    /// How long opening waits for the brokers.
    pub connect_max: Duration,
}

impl KafkaOptions {
    /// Returns the usual options: the topics of the catalogue, one copy each, no login, no TLS.
    pub fn new(servers: impl Into<String>, process: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            process: process.into(),
            login: None,
            mechanism: SaslMechanism::default(),
            tls: None,
            namespace: String::new(),
            topics: Topic::ALL.iter().copied().map(KafkaTopic::from).collect(),
            replication: 1,
            flush_each: false,
            lease_min: Duration::from_secs(6),
            hand_over_max: Duration::from_secs(60),
            hold: Duration::from_secs(7 * 24 * 3600),
            transaction_max: Duration::from_secs(30),
            connect_max: Duration::from_secs(20),
        }
    }
}

/// How a login is proved to a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SaslMechanism {
    /// The password as it is: with TLS alone.
    Plain,
    /// RFC 7677.
    ScramSha256,
    /// As `ScramSha256`, with SHA-512.
    #[default]
    ScramSha512,
}

impl SaslMechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// A topic as it is made, and as it is held to when it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaTopic {
    /// Its name.
    pub name: TopicName,
    /// Its partitions. More than these are taken as they are; fewer are refused.
    pub partitions: u32,
    /// How long its records are kept.
    pub retention: Duration,
    /// When an append is safe.
    pub durability: Durability,
    /// Whether even a single record is written in a transaction.
    pub transactional: bool,
}

impl From<Topic> for KafkaTopic {
    fn from(topic: Topic) -> Self {
        let spec = topic.spec();
        Self {
            name: topic.into(),
            partitions: spec.partitions,
            retention: Duration::from_secs(u64::from(spec.retention_days) * 24 * 3600),
            durability: spec.durability,
            transactional: spec.transactional,
        }
    }
}
