//! The topics of a log: made at open where they are not there, held to what was asked for where they are. Each group's dead
//! letters, and what it sets aside, get their topics when it first joins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcsp_domain::limits::PARTITIONS_MAX;
use mcsp_events::{Durability, GroupName, TopicName};
use mcsp_runtime::LogError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{CALL_MAX, Client, Context, lock, wait_for};
use super::options::KafkaTopic;
use super::reader::Reader;

/// Partitions of the topic of relays: sources whose numbers meet wait for each other's open transactions.
pub(super) const POSITION_PARTITIONS: u32 = 8;

/// A topic as the log runs it.
#[derive(Clone, Debug)]
pub(super) struct TopicInfo {
    pub(super) name: TopicName,
    /// The name under the namespace.
    pub(super) full: Arc<str>,
    pub(super) partitions: u32,
    pub(super) transactional: bool,
    /// How long records are kept; nothing for topics that are compacted.
    pub(super) retention: Option<Duration>,
}

/// A topic that is to be there.
struct Wanted {
    full: String,
    partitions: u32,
    settings: Vec<(&'static str, String)>,
}

/// What a log knows of its topics.
pub(super) struct Topics {
    client: Arc<Client>,
    reader: Arc<Reader>,
    admin: AdminClient<Context>,
    known: Mutex<HashMap<TopicName, Arc<TopicInfo>>>,
}

impl Topics {
    pub(super) fn new(client: Arc<Client>, reader: Arc<Reader>) -> Result<Self, LogError> {
        let admin = client.config().create_with_context(client.context());
        let admin = admin.map_err(|error| client.failed("open", error))?;
        Ok(Self { client, reader, admin, known: Mutex::default() })
    }

    /// Returns what changes topics and groups.
    pub(super) fn admin(&self) -> &AdminClient<Context> {
        &self.admin
    }

    /// Makes the topics of the options and the log's own, and holds those that are there to what is asked for.
    pub(super) async fn declare(&self) -> Result<(), LogError> {
        let options = &self.client.options;
        let own = [(self.client.groups_topic(), 1), (self.client.positions_topic(), POSITION_PARTITIONS)];
        let mut wanted: Vec<Wanted> =
            own.into_iter().map(|(full, partitions)| Wanted { full, partitions, settings: compacted() }).collect();
        for topic in &options.topics {
            let partitions = topic.partitions;
            if !(1..=PARTITIONS_MAX).contains(&partitions) {
                let name = &topic.name;
                let what =
                    format!("topic {name} is asked to have {partitions} partitions, 1 to {PARTITIONS_MAX} allowed");
                return Err(LogError::Misused { what });
            }
            let settings = self.settings(topic);
            wanted.push(Wanted { full: self.client.name(topic.name.as_str()), partitions, settings });
        }
        let counts = self.make(&wanted).await?;
        self.tell_of_differences(&wanted).await?;
        self.tell_of_expiry().await;
        let mut known = lock(&self.known);
        for topic in &options.topics {
            let full = self.client.name(topic.name.as_str());
            let partitions = counts.get(&full).copied().unwrap_or(topic.partitions);
            let (name, transactional) = (topic.name.clone(), topic.transactional);
            let full = full.into();
            let info = TopicInfo { name, full, partitions, transactional, retention: Some(topic.retention) };
            known.insert(topic.name.clone(), Arc::new(info));
        }
        Ok(())
    }

    /// Makes what a group keeps for itself.
    pub(super) async fn declare_group(&self, group: &GroupName) -> Result<(), LogError> {
        let dead = TopicName::dead(group);
        if lock(&self.known).contains_key(&dead) {
            return Ok(());
        }
        let names = [self.client.name(dead.as_str()), self.client.retry_topic(group)];
        let wanted = names.map(|full| Wanted { full, partitions: 1, settings: compacted() });
        self.make(&wanted).await?;
        lock(&self.known).insert(dead.clone(), Arc::new(self.compacted_info(dead, 1)));
        Ok(())
    }

