//! Files that go up in parts.

use std::time::Duration;

use mcsp_domain::{ContentState, Digest};
use mcsp_runtime::now_us;
use mcsp_services::upload::{UploadError, UploadSettings, UploadState, WantedPart};

use super::world::{PART_BYTES, World, etag, film, owner, sha256, tags};

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_in_any_order_and_a_lost_one_is_sent_again() {
    let world = World::new(UploadSettings::default()).await;
    let bytes: Vec<u8> = (0..2 * PART_BYTES + 3).map(|index| (index % 251).try_into().unwrap()).collect();
    let ticket = world.create(&bytes).await;
    let spans: Vec<_> = ticket.parts.iter().map(|part| (part.offset_bytes, part.size_bytes)).collect();
    let part_bytes = PART_BYTES as u64;
    assert_eq!(spans, [(0, part_bytes), (part_bytes, part_bytes), (2 * part_bytes, 3)]);
    let third = world.put(&ticket.parts[2].address, &bytes[2 * PART_BYTES..]).await;
    let first = world.put(&ticket.parts[0].address, &bytes[..PART_BYTES]).await;
    assert!(third.status() == 200 && first.status() == 200);

    // The page was loaded again: all that it knows is the session.
    let status = world.uploads.status(owner(1), ticket.session).await.unwrap();
    let stored: Vec<u32> = status.stored.iter().map(|part| part.number).collect();
    assert_eq!((status.state, stored, status.missing), (UploadState::Open, vec![1, 3], vec![2]));
    assert_eq!(status.bytes, part_bytes + 3);
    let early = world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap_err();
    assert!(matches!(early, UploadError::Missing { first: 2, count: 1 }), "{early:?}");
    assert_eq!(world.state(ticket.content).await, ContentState::Draft);

    let again = [WantedPart { number: 2, sha256: None }];
    let signed = world.uploads.sign_parts(owner(1), ticket.session, &again).await.unwrap();
    let second = world.put(&signed[0].address, &bytes[PART_BYTES..2 * PART_BYTES]).await;
    let (first, second, third) = (etag(&first), etag(&second), etag(&third));
    let swapped = tags(&[(1, &second)]);
    let other = world.uploads.complete(owner(1), ticket.session, &swapped).await.unwrap_err();
    assert!(matches!(other, UploadError::OtherPart { number: 1 }), "{other:?}");
    let named = tags(&[(3, &third), (1, &first), (2, &second)]);
    let done = world.uploads.complete(owner(1), ticket.session, &named).await.unwrap();
    assert!(done.source.etag.ends_with("-3"), "{}", done.source.etag);
    assert_eq!(done.source.len_bytes, bytes.len() as u64);
    let file = mcsp_runtime::ObjectStore::as_file(&world.store, &done.source.key).unwrap();
    assert!(std::fs::read(file).unwrap() == bytes);
    assert_eq!((world.initiated().await.len(), world.uploads_open()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_with_another_checksum_is_refused_by_the_store() {
    let world = World::new(UploadSettings::default()).await;
    let bytes = vec![1; PART_BYTES + 4];
    let mut new = film(bytes.len() as u64);
    new.file.addresses_max = 0;
    let ticket = world.uploads.create(owner(1), new).await.unwrap();
    assert_eq!((ticket.parts.len(), ticket.layout.count, world.uploads_open()), (0, 2, 0));
    let tail = &bytes[PART_BYTES..];
    let wanted = [WantedPart { number: 2, sha256: Some(Digest::from_bytes(sha256(tail))) }];
    let signed = world.uploads.sign_parts(owner(1), ticket.session, &wanted).await.unwrap();
    assert_eq!(world.put(&signed[0].address, b"abcd").await.status(), 400);
    let longer = world.put(&signed[0].address, b"abcde").await;
    assert!(longer.status().is_client_error(), "{longer:?}");
    assert_eq!(world.uploads.status(owner(1), ticket.session).await.unwrap().missing, [1, 2]);
    assert_eq!(world.put(&signed[0].address, tail).await.status(), 200);
    assert_eq!(world.uploads.status(owner(1), ticket.session).await.unwrap().missing, [1]);

    let refusal = async |number| {
        let wanted = [WantedPart { number, sha256: None }];
        world.uploads.sign_parts(owner(1), ticket.session, &wanted).await.unwrap_err().to_string()
    };
    assert_eq!(refusal(3).await, "the file has parts 1 to 2, and none of number 3");
    assert_eq!(refusal(0).await, "the file has parts 1 to 2, and none of number 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_at_once_begins_one_upload() {
    let world = World::new(UploadSettings::default()).await;
    let mut new = film(PART_BYTES as u64 * 3);
    new.file.addresses_max = 0;
    let ticket = world.uploads.create(owner(1), new).await.unwrap();
    let sign = |number| {
        let uploads = world.uploads.clone();
        async move { uploads.sign_parts(owner(1), ticket.session, &[WantedPart { number, sha256: None }]).await.unwrap() }
    };
    let (first, second, third) = tokio::join!(sign(1), sign(2), sign(3));
    let ids: std::collections::BTreeSet<String> = [first, second, third]
        .iter()
        .map(|signed| signed[0].address.url.split("uploadId=").nth(1).unwrap()[..32].to_owned())
        .collect();
    assert_eq!((ids.len(), world.uploads_open()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_address_is_signed_again() {
    let settings = UploadSettings { address_life: Duration::from_secs(1), ..UploadSettings::default() };
    let world = World::new(settings).await;
    let ticket = world.create(b"film").await;
    let put = ticket.put.unwrap();
    let expired = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        // The store takes seconds for whole ones.
        while now_us() <= put.expires_us + 1_000_000 {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), expired).await.unwrap();
    assert_eq!(world.put(&put, b"film").await.status(), 403);
    let whole = [WantedPart { number: 1, sha256: None }];
    let signed = world.uploads.sign_parts(owner(1), ticket.session, &whole).await.unwrap();
    assert_eq!(world.put(&signed[0].address, b"film").await.status(), 200);
    world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap();
}
