//! Uploads that end otherwise: aborted, abandoned, replaced.

use std::time::Duration;

use mcsp_domain::{ContentState, ObjectKey};
use mcsp_runtime::{ObjectStore, now_us};
use mcsp_services::upload::{StoredObject, UploadError, UploadSettings, UploadState, UploadsSwept};

use super::world::{PART_BYTES, World, bucket, film, owner};

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_nothing() {
    let world = World::new(UploadSettings::default()).await;
    let bytes = vec![3; PART_BYTES + 1];
    let ticket = world.create(&bytes).await;
    world.put(&ticket.parts[1].address, &bytes[PART_BYTES..]).await;
    assert_eq!(world.uploads_open(), 1);
    world.uploads.abort(owner(1), ticket.session).await.unwrap();
    world.uploads.abort(owner(1), ticket.session).await.expect("again is no error");
    assert_eq!(world.uploads_open(), 0);
    let row = world.catalog.content(ticket.content).await.unwrap().unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (ContentState::Failed, Some("its creator gave the upload up")));
    assert_eq!(world.put(&ticket.parts[0].address, &bytes[..PART_BYTES]).await.status(), 404);
    assert_eq!(world.uploads.status(owner(1), ticket.session).await.unwrap().state, UploadState::Aborted);
    let late = world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap_err();
    assert_eq!(late.to_string(), format!("upload session {} is aborted", ticket.session));
    assert!(world.initiated().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_upload_is_not_aborted() {
    let world = World::new(UploadSettings::default()).await;
    let ticket = world.create(b"film").await;
    world.put(&ticket.put.unwrap(), b"film").await;
    let done = world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap();
    let refused = world.uploads.abort(owner(1), ticket.session).await.unwrap_err();
    assert!(matches!(refused, UploadError::Ended { state: "complete", .. }), "{refused:?}");
    assert!(world.store.head(&done.source.key).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_uploads_are_swept_and_finished_ones_completed() {
    let settings = UploadSettings { session_life: Duration::from_secs(60), ..UploadSettings::default() };
    let world = World::new(settings).await;
    let bytes = vec![3; PART_BYTES + 1];
    let (abandoned, stored, lost) = (world.create(&bytes).await, world.create(b"film").await, world.create(b"x").await);
    world.put(&abandoned.parts[1].address, &bytes[PART_BYTES..]).await;
    world.put(&stored.put.unwrap(), b"film").await;
    assert_eq!(world.uploads.sweep(now_us()).await.unwrap(), UploadsSwept::default(), "all of them are young");
    let later_us = now_us() + 61_000_000;
    world.forget_session(lost.session).await;
    let swept = world.uploads.sweep(later_us).await.unwrap();
    assert_eq!(swept, UploadsSwept { expired: 2, completed: 1, failed: 0 });
    assert_eq!(world.uploads_open(), 0);
    for ticket in [&abandoned, &lost] {
        let row = world.catalog.content(ticket.content).await.unwrap().unwrap();
        let reason = Some("its upload was not completed in time");
        assert_eq!((row.state, row.reason.as_deref()), (ContentState::Failed, reason));
    }
    assert_eq!(world.uploads.status(owner(1), abandoned.session).await.unwrap().state, UploadState::Expired);
    assert_eq!(world.state(stored.content).await, ContentState::Uploaded);
    assert_eq!(world.initiated().await.len(), 1);
    assert_eq!(world.uploads.sweep(later_us).await.unwrap(), UploadsSwept::default(), "nothing is left to do");

    // An object that arrives after all is told of, and stays.
    let key = ObjectKey::upload(abandoned.content, abandoned.session);
    world.store.put(&key, "film".into(), mcsp_runtime::PutIf::Always).await.unwrap();
    world.uploads.object_created(&StoredObject { bucket: bucket(), key: key.clone() }).await.unwrap();
    assert!(world.store.head(&key).await.unwrap().is_some());
    assert_eq!(world.state(abandoned.content).await, ContentState::Failed);

    // Until no session can be about to complete with it.
    assert_eq!(world.uploads.sweep_orphans(now_us()).await.unwrap(), 0);
    assert_eq!(world.uploads.sweep_orphans(later_us + 60_000_000).await.unwrap(), 1);
    assert!(world.store.head(&key).await.unwrap().is_none());
    let source = ObjectKey::upload(stored.content, stored.session);
    assert!(world.store.head(&source).await.unwrap().is_some(), "what a content is made of stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_draft_is_replaced() {
    let world = World::new(UploadSettings::default()).await;
    let first = world.create(b"film").await;
    let second = world.uploads.replace_source(owner(1), first.content, film(5).file).await.unwrap();
    assert_eq!(second.content, first.content);
    assert_ne!(second.session, first.session);
    let before = world.uploads.status(owner(1), first.session).await.unwrap();
    assert_eq!(before.state, UploadState::Aborted);
    // Bytes of the first that were on their way complete nothing.
    world.put(&first.put.unwrap(), b"film").await;
    let key = ObjectKey::upload(first.content, first.session);
    world.uploads.object_created(&StoredObject { bucket: bucket(), key }).await.unwrap();
    assert_eq!(world.state(first.content).await, ContentState::Draft);
    assert_eq!(world.put(&second.put.unwrap(), b"films").await.status(), 200);
    let done = world.uploads.complete(owner(1), second.session, &[]).await.unwrap();
    let events = world.initiated().await;
    assert_eq!((events.len(), events[0].session, &events[0].source), (1, second.session, &done.source));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_content_gets_a_new_revision_by_another_source() {
    let world = World::new(UploadSettings::default()).await;
    let first = world.create(b"film").await;
    world.uploads.abort(owner(1), first.session).await.unwrap();
    let second = world.uploads.replace_source(owner(1), first.content, film(5).file).await.unwrap();
    assert_eq!(world.state(first.content).await, ContentState::Failed, "until the bytes are there");
    world.put(&second.put.unwrap(), b"films").await;
    // Its session is lost too: the store's word is enough.
    world.forget_session(second.session).await;
    let key = ObjectKey::upload(second.content, second.session);
    world.uploads.object_created(&StoredObject { bucket: bucket(), key }).await.unwrap();
    assert_eq!(world.state(first.content).await, ContentState::Uploaded);
    let events = world.initiated().await;
    assert_eq!((events.len(), events[0].asset.revision.number()), (1, 2));
    let busy = world.uploads.replace_source(owner(1), first.content, film(5).file).await.unwrap_err();
    assert!(matches!(busy, UploadError::Content(_)), "{busy:?}");
}