    /// Returns a topic of the log. Blocks where it was not looked for before.
    pub(super) fn get(&self, name: &TopicName) -> Result<Arc<TopicInfo>, LogError> {
        if let Some(known) = self.known(name) {
            return Ok(known);
        }
        let found = if name.as_str().starts_with("dead.") {
            self.reader.partitions(&self.client.name(name.as_str()))?
        } else {
            None
        };
        let partitions = found.ok_or_else(|| LogError::UnknownTopic { topic: name.to_string() })?;
        let info = Arc::new(self.compacted_info(name.clone(), partitions));
        lock(&self.known).insert(name.clone(), Arc::clone(&info));
        Ok(info)
    }

    /// Returns a topic that was looked for before.
    pub(super) fn known(&self, name: &TopicName) -> Option<Arc<TopicInfo>> {
        lock(&self.known).get(name).cloned()
    }

    /// Returns the topics of the options.
    pub(super) fn kept(&self) -> Vec<Arc<TopicInfo>> {
        lock(&self.known).values().filter(|topic| topic.retention.is_some()).cloned().collect()
    }

    fn compacted_info(&self, name: TopicName, partitions: u32) -> TopicInfo {
        let full = self.client.name(name.as_str()).into();
        TopicInfo { name, full, partitions, transactional: true, retention: None }
    }

    fn settings(&self, topic: &KafkaTopic) -> Vec<(&'static str, String)> {
        let options = &self.client.options;
        let kept_ms = topic.retention.saturating_add(options.hold).as_millis();
        let mut settings = vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", i64::try_from(kept_ms).unwrap_or(i64::MAX).to_string()),
            // Retention counts from when a record was stored, as with the embedded log; events carry their own time.
            ("message.timestamp.type", "LogAppendTime".to_owned()),
            ("min.insync.replicas", if options.replication >= 3 { "2" } else { "1" }.to_owned()),
        ];
        if options.flush_each && topic.durability == Durability::Synced {
            settings.push(("flush.messages", "1".to_owned()));
        }
        settings
    }

