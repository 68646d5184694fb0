//! What a log is opened with.

use std::collections::BTreeMap;
use std::time::Duration;

use mcsp_events::TopicName;

use crate::sqlite::{BUSY_DEFAULT, Durability};

/// What a log is opened with; the default is the catalogue as it stands.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The process's name, for operators.
    pub process: String,
    /// What differs from the catalogue, by topic.
    pub overrides: BTreeMap<TopicName, TopicOverride>,
    /// Topics beyond the catalogue: those of tests and of fault runs.
    pub extra_topics: Vec<ExtraTopic>,
    /// How long a call waits while another process holds the file.
    pub busy: Duration,
}

/// What differs from a topic's declaration.
#[derive(Clone, Copy, Debug, Default)]
pub struct TopicOverride {
    /// Partitions. More than there are is taken while no other process has the log open: events of one key that are
    /// appended later may then go elsewhere than earlier ones. Fewer is refused.
    pub partitions: Option<u32>,
    /// When an append is safe.
    pub durability: Option<Durability>,
    /// How long events are kept.
    pub retention: Option<Duration>,
}

/// A topic beyond the catalogue.
#[derive(Clone, Debug)]
pub struct ExtraTopic {
    /// Its name.
    pub name: TopicName,
    /// Its partitions.
    pub partitions: u32,
    /// When an append is safe.
    pub durability: Durability,
    /// How long events are kept.
    pub retention: Duration,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { process: "mcsp".to_owned(), overrides: BTreeMap::new(), extra_topics: Vec::new(), busy: BUSY_DEFAULT }
    }
}
