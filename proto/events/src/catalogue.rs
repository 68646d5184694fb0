//! The payloads of every topic, in the order of an upload's walk. Times are microseconds since 1970.

use mcsp_domain::{
    ContentId, Digest, ObjectKey, Placement, PlanId, RenditionKind, RenditionName, Revision, SessionId, UserId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Event, Topic};

/// What every media event says first: which content, which publication of it, and where its bytes may live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asset {
    /// The content.
    pub content: ContentId,
    /// The publication of it that this is about.
    pub revision: Revision,
    /// Where its bytes may live.
    pub placement: Placement,
}

/// An uploaded object, pinned to the bytes that were checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceObject {
    /// Its key in the placement's bucket.
    pub key: ObjectKey,
    /// Its entity tag: every later read asks for this one.
    pub etag: String,
    /// Its bytes.
    pub len_bytes: u64,
}

/// A stretch of time in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeRange {
    /// Its start, milliseconds from the source's zero.
    pub start_ms: u64,
    /// Its end, exclusive.
    pub end_ms: u64,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident on $topics:expr, key $key:ident $(. $part:ident)* { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

            impl Event for $name {
                const TOPICS: &'static [Topic] = $topics;

                fn key(&self) -> String {
                    self.$key$(.$part)*.to_string()
                }
            }
        )+
    };
}

events! {
    /// Bytes are in the store; nobody has looked at them.
    UploadInitiated on &[Topic::UploadInitiated], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Who uploaded it.
        owner: UserId,
        /// The upload.
        session: SessionId,
        /// What lies in the store.
        source: SourceObject,
        /// The file's name as the creator gave it; shown, never trusted.
        file_name: String,
        /// The content's title as the creator gave it; shown, never trusted.
        #[serde(default)]
        title: String,
    }

    /// The upload is sound: its container, its limits, its virus scan.
    UploadCompleted on &[Topic::UploadCompleted], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Who uploaded it.
        owner: UserId,
        /// What lies in the store.
        source: SourceObject,
        /// The container that was found, such as `mp4`.
        container: String,
        /// Its length in milliseconds, where its headers tell.
        duration_ms: Option<u64>,
        /// The file's name as the creator gave it.
        #[serde(default)]
        file_name: String,
        /// The content's title as the creator gave it.
        #[serde(default)]
        title: String,
    }

    /// The upload ends here.
    UploadBlocked on &[Topic::UploadBlocked], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Who uploaded it.
        owner: UserId,
        /// What it broke.
        reason: BlockReason,
        /// Words for its uploader.
        detail: String,
        /// Where in the source, for matches.
        #[serde(default)]
        ranges: Vec<TimeRange>,
    }

    /// Rights are clear: transcoding may begin.
    CopyrightCleared on &[Topic::CopyrightCleared], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Who uploaded it.
        owner: UserId,
        /// What lies in the store.
        source: SourceObject,
        /// Who cleared it.
        cleared_by: ClearedBy,
        /// Whether somebody waits for it.
        #[serde(default)]
        lane: Lane,
    }

    /// One chunk's objects are stored.
    ChunkTranscoded on &[Topic::ChunkTranscoded], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// The plan that the chunk belongs to.
        plan: PlanId,
        /// The chunk's index.
        chunk: u32,
        /// Chunks of the plan.
        chunk_count: u32,
    }

    /// One variant is complete.
    TranscodingCompleted on &[Topic::TranscodingCompleted], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// The plan that the variant belongs to.
        plan: PlanId,
        /// Its index in the ladder.
        variant: u16,
        /// Variants of the ladder.
        variant_count: u16,
        /// Its name.
        rendition: RenditionName,
        /// Pictures or sound.
        kind: RenditionKind,
        /// Chunks that it has objects of.
        chunks: u32,
    }

    /// Encrypted segments and manifests are stored, read back and checked.
    DrmPackaged on &[Topic::DrmPackaged], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// The plan that was packaged.
        plan: PlanId,
        /// The folder of segments and manifests in the placement's bucket.
        folder: ObjectKey,
        /// The HLS multivariant playlist.
        hls: ObjectKey,
        /// The DASH manifest.
        dash: ObjectKey,
        /// The scheme, `cbcs` or `cenc`; clear packages have none.
        scheme: Option<String>,
        /// The ids of its keys, 32 hexadecimal digits each.
        kids: Vec<String>,
        /// Bytes of all media segments.
        bytes: u64,
        /// Length in milliseconds.
        duration_ms: u64,
    }

    /// Poster and storyboard are stored beside the segments.
    ThumbnailsGenerated on &[Topic::ThumbnailsGenerated], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// The plan whose pictures they show.
        plan: PlanId,
        /// The poster, where a picture could be decoded.
        poster: Option<ObjectKey>,
        /// The storyboard's cues, which name its sheets.
        storyboard: ObjectKey,
    }

    /// A stage gave a record up; the record lies in `dead.<group>`.
    StageFailed on &[Topic::StageFailed], key content {
        /// The content, or the record's key where it is about none.
        content: String,
        /// The publication of it, where the record tells.
        revision: Option<Revision>,
        /// The stage.
        stage: String,
        /// Its consumer group.
        group: String,
        /// The topic of the record.
        topic: String,
        /// The event that was given up.
        event: mcsp_domain::EventId,
        /// Runs that were made.
        attempts: u32,
        /// Whether time would not have helped.
        rejected: bool,
        /// Why, in words for an operator.
        error: String,
    }

    /// Viewers may see it.
    Published on &[Topic::Published], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Whose it is.
        owner: UserId,
        /// The plan that is shown.
        plan: PlanId,
        /// When it was published.
        published_us: i64,
    }

    /// A machine or a person raised a flag.
    ModerationFlagged on &[Topic::ModerationFlagged], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Who raised it.
        flagged_by: String,
        /// Names of the rules or labels.
        labels: Vec<String>,
        /// How sure, in thousandths.
        confidence_permille: u16,
        /// Where in the source.
        #[serde(default)]
        ranges: Vec<TimeRange>,
    }

    /// Moderation has decided.
    ModerationDecided on &[Topic::ModerationDecided], key asset.content {
        /// The content.
        #[serde(flatten)]
        asset: Asset,
        /// Whether it may be published.
        approved: bool,
        /// Who decided: a classifier's name, or a moderator's id.
        decided_by: String,
        /// Words for its uploader.
        reason: String,
    }

    /// Money has moved.
    PaymentProcessed on &[Topic::PaymentProcessed], key user {
        /// Who paid.
        user: UserId,
        /// The processor's id of the payment.
        payment: String,
        /// The processor.
        processor: String,
        /// What was bought.
        product: String,
        /// The amount in the currency's smallest unit.
        amount_minor: i64,
        /// The currency, ISO 4217.
        currency: String,
        /// What came of it.
        outcome: PaymentOutcome,
    }

    /// What a viewer did.
    UserEngagement on &[Topic::UserEngagement], key user {
        /// Who did it.
        user: UserId,
        /// With which content.
        content: ContentId,
        /// What.
        action: EngagementAction,
        /// Where in the film, milliseconds.
        position_ms: Option<u64>,
        /// When.
        at_us: i64,
    }

    /// Somebody follows a creator, or no longer.
    SubscriptionChanged on &[Topic::SubscriptionChanged], key user {
        /// The follower.
        user: UserId,
        /// The creator.
        creator: UserId,
        /// Whether they follow now.
        following: bool,
        /// When.
        at_us: i64,
    }

    /// Bytes move to another tier.
    StorageTierChange on &[Topic::StorageTierChange], key asset.content {
        /// The content, with the placement that it had.
        #[serde(flatten)]
        asset: Asset,
        /// The placement that it gets.
        to: Placement,
        /// Why.
        reason: String,
    }
}

