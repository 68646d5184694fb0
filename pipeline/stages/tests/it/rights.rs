//! The copyright scanner: what is in the library is found in an upload that was cut and encoded anew, and the library's
//! policy decides; what is not in it goes on.

use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::{Digest, ObjectKey, ReferenceId};
use mcsp_events::{BlockReason, ClearedBy, CopyrightCleared, ModerationFlagged, UploadBlocked, UploadCompleted};
use mcsp_fingerprint::{Fingerprint, IndexBuilder, LibraryPointer, ReferenceAsset, RightsAction, RightsPolicy};
use mcsp_fixtures::media;
use mcsp_runtime::stage::Stage as _;
use mcsp_runtime::{ObjectStore, PutIf, StageError};
use mcsp_stages::CopyrightScanner;
use mcsp_stages::copyright::{Density, remember};

use crate::world::{World, context, file, only, owner, sandbox};

const CLIP: &str = "phone-vfr-13s.mp4";

async fn reference(policy: RightsPolicy) -> (ReferenceAsset, Fingerprint) {
    let fingerprint = remember(&file(&media(CLIP)), &sandbox(), Density::Reference, 1, &|_| {}).await.unwrap();
    let asset = ReferenceAsset {
        id: ReferenceId::new(1, &[9; 10]),
        title: "The Chair".to_owned(),
        owner: "Studio".to_owned(),
        duration_ms: fingerprint.duration_ms(),
        policy,
    };
    (asset, fingerprint)
}

fn policy(action: RightsAction) -> RightsPolicy {
    RightsPolicy { action, video_ms_min: 5000, audio_ms_min: 5000, allowed: Vec::new() }
}

/// Makes an index of one reference the library.
async fn publish(store: &dyn ObjectStore, asset: &ReferenceAsset, fingerprint: &Fingerprint) {
    let mut builder = IndexBuilder::new();
    builder.add(asset, fingerprint).unwrap();
    let bytes = builder.build();
    let pointer =
        LibraryPointer { index: Digest::of(&[&bytes]), len_bytes: bytes.len() as u64, references: 1, built_us: 1 };
    store.put(&pointer.key(), Bytes::from(bytes), PutIf::Always).await.unwrap();
    store.put(&ObjectKey::library_pointer(), Bytes::from(pointer.to_json()), PutIf::Always).await.unwrap();
}

async fn handled(scanner: &CopyrightScanner, event: &UploadCompleted) -> Vec<mcsp_events::Outgoing> {
    scanner.handle(event.clone(), &context(event)).await.unwrap()
}

#[tokio::test]
async fn a_copy_is_found_and_the_policy_decides() {
    let world = World::new();
    let clip = media(CLIP);
    let arguments =
        ["-ss", "2", "-i", clip.to_str().unwrap(), "-t", "10", "-vf", "scale=240:360", "-preset", "ultrafast"];
    let copy = world.made("copy.mp4", &arguments);
    let event = world.uploaded(&copy, "mine").await;
    let scanner = CopyrightScanner::new(world.stores.clone(), sandbox(), Arc::clone(&world.store));

    let cleared: CopyrightCleared = only(&handled(&scanner, &event).await);
    assert_eq!((cleared.cleared_by, cleared.source), (ClearedBy::Scanner, event.source.clone()), "no library yet");
    let key = ObjectKey::fingerprint(world.asset.content, world.asset.revision);
    let kept = Fingerprint::from_bytes(&world.store.get(&key).await.unwrap()).unwrap();
    assert!(kept.video.len() >= 15 && kept.audio.len() > 50, "{} {}", kept.video.len(), kept.audio.len());

    // From now on the kept fingerprint is what is compared: the source may move to another tier.
    world.store.delete(&event.source.key).await.unwrap();
    let (mut asset, fingerprint) = reference(policy(RightsAction::Block)).await;
    publish(world.store.as_ref(), &asset, &fingerprint).await;
    let blocked: UploadBlocked = only(&handled(&scanner, &event).await);
    assert_eq!(blocked.reason, BlockReason::Copyright);
    assert!(blocked.detail.starts_with("it holds \"The Chair\" of Studio: "), "{}", blocked.detail);
    assert_eq!(blocked.ranges.len(), 1, "{:?}", blocked.ranges);
    assert!(blocked.ranges[0].start_ms <= 1500 && blocked.ranges[0].end_ms >= 8500, "{:?}", blocked.ranges);

    asset.policy = policy(RightsAction::Review);
    publish(world.store.as_ref(), &asset, &fingerprint).await;
    let flagged: ModerationFlagged = only(&handled(&scanner, &event).await);
    assert_eq!(flagged.flagged_by, "copyright-scanner");
    assert_eq!(flagged.labels, ["copyright", "The Chair"]);
    assert!(flagged.confidence_permille > 0 && !flagged.ranges.is_empty(), "{flagged:?}");

    asset.policy = RightsPolicy { allowed: vec![owner()], ..policy(RightsAction::Block) };
    publish(world.store.as_ref(), &asset, &fingerprint).await;
    only::<CopyrightCleared>(&handled(&scanner, &event).await);
}

#[tokio::test]
async fn another_film_is_cleared() {
    let world = World::new();
    let (asset, fingerprint) = reference(policy(RightsAction::Block)).await;
    publish(world.store.as_ref(), &asset, &fingerprint).await;
    let event = world.uploaded(&media("cups-720p30-4s.mp4"), "cups").await;
    let scanner = CopyrightScanner::new(world.stores.clone(), sandbox(), Arc::clone(&world.store));
    only::<CopyrightCleared>(&handled(&scanner, &event).await);
}

#[tokio::test]
async fn a_damaged_library_waits_for_an_operator_and_loses_no_upload() {
    let world = World::new();
    let event = world.uploaded(&media("chaplin-mp3-4s.mp4"), "").await;
    world.store.put(&ObjectKey::library_pointer(), Bytes::from("{}"), PutIf::Always).await.unwrap();
    let scanner = CopyrightScanner::new(world.stores.clone(), sandbox(), Arc::clone(&world.store));
    let error = scanner.handle(event.clone(), &context(&event)).await.unwrap_err();
    assert!(matches!(error, StageError::Retry(..)), "{error:?}");
    assert_eq!(error.to_string(), "library/current.json is damaged");
}

#[tokio::test]
async fn a_source_that_is_no_media_is_rejected() {
    let world = World::new();
    let path = world.folder.path().join("letter");
    std::fs::write(&path, "just a letter to a friend\n").unwrap();
    let event = world.uploaded(&path, "").await;
    let scanner = CopyrightScanner::new(world.stores.clone(), sandbox(), Arc::clone(&world.store));
    let error = scanner.handle(event.clone(), &context(&event)).await.unwrap_err();
    assert!(matches!(error, StageError::Reject(..)), "{error:?}");
}
