//! Completion by the store's word: told twice, out of order, and of what is nobody's.

use std::time::Duration;

use mcsp_domain::{ContentId, ContentState, ObjectKey, SessionId};
use mcsp_runtime::{ObjectStore, PutIf};
use mcsp_services::upload::{StoredObject, UploadSettings, UploadState};

use super::world::{PART_BYTES, World, bucket, owner};

fn told(key: &ObjectKey) -> StoredObject {
    StoredObject { bucket: bucket(), key: key.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stores_word_completes_an_upload() {
    let world = World::new(UploadSettings::default()).await;
    let (endpoint, uploads) = (world.endpoint.clone(), world.uploads.clone());
    tokio::spawn(async move {
        let handle = |created: mcsp_embedded::ObjectCreated| {
            let uploads = uploads.clone();
            async move { uploads.object_created(&StoredObject { bucket: created.bucket, key: created.key }).await }
        };
        endpoint.deliver(handle).await
    });
    let ticket = world.create(b"film").await;
    assert_eq!(world.put(&ticket.put.unwrap(), b"film").await.status(), 200);
    let completed = async {
        while world.uploads.status(owner(1), ticket.session).await.unwrap().state != UploadState::Complete {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), completed).await.unwrap();
    let done = world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap();
    assert_eq!((done.source.len_bytes, world.initiated().await.len()), (4, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_come_twice_at_once_and_late_complete_once() {
    let world = World::new(UploadSettings::default()).await;
    let (first, second) = (world.create(b"film").await, world.create(b"other").await);
    let key = |content, session| ObjectKey::upload(content, session);
    let (first_key, second_key) = (key(first.content, first.session), key(second.content, second.session));
    // Before its bytes: told of an object that is not there.
    world.uploads.object_created(&told(&first_key)).await.unwrap();
    assert_eq!(world.state(first.content).await, ContentState::Draft);
    world.put(&first.put.unwrap(), b"film").await;
    world.put(&second.put.unwrap(), b"other").await;
    let (uploads, words) = (&world.uploads, (told(&first_key), told(&second_key)));
    let (late, one, two, by_call) = tokio::join!(
        uploads.object_created(&words.1),
        uploads.object_created(&words.0),
        uploads.object_created(&words.0),
        uploads.complete(owner(1), first.session, &[]),
    );
    late.unwrap();
    one.unwrap();
    two.unwrap();
    assert_eq!(by_call.unwrap().session, first.session);
    world.uploads.object_created(&words.0).await.unwrap();
    let mut sessions: Vec<SessionId> = world.initiated().await.iter().map(|event| event.session).collect();
    sessions.sort();
    assert_eq!(sessions, [first.session, second.session]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_no_session_are_left_alone() {
    let world = World::new(UploadSettings::default()).await;
    let known = world.create(b"film").await;
    let nobody = SessionId::from_bytes([9; 16]);
    let keys = [
        ObjectKey::upload(ContentId::from_bytes([9; 16]), nobody),
        ObjectKey::upload(known.content, nobody),
        ObjectKey::parse("media/a/b").unwrap(),
        ObjectKey::parse("uploads/a/b").unwrap(),
    ];
    for key in &keys {
        world.store.put(key, "film".into(), PutIf::Always).await.unwrap();
        world.uploads.object_created(&told(key)).await.unwrap();
        assert!(world.store.head(key).await.unwrap().is_some(), "{key}");
    }
    assert!(world.initiated().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_whose_session_was_lost_still_completes() {
    let world = World::new(UploadSettings::default()).await;
    let ticket = world.create(b"film").await;
    world.put(&ticket.put.unwrap(), b"film").await;
    world.forget_session(ticket.session).await;
    assert!(world.uploads.status(owner(1), ticket.session).await.is_err());
    let key = ObjectKey::upload(ticket.content, ticket.session);
    world.uploads.object_created(&told(&key)).await.unwrap();
    assert_eq!(world.state(ticket.content).await, ContentState::Uploaded);
    assert_eq!(world.initiated().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn completing_at_once_makes_one_object_and_one_event() {
    let world = World::new(UploadSettings::default()).await;
    let bytes = vec![3; PART_BYTES + 1];
    let ticket = world.create(&bytes).await;
    world.put(&ticket.parts[0].address, &bytes[..PART_BYTES]).await;
    world.put(&ticket.parts[1].address, &bytes[PART_BYTES..]).await;
    let complete = || world.uploads.complete(owner(1), ticket.session, &[]);
    let (one, two, three) = tokio::join!(complete(), complete(), complete());
    let one = one.unwrap();
    assert_eq!((&two.unwrap(), &three.unwrap()), (&one, &one));
    assert_eq!(world.initiated().await.len(), 1);
}
