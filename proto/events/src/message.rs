//! Events on their way to the log: what a handler wants to say (`Outgoing`), and what the log takes (`Message`).

use mcsp_domain::{EventId, limits};

use crate::{Event, EventError, Headers, TopicName, TraceParent};

/// What a handler wants to say: a payload and how its id is found. The loop that runs the handler seals it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    topic: TopicName,
    kind: &'static str,
    version: u32,
    key: String,
    spread: u32,
    payload: Vec<u8>,
    identity: Identity,
}

#[derive(Clone, Debug, PartialEq)]
enum Identity {
    /// The n-th event that follows from the input.
    Of(u32),
    /// The one event of a name, whoever says it.
    Once(Vec<Vec<u8>>),
}

impl Outgoing {
    /// The `n`-th event that follows from the input: handling the input again repeats its id.
    pub fn of(n: u32, event: &impl Event) -> Self {
        Self::with(event, Identity::Of(n))
    }

    /// An event that is said once for `scope` and `name`, whichever input it follows from: two workers that both see
    /// "all there" send one event.
    pub fn once(scope: &[u8], name: &str, event: &impl Event) -> Self {
        Self::with(event, Identity::Once(vec![scope.to_vec(), name.as_bytes().to_vec()]))
    }

    fn with<E: Event>(event: &E, identity: Identity) -> Self {
        // A payload is a tree of structs with text keys: nothing in it can fail to serialise.
        let payload = serde_json::to_vec(event).unwrap_or_default();
        Self {
            topic: event.topic().into(),
            kind: E::TOPICS[0].name(),
            version: E::VERSION,
            key: event.key(),
            spread: event.spread(),
            payload,
            identity,
        }
    }

    /// Returns the topic that it goes to.
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Returns its payload, JSON.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Gives it its id, source, time and trace.
    ///
    /// # Errors
    /// `Oversized` when no log would take it.
    pub fn seal(self, seal: &Seal<'_>) -> Result<Message, EventError> {
        let id = match &self.identity {
            Identity::Of(n) => {
                let input = seal.cause.map(|cause| *cause.as_bytes()).unwrap_or_default();
                EventId::derived(&[seal.source.as_bytes(), &input, &n.to_be_bytes()])
            }
            Identity::Once(parts) => {
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                EventId::derived(&[&[self.topic.as_str().as_bytes()], &parts[..]].concat())
            }
        };
        let headers = Headers {
            id,
            kind: self.kind.to_owned(),
            version: self.version,
            source: seal.source.to_owned(),
            time_us: seal.now_us,
            traceparent: seal.traceparent.clone(),
            cause: seal.cause,
            worker: seal.worker.map(str::to_owned),
            attempt: seal.attempt,
            started_us: seal.started_us,
            dead: None,
        };
        let message = Message { topic: self.topic, key: self.key, spread: self.spread, headers, payload: self.payload };
        message.check()?;
        Ok(message)
    }
}

/// What the loop knows and the handler need not.
#[derive(Clone, Debug, Default)]
pub struct Seal<'a> {
    /// The stage or service that speaks.
    pub source: &'a str,
    /// The input's id; first events of a chain have none and must be said `once`.
    pub cause: Option<EventId>,
    /// The clock, microseconds since 1970.
    pub now_us: i64,
    /// The trace of the work.
    pub traceparent: Option<TraceParent>,
    /// The process that did the work.
    pub worker: Option<&'a str>,
    /// The number of the run, from 1.
    pub attempt: Option<u32>,
    /// When the run began.
    pub started_us: Option<i64>,
}

/// An event as the log takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: TopicName,
    /// What orders it.
    pub key: String,
    /// How far from its key's partition it goes.
    pub spread: u32,
    /// What it carries beside its payload.
    pub headers: Headers,
    /// Its payload, JSON.
    pub payload: Vec<u8>,
}

impl Message {
    /// Checks it against the limits of `domain::limits`.
    ///
    /// # Errors
    /// `Oversized` when its payload is longer than logs take, `Header` when its key is.
    pub fn check(&self) -> Result<(), EventError> {
        let len_bytes = self.payload.len();
        if len_bytes > limits::EVENT_BYTES_MAX {
            return Err(EventError::Oversized {
                topic: self.topic.to_string(),
                len_bytes,
                max: limits::EVENT_BYTES_MAX,
            });
        }
        if self.key.len() > limits::EVENT_KEY_BYTES_MAX {
            let value = self.key.chars().take(100).collect();
            return Err(EventError::Header { name: "key", value, expected: "at most 256 bytes" });
        }
        Ok(())
    }

    /// Returns the partition that it goes to: Kafka's default partitioner (murmur2 of the key), then `spread` further on.
    pub fn partition(&self, partitions: u32) -> u32 {
        Self::partition_of(&self.key, self.spread, partitions)
    }

    /// Returns the partition of a key, as `partition` does.
    pub fn partition_of(key: &str, spread: u32, partitions: u32) -> u32 {
        let hash = murmur2(key.as_bytes()) & 0x7fff_ffff;
        let place = (u64::from(hash) + u64::from(spread)) % u64::from(partitions.max(1));
        u32::try_from(place).unwrap_or(0)
    }
}

/// MurmurHash2 with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`), so that keys keep their partitions when
/// a platform moves to Kafka.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // Kafka takes the length as a Java int.
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ len;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_kafkas() {
        // The cases of Kafka's own UtilsTest.testMurmur2.
        let cases: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (text, expected) in cases {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), expected, "{text}");
        }
    }
}