/// One chunk is to be transcoded, all its variants from one decode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscodeRequested {
    /// The content.
    #[serde(flatten)]
    pub asset: Asset,
    /// The plan that the chunk belongs to.
    pub plan: PlanId,
    /// The chunk's index.
    pub chunk: u32,
    /// Chunks of the plan.
    pub chunk_count: u32,
    /// What lies in the store.
    pub source: SourceObject,
    /// The source's SHA-256, as the plan has it.
    pub source_digest: Digest,
    /// Whether somebody waits for it.
    pub lane: Lane,
    /// The job of every variant that is wanted.
    pub jobs: Vec<VariantJob>,
}

/// One variant's part of a chunk request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariantJob {
    /// The job's id, of plan, variant and chunk.
    pub job: mcsp_domain::EventId,
    /// The variant's index in the ladder.
    pub variant: u16,
    /// The variant's name.
    pub rendition: RenditionName,
}

/// How urgent a chunk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    /// Somebody waits.
    #[default]
    Interactive,
    /// Reprocessing.
    Bulk,
}

impl Event for TranscodeRequested {
    const TOPICS: &'static [Topic] = &[Topic::TranscodeRequestedInteractive, Topic::TranscodeRequestedBulk];

    fn topic(&self) -> Topic {
        match self.lane {
            Lane::Interactive => Topic::TranscodeRequestedInteractive,
            Lane::Bulk => Topic::TranscodeRequestedBulk,
        }
    }

    fn key(&self) -> String {
        self.asset.content.to_string()
    }

    fn spread(&self) -> u32 {
        self.chunk
    }
}

/// Why an upload was blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockReason {
    /// Not a container or codec that is taken, or not what it says it is.
    Format,
    /// Over a limit of size, length or pictures.
    Limit,
    /// A scanner found something.
    Malware,
    /// It holds what somebody else owns.
    Copyright,
}

/// Who cleared the rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClearedBy {
    /// The scanner: no match, or one that policy allows.
    Scanner,
    /// A moderator, after review.
    Review,
    /// An operator, by hand.
    Operator,
}

/// What came of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentOutcome {
    /// It went through.
    Succeeded,
    /// It was refused.
    Failed,
    /// It was given back.
    Refunded,
}

/// What a viewer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngagementAction {
    /// Began to watch.
    Play,
    /// Stopped.
    Pause,
    /// Still watches; said every few seconds.
    Heartbeat,
    /// Saw the end.
    Finish,
    /// Likes it.
    Like,
    /// Likes it no longer.
    Unlike,
    /// Passed it on.
    Share,
}

/// Runs `$body` once for every payload type; documents and samples are made this way.
#[macro_export]
macro_rules! for_each_event {
    ($visit:ident) => {
        $visit!(
            UploadInitiated,
            UploadCompleted,
            UploadBlocked,
            CopyrightCleared,
            TranscodeRequested,
            ChunkTranscoded,
            TranscodingCompleted,
            DrmPackaged,
            ThumbnailsGenerated,
            StageFailed,
            Published,
            ModerationFlagged,
            ModerationDecided,
            PaymentProcessed,
            UserEngagement,
            SubscriptionChanged,
            StorageTierChange
        )
    };
}
