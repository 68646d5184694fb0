//! The topics: their names, keys, producers and consumers, declared once. `docs/generated/events.md` is this table.

use serde::Serialize;

/// What orders the events of a topic: those of one key stay in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    /// The content's id.
    Content,
    /// The content's id; each chunk of it goes to a partition of its own, so that a film's chunks run side by side.
    ContentChunk,
    /// The user's id.
    User,
}

/// When an append to a topic is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It survives the death of every process when the append returns; the loss of power may take the last second.
    Process,
    /// It is on the disk when the append returns.
    Synced,
}

/// What is declared of a topic.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TopicSpec {
    /// Its name in the log.
    pub name: &'static str,
    /// What orders it.
    pub key: Key,
    /// Who speaks on it.
    pub producers: &'static [&'static str],
    /// The consumer groups that listen.
    pub consumers: &'static [&'static str],
    /// Whether it is always written in transactions (billing and moderation).
    pub transactional: bool,
    /// When an append is safe, where the configuration does not say otherwise.
    pub durability: Durability,
    /// Partitions, where the configuration does not say otherwise.
    pub partitions: u32,
    /// How long events are kept, where the configuration does not say otherwise.
    pub retention_days: u32,
}

macro_rules! topics {
    ($($(#[$doc:meta])* $variant:ident = $spec:expr;)+) => {
        /// A topic of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Topic { $($(#[$doc])* $variant),+ }

        impl Topic {
            /// Every topic, in the order of an upload's walk.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns what is declared of the topic.
            pub const fn spec(self) -> &'static TopicSpec {
                match self { $(Self::$variant => { const SPEC: TopicSpec = $spec; &SPEC }),+ }
            }
        }
    };
}

/// A media topic's usual declaration.
const fn media(
    name: &'static str,
    producers: &'static [&'static str],
    consumers: &'static [&'static str],
) -> TopicSpec {
    TopicSpec {
        name,
        key: Key::Content,
        producers,
        consumers,
        transactional: false,
        durability: Durability::Synced,
        partitions: 8,
        retention_days: 30,
    }
}

/// A queue of chunk requests: more partitions than a fleet has workers.
const fn requests(name: &'static str, consumer: &'static [&'static str]) -> TopicSpec {
    TopicSpec { key: Key::ContentChunk, partitions: 64, ..media(name, &["transcoding-orchestrator"], consumer) }
}

/// A billing or moderation topic.
const fn transactional(spec: TopicSpec) -> TopicSpec {
    TopicSpec { transactional: true, retention_days: 3650, ..spec }
}

/// A topic about users, keyed by them.
const fn of_user(spec: TopicSpec, durability: Durability) -> TopicSpec {
    TopicSpec { key: Key::User, durability, ..spec }
}

topics! {
    /// Bytes are in the store, nobody has looked at them.
    UploadInitiated = media("media.upload.initiated", &["upload", "content"], &["upload-ingestor"]);
    /// The upload is sound: container, limits, virus scan.
    UploadCompleted = media(
        "media.upload.completed",
        &["upload-ingestor"],
        &["copyright-scanner", "virus-scanner", "ai-moderation", "content"],
    );
    /// The upload ends here.
    UploadBlocked = media(
        "media.upload.blocked",
        &["upload-ingestor", "copyright-scanner", "virus-scanner"],
        &["content", "notification"],
    );
    /// Rights are clear: transcoding may begin.
    CopyrightCleared = media(
        "media.copyright.cleared",
        &["copyright-scanner", "moderation", "content"],
        &["transcoding-orchestrator", "content"],
    );
    /// One chunk is to be transcoded; somebody waits for it.
    TranscodeRequestedInteractive = requests("media.transcode.requested.interactive", &["transcoder"]);
    /// One chunk is to be transcoded; reprocessing, nobody waits.
    TranscodeRequestedBulk = requests("media.transcode.requested.bulk", &["transcoder-bulk"]);
    /// One chunk's objects are stored.
    ChunkTranscoded = media("media.chunk.transcoded", &["transcoder", "transcoder-bulk"], &["transcoding-orchestrator", "drm-packager", "content"]);
    /// One variant is complete.
    TranscodingCompleted = media(
        "media.transcoding.completed",
        &["transcoding-orchestrator"],
        &["drm-packager", "thumbnail-generator", "indexer", "copyright-scanner", "content"],
    );
    /// Encrypted segments and manifests are stored.
    DrmPackaged = media("media.drm.packaged", &["drm-packager"], &["content"]);
    /// Poster and storyboard are stored.
    ThumbnailsGenerated = media("media.thumbnails.generated", &["thumbnail-generator"], &["content"]);
    /// A stage gave a record up.
    StageFailed = media("media.stage.failed", &["every stage"], &["content"]);
    /// Viewers may see it.
    Published = media("media.published", &["content"], &["ml-feature-store", "notification", "search-indexer"]);
    /// A machine or a person raised a flag.
    ModerationFlagged = transactional(media(
        "moderation.flagged",
        &["ai-moderation", "copyright-scanner"],
        &["review-queue", "content"],
    ));
    /// Moderation has decided.
    ModerationDecided =
        transactional(media("moderation.decided", &["ai-moderation", "moderation"], &["content", "notification"]));
    /// Money has moved.
    PaymentProcessed = transactional(of_user(
        media("payment.processed", &["billing"], &["creator-dashboard", "notification", "audit-log"]),
        Durability::Synced,
    ));
    /// Views, likes and the like, by the thousand.
    UserEngagement = of_user(
        media("user.engagement.events", &["engagement"], &["ml-feature-store", "analytics", "creator-dashboard"]),
        Durability::Process,
    );
    /// Somebody follows a creator, or no longer.
    SubscriptionChanged = of_user(
        media("engagement.subscription.changed", &["engagement"], &["notification", "creator-dashboard"]),
        Durability::Synced,
    );
    /// Bytes move to another tier.
    StorageTierChange = media("storage.tier.change", &["tiering"], &["metadata", "cdn-invalidation"]);
}

impl Topic {
    /// Returns the name in the log.
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// Returns the topic of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, topic) in Topic::ALL.iter().enumerate() {
            assert_eq!(Topic::ALL.iter().position(|other| other.name() == topic.name()), Some(index));
            assert_eq!(Topic::of(topic.name()), Some(*topic));
        }
    }

    #[test]
    fn billing_and_moderation_are_transactional_and_synced() {
        let transactional: Vec<_> = Topic::ALL.iter().filter(|topic| topic.spec().transactional).collect();
        assert_eq!(transactional, [&Topic::ModerationFlagged, &Topic::ModerationDecided, &Topic::PaymentProcessed]);
        assert!(transactional.iter().all(|topic| topic.spec().durability == Durability::Synced));
    }
}
