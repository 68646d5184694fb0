//! One event of every topic, as a first sample is made of it. Released samples are files: a change here never changes one.

use mcsp_domain::{
    Bucket, ContentId, Digest, EventId, ObjectKey, Placement, PlanId, RenditionKind, RenditionName, Revision,
    SessionId, Tier, UserId,
};
use mcsp_events::*;

const NOW_US: i64 = 1_760_000_000_123_456;

/// Returns the sample of a topic.
pub(crate) fn message(topic: Topic) -> Message {
    match topic {
        Topic::UploadInitiated | Topic::UploadCompleted | Topic::UploadBlocked | Topic::CopyrightCleared => {
            upload(topic)
        }
        Topic::TranscodeRequestedInteractive => sealed(&requested(Lane::Interactive)),
        Topic::TranscodeRequestedBulk => sealed(&requested(Lane::Bulk)),
        Topic::ChunkTranscoded | Topic::TranscodingCompleted | Topic::DrmPackaged | Topic::ThumbnailsGenerated => {
            made(topic)
        }
        Topic::StageFailed => sealed(&StageFailed {
            content: content().to_string(),
            revision: Some(Revision::FIRST),
            stage: "transcode".to_owned(),
            group: "transcoder".to_owned(),
            topic: Topic::TranscodeRequestedInteractive.name().to_owned(),
            event: EventId::derived(&[b"sample"]),
            attempts: 2,
            rejected: true,
            error: "decoder: invalid data at 12.5 s".to_owned(),
        }),
        Topic::Published => sealed(&Published { asset: asset(), owner: user(1), plan: plan(), published_us: NOW_US }),
        Topic::ModerationFlagged | Topic::ModerationDecided => moderation(topic),
        Topic::PaymentProcessed | Topic::UserEngagement | Topic::SubscriptionChanged => of_user(topic),
        Topic::StorageTierChange => sealed(&StorageTierChange {
            asset: asset(),
            to: Placement { tier: Tier::Cold, ..asset().placement },
            reason: "not watched for 180 days".to_owned(),
        }),
    }
}

fn sealed(event: &impl Event) -> Message {
    let source = event.topic().spec().producers[0].replace(' ', "-");
    let seal = Seal {
        source: &source,
        cause: Some(EventId::derived(&[b"cause"])),
        now_us: NOW_US,
        traceparent: TraceParent::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, 0xb7ad_6b71_6920_3331, true),
        worker: Some("node-1-4711"),
        attempt: Some(1),
        started_us: Some(NOW_US - 2_500_000),
    };
    Outgoing::of(0, event).seal(&seal).unwrap()
}

fn upload(topic: Topic) -> Message {
    let (asset, owner, source) = (asset(), user(1), source());
    let (file_name, title) = ("Große Reise \"final\".mp4".to_owned(), "Große Reise".to_owned());
    match topic {
        Topic::UploadInitiated => {
            let session = SessionId::new(1_760_000_000_000, &[3; 10]);
            sealed(&UploadInitiated { asset, owner, session, source, file_name, title })
        }
        Topic::UploadCompleted => {
            let (container, duration_ms) = ("mp4".to_owned(), Some(61_250));
            sealed(&UploadCompleted { asset, owner, source, container, duration_ms, file_name, title })
        }
        Topic::CopyrightCleared => {
            sealed(&CopyrightCleared { asset, owner, source, cleared_by: ClearedBy::Scanner, lane: Lane::Interactive })
        }
        _ => sealed(&UploadBlocked {
            asset,
            owner,
            reason: BlockReason::Copyright,
            detail: "21 s of somebody else's film".to_owned(),
            ranges: vec![TimeRange { start_ms: 4_000, end_ms: 25_000 }],
        }),
    }
}

fn within(inner: &ObjectKey) -> ObjectKey {
    ObjectKey::package(content(), Revision::FIRST, plan()).join(inner).unwrap()
}