    /// Makes topics that are not there and waits until brokers tell of them. Returns the partitions of each.
    async fn make(&self, wanted: &[Wanted]) -> Result<HashMap<String, u32>, LogError> {
        let there = self.look().await?;
        let replication = i32::from(self.client.options.replication);
        let missing: Vec<&Wanted> = wanted.iter().filter(|wanted| !there.contains_key(&wanted.full)).collect();
        let news = missing.iter().map(|wanted| {
            let partitions = i32::try_from(wanted.partitions).unwrap_or(i32::MAX);
            let topic = NewTopic::new(&wanted.full, partitions, TopicReplication::Fixed(replication));
            wanted.settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        });
        let news: Vec<NewTopic<'_>> = news.collect();
        if !news.is_empty() {
            let made = self.admin.create_topics(&news, &admin_options()).await;
            for result in made.map_err(|error| self.client.failed("make topics", error))? {
                match result {
                    Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                    Err((topic, code)) => return Err(self.not_made(&topic, code)),
                }
            }
        }
        let deadline = Instant::now() + self.client.options.connect_max;
        let mut there = there;
        while !missing.iter().all(|wanted| there.contains_key(&wanted.full)) {
            if Instant::now() > deadline {
                return Err(self.client.trouble("make topics", "topics that were made cannot be seen"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            there = self.look().await?;
        }
        for wanted in wanted {
            let (has, copies) = there.get(&wanted.full).copied().unwrap_or((0, 0));
            self.check(wanted, has, copies)?;
        }
        Ok(there.into_iter().map(|(topic, (partitions, _))| (topic, partitions)).collect())
    }

    /// Returns partitions, and copies of the first one, of every topic of the cluster.
    async fn look(&self) -> Result<HashMap<String, (u32, usize)>, LogError> {
        let (client, reader) = (Arc::clone(&self.client), Arc::clone(&self.reader));
        wait_for("look for topics", move || {
            use rdkafka::consumer::Consumer;
            let metadata = reader.connection().fetch_metadata(None, CALL_MAX);
            let metadata = metadata.map_err(|error| client.failed("look for topics", error))?;
            let found = metadata.topics().iter().filter(|topic| topic.error().is_none()).map(|topic| {
                let partitions = topic.partitions();
                let copies = partitions.first().map_or(0, |partition| partition.replicas().len());
                (topic.name().to_owned(), (u32::try_from(partitions.len()).unwrap_or(u32::MAX), copies))
            });
            Ok(found.collect())
        })
        .await
    }

    fn check(&self, wanted: &Wanted, has: u32, copies: usize) -> Result<(), LogError> {
        let (servers, topic) = (&self.client.options.servers, &wanted.full);
        if has < wanted.partitions {
            let what =
                format!("topic {topic} of kafka at {servers} has {has} partitions, {} asked for", wanted.partitions);
            return Err(LogError::Misused { what });
        }
        let asked = self.client.options.replication;
        if copies < usize::from(asked) {
            let what = format!("topic {topic} of kafka at {servers} has {copies} replicas, {asked} asked for");
            return Err(LogError::Misused { what });
        }
        Ok(())
    }

    fn not_made(&self, topic: &str, code: RDKafkaErrorCode) -> LogError {
        use RDKafkaErrorCode::{
            ClusterAuthorizationFailed, InvalidConfig, InvalidReplicationFactor, PolicyViolation,
            TopicAuthorizationFailed,
        };
        let servers = &self.client.options.servers;
        let lasting = [
            ClusterAuthorizationFailed,
            InvalidConfig,
            InvalidReplicationFactor,
            PolicyViolation,
            TopicAuthorizationFailed,
        ];
        if lasting.contains(&code) {
            return LogError::Misused { what: format!("topic {topic} cannot be made at kafka at {servers}: {code}") };
        }
        self.client.failed("make topics", KafkaError::AdminOp(code))
    }

    /// Says where a topic is kept otherwise than asked for. An operator may have meant it: it is not changed here, where to
    /// change one setting resets every other one.
    async fn tell_of_differences(&self, wanted: &[Wanted]) -> Result<(), LogError> {
        let topics: Vec<ResourceSpecifier<'_>> =
            wanted.iter().map(|wanted| ResourceSpecifier::Topic(&wanted.full)).collect();
        let told = self.admin.describe_configs(&topics, &admin_options()).await;
        let told = told.map_err(|error| self.client.failed("read the settings of topics", error))?;
        for (wanted, told) in wanted.iter().zip(told) {
            let Ok(told) = told else { continue };
            for (key, asked) in &wanted.settings {
                let has = told.get(key).and_then(|entry| entry.value.clone()).unwrap_or_default();
                if has != *asked {
                    tracing::warn!(topic = wanted.full, setting = key, %has, %asked, "a topic is kept otherwise");
                }
            }
        }
        Ok(())
    }

    /// Says after how long without members a group begins anew: brokers forget its offsets then, before its topics' records.
    async fn tell_of_expiry(&self) {
        let (client, reader) = (Arc::clone(&self.client), Arc::clone(&self.reader));
        let broker = wait_for("look for brokers", move || {
            use rdkafka::consumer::Consumer;
            let metadata = reader.connection().fetch_metadata(None, CALL_MAX);
            let metadata = metadata.map_err(|error| client.failed("look for brokers", error))?;
            Ok(metadata.brokers().first().map(|broker| broker.id()))
        });
        let Ok(Some(broker)) = broker.await else { return };
        let told = self.admin.describe_configs(&[ResourceSpecifier::Broker(broker)], &admin_options()).await;
        // Not every login may ask.
        let Some(Ok(told)) = told.ok().and_then(|told| told.into_iter().next()) else { return };
        let kept = told.get(EXPIRY).and_then(|entry| entry.value.as_ref()?.parse().ok()).map(|m: u64| m * 60);
        let longest = self.client.options.topics.iter().map(|topic| topic.retention.as_secs()).max();
        if kept < longest {
            tracing::info!(setting = EXPIRY, kept_s = kept, "a group without members that long begins anew");
        }
    }
}

/// The brokers' setting of how long they keep the offsets of a group that has no member.
const EXPIRY: &str = "offsets.retention.minutes";

/// Settings of topics that keep the last record of each key.
fn compacted() -> Vec<(&'static str, String)> {
    vec![
        ("cleanup.policy", "compact".to_owned()),
        ("min.cleanable.dirty.ratio", "0.1".to_owned()),
        // What was taken back is read again by each start until its segment is closed and compacted.
        ("segment.ms", "3600000".to_owned()),
    ]
}

/// Returns how long calls that change topics and groups wait.
pub(super) fn admin_options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(CALL_MAX)).request_timeout(Some(CALL_MAX + Duration::from_secs(5)))
}
