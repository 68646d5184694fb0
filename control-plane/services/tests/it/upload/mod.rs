//! Uploads against a real store behind its S3 endpoint, spoken to over HTTP as a browser would.

mod completion;
mod ends;
mod parts;
mod world;

use mcsp_domain::{ContentState, Digest};
use mcsp_services::upload::{UploadError, UploadSettings, UploadState};

use world::{PART_BYTES, World, etag, film, owner, sha256, tags};

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_goes_up_in_one_call() {
    let world = World::new(UploadSettings::default()).await;
    let ticket = world.create(b"film").await;
    assert_eq!((ticket.layout.count, ticket.parts.len()), (1, 1));
    let put = ticket.put.clone().unwrap();
    assert_eq!(ticket.parts[0].address, put);
    assert!(put.headers.contains(&("if-none-match".to_owned(), "*".to_owned())));
    assert!(put.headers.contains(&("content-length".to_owned(), "4".to_owned())));
    let answer = world.put(&put, b"film").await;
    assert_eq!(answer.status(), 200);
    let tag = etag(&answer);
    assert_eq!(world.put(&put, b"mlif").await.status(), 412, "what is there is not replaced");
    let done = world.uploads.complete(owner(1), ticket.session, &tags(&[(1, &tag)])).await.unwrap();
    assert_eq!((done.source.etag.as_str(), done.source.len_bytes), (tag.as_str(), 4));
    assert_eq!(world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap(), done, "again answers the same");
    let events = world.initiated().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].session, &events[0].source), (ticket.session, &done.source));
    assert_eq!((events[0].title.as_str(), events[0].file_name.as_str()), ("holiday", "holiday.mp4"));
    assert_eq!(world.state(ticket.content).await, ContentState::Uploaded);
    let status = world.uploads.status(owner(1), ticket.session).await.unwrap();
    assert_eq!((status.state, status.bytes, status.missing), (UploadState::Complete, 4, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_before_the_first_byte() {
    let settings = UploadSettings { size_bytes_max: 100, open_sessions_max: 2, ..UploadSettings::default() };
    let world = World::new(settings).await;
    let refusal = async |size_bytes: u64, name: &str, region: Option<&str>| {
        let mut new = film(size_bytes);
        new.file.file_name = name.to_owned();
        new.region = region.map(str::to_owned);
        world.uploads.create(owner(1), new).await.unwrap_err().to_string()
    };
    assert_eq!(refusal(101, "a.mp4", None).await, "the file has 101 bytes, 100 allowed (limit size_bytes_max)");
    assert_eq!(refusal(0, "a.mp4", None).await, "size_bytes is 0: an empty file holds no film");
    let name = "file_name is not 1 to 255 characters without control characters";
    assert_eq!(refusal(1, "", None).await, name);
    assert_eq!(refusal(1, "a\0b", None).await, name);
    assert_eq!(refusal(1, "a.mp4", Some("mars")).await, "region \"mars\" is none of eu");
    for _ in 0..2 {
        world.uploads.create(owner(1), film(4)).await.unwrap();
    }
    let open = "2 uploads are open, 2 allowed (limit open_sessions_max): complete or abort one";
    assert_eq!(refusal(1, "a.mp4", None).await, open);
    world.uploads.create(owner(2), film(4)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_session_is_not_there() {
    let world = World::new(UploadSettings::default()).await;
    let ticket = world.create(b"film").await;
    let (id, other) = (ticket.session, owner(2));
    let answers = [
        world.uploads.status(other, id).await.unwrap_err(),
        world.uploads.sign_parts(other, id, &[]).await.unwrap_err(),
        world.uploads.complete(other, id, &[]).await.unwrap_err(),
        world.uploads.abort(other, id).await.unwrap_err(),
        world.uploads.progress(other, id).await.unwrap_err(),
    ];
    for answer in answers {
        assert!(matches!(answer, UploadError::NoSession { .. }), "{answer:?}");
    }
    let replaced = world.uploads.replace_source(other, ticket.content, film(4).file).await.unwrap_err();
    assert!(matches!(replaced, UploadError::NoContent { .. }), "{replaced:?}");
    assert!(world.uploads.active_of(other).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_another_checksum_is_refused_by_the_store() {
    let world = World::new(UploadSettings::default()).await;
    let mut new = film(4);
    new.file.sha256 = Some(Digest::from_bytes(sha256(b"film")));
    let ticket = world.uploads.create(owner(1), new).await.unwrap();
    let put = ticket.put.unwrap();
    assert_eq!(world.put(&put, b"mlif").await.status(), 400);
    let missing = world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap_err();
    assert_eq!(missing.to_string(), "1 of the parts are not stored, the first is part 1");
    assert_eq!(world.put(&put, b"film").await.status(), 200);
    world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_counts_stored_parts() {
    let world = World::new(UploadSettings::default()).await;
    let bytes = vec![7; PART_BYTES + 5];
    let ticket = world.create(&bytes).await;
    let answer = world.put(&ticket.parts[1].address, &bytes[PART_BYTES..]).await;
    assert_eq!(answer.status(), 200);
    let active = world.uploads.active_of(owner(1)).await.unwrap();
    assert_eq!((active.len(), active[0].session, active[0].bytes), (1, ticket.session, 5));
    assert_eq!(active[0].total_bytes, bytes.len() as u64);
    world.put(&ticket.parts[0].address, &bytes[..PART_BYTES]).await;
    world.uploads.complete(owner(1), ticket.session, &[]).await.unwrap();
    let progress = world.uploads.progress(owner(1), ticket.session).await.unwrap();
    assert_eq!(progress.bytes, progress.total_bytes);
    assert!(world.uploads.active_of(owner(1)).await.unwrap().is_empty());
}