fn made(topic: Topic) -> Message {
    match topic {
        Topic::ChunkTranscoded => sealed(&ChunkTranscoded { asset: asset(), plan: plan(), chunk: 2, chunk_count: 4 }),
        Topic::TranscodingCompleted => sealed(&TranscodingCompleted {
            asset: asset(),
            plan: plan(),
            variant: 0,
            variant_count: 4,
            rendition: rendition(),
            kind: RenditionKind::Video,
            chunks: 4,
        }),
        Topic::ThumbnailsGenerated => sealed(&ThumbnailsGenerated {
            asset: asset(),
            plan: plan(),
            poster: Some(within(&ObjectKey::poster())),
            storyboard: within(&ObjectKey::storyboard()),
        }),
        _ => {
            let folder = ObjectKey::package(content(), Revision::FIRST, plan());
            sealed(&DrmPackaged {
                asset: asset(),
                plan: plan(),
                hls: within(&ObjectKey::multivariant_playlist()),
                dash: within(&ObjectKey::mpd()),
                scheme: Some("cbcs".to_owned()),
                kids: vec!["9eb4050de44b4802932e27d75083e266".to_owned()],
                bytes: 31_415_926,
                duration_ms: 61_250,
                folder,
            })
        }
    }
}

fn requested(lane: Lane) -> TranscodeRequested {
    TranscodeRequested {
        asset: asset(),
        plan: plan(),
        chunk: 2,
        chunk_count: 4,
        source: source(),
        source_digest: Digest::of(&[b"sample"]),
        lane,
        jobs: vec![VariantJob { job: EventId::derived(&[b"job"]), variant: 0, rendition: rendition() }],
    }
}

fn moderation(topic: Topic) -> Message {
    if topic == Topic::ModerationFlagged {
        return sealed(&ModerationFlagged {
            asset: asset(),
            flagged_by: "nudity-1".to_owned(),
            labels: vec!["nudity".to_owned()],
            confidence_permille: 871,
            ranges: vec![TimeRange { start_ms: 1_000, end_ms: 2_000 }],
        });
    }
    let reason = "within the rules".to_owned();
    sealed(&ModerationDecided { asset: asset(), approved: true, decided_by: user(2).to_string(), reason })
}

fn of_user(topic: Topic) -> Message {
    match topic {
        Topic::PaymentProcessed => sealed(&PaymentProcessed {
            user: user(3),
            payment: "pi_3MtwBwLkdIwHu7ix28a3tqPa".to_owned(),
            processor: "stripe".to_owned(),
            product: "premium-month".to_owned(),
            amount_minor: 999,
            currency: "EUR".to_owned(),
            outcome: PaymentOutcome::Succeeded,
        }),
        Topic::UserEngagement => sealed(&UserEngagement {
            user: user(3),
            content: content(),
            action: EngagementAction::Heartbeat,
            position_ms: Some(42_000),
            at_us: NOW_US,
        }),
        _ => sealed(&SubscriptionChanged { user: user(3), creator: user(1), following: true, at_us: NOW_US }),
    }
}

fn asset() -> Asset {
    let bucket = Bucket::parse("media-eu").unwrap();
    let placement = Placement { region: "eu".to_owned(), bucket, tier: Tier::Hot };
    Asset { content: content(), revision: Revision::FIRST, placement }
}

fn content() -> ContentId {
    ContentId::new(1_760_000_000_000, &[1; 10])
}

fn plan() -> PlanId {
    PlanId::new(1_760_000_000_000, &[2; 10])
}

fn user(number: u8) -> UserId {
    UserId::new(1_750_000_000_000, &[number; 10])
}

fn rendition() -> RenditionName {
    RenditionName::parse("video-1080p").unwrap()
}

fn source() -> SourceObject {
    let key = ObjectKey::parse("uploads/0199c8e5-5800-7303-8303-030303030303/source").unwrap();
    SourceObject { key, etag: "\"5d41402abc4b2a76b9719d911017c592\"".to_owned(), len_bytes: 123_456_789 }
}
