//! What every `ObjectStore` engine promises.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::ObjectKey;
use mcsp_domain::limits::{OBJECTS_LISTED_MAX, UPLOAD_PART_BYTES_MIN};

use crate::{Etag, ObjectStore, PartFault, PartTag, Put, PutIf, StoreError};

/// Writers that race for one key.
const RACERS: usize = 16;

/// Holds an `ObjectStore` engine to its port. `make` gives a fresh, empty store each time.
pub async fn object_store<F: Future<Output = Arc<dyn ObjectStore>>>(make: impl Fn() -> F) {
    an_object_appears_whole(make().await).await;
    pieces_appear_when_finished(make().await).await;
    ranges_are_cut_and_pinned(make().await).await;
    conditions_hold(make().await).await;
    one_of_many_writers_wins(make().await).await;
    lists_pages_in_order(make().await).await;
    parts_make_an_object(make().await).await;
    bad_parts_are_refused(make().await).await;
    an_upload_given_up_leaves_nothing(make().await).await;
}

#[expect(clippy::expect_used, reason = "a suite's panic is a test's report")]
pub(super) fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a literal key")
}

#[expect(clippy::panic, reason = "a suite's panic is a test's report")]
fn stored(put: Result<Put, StoreError>) -> Etag {
    match put {
        Ok(Put::Stored { etag }) => etag,
        other => panic!("the object was not stored: {other:?}"),
    }
}

#[expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite's panic is a test's report")]
async fn an_object_appears_whole(store: Arc<dyn ObjectStore>) {
    let film = key("a/film.mp4");
    assert!(
        matches!(store.get(&film).await, Err(StoreError::NotFound { key }) if key.as_str().ends_with("a/film.mp4"))
    );
    assert_eq!(store.head(&film).await.unwrap(), None);
    let before_us = crate::now_us();
    let one = stored(store.put(&film, Bytes::from_static(b"one"), PutIf::Absent).await);
    assert_eq!(store.put(&film, Bytes::from_static(b"two"), PutIf::Absent).await.unwrap(), Put::Kept);
    assert_eq!(store.get(&film).await.unwrap(), "one", "the first writer wins");
    let meta = store.head(&film).await.unwrap().expect("it was stored");
    assert_eq!((meta.len_bytes, &meta.etag), (3, &one));
    // Real engines keep whole seconds, and their clocks are not ours.
    let late_us = meta.modified_us - before_us;
    assert!(late_us.abs() < 60_000_000, "stored {late_us} µs after the put began");

    let three = stored(store.put(&film, Bytes::from_static(b"three"), PutIf::Always).await);
    assert_ne!(one, three);
    let meta = store.head(&film).await.unwrap().expect("it was stored");
    assert_eq!((meta.len_bytes, meta.etag), (5, three));
    assert_eq!(store.get(&film).await.unwrap(), "three");

    store.put(&key("empty"), Bytes::new(), PutIf::Always).await.unwrap();
    assert_eq!(store.get(&key("empty")).await.unwrap(), "");

    store.delete(&film).await.unwrap();
    store.delete(&film).await.expect("deleting twice is no error");
    assert_eq!(store.head(&film).await.unwrap(), None);
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn pieces_appear_when_finished(store: Arc<dyn ObjectStore>) {
    let whole = key("a/piecewise");
    let mut upload = store.begin(&whole).await.unwrap();
    upload.write(Bytes::from_static(b"pie")).await.unwrap();
    assert_eq!(store.head(&whole).await.unwrap(), None, "half an object is not visible");
    upload.write(Bytes::from_static(b"ces")).await.unwrap();
    let etag = stored(upload.finish(PutIf::Absent).await);
    assert_eq!(store.get(&whole).await.unwrap(), "pieces");
    assert_eq!(store.head(&whole).await.unwrap().unwrap().etag, etag);

    let late = store.begin(&whole).await.unwrap();
    assert_eq!(late.finish(PutIf::Absent).await.unwrap(), Put::Kept);
    let mut replacing = store.begin(&whole).await.unwrap();
    replacing.write(Bytes::from_static(b"new")).await.unwrap();
    stored(replacing.finish(PutIf::Matches(etag)).await);
    assert_eq!(store.get(&whole).await.unwrap(), "new");

    let mut dropped = store.begin(&key("a/dropped")).await.unwrap();
    dropped.write(Bytes::from_static(b"x")).await.unwrap();
    drop(dropped);
    assert_eq!(store.list(&key("a"), None).await.unwrap(), [whole]);
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn ranges_are_cut_and_pinned(store: Arc<dyn ObjectStore>) {
    let film = key("film");
    let etag = stored(store.put(&film, Bytes::from_static(b"three"), PutIf::Always).await);
    let cases: [(Range<u64>, &str); 6] =
        [(0..5, "three"), (1..3, "hr"), (3..99, "ee"), (4..5, "e"), (5..9, ""), (2..2, "")];
    for (range, expected) in cases {
        let bytes = store.get_range(&film, range.clone(), None).await.unwrap();
        assert_eq!(bytes, expected, "{range:?}");
        let pinned = store.get_range(&film, range.clone(), Some(&etag)).await.unwrap();
        assert_eq!(pinned, expected, "{range:?}, pinned");
    }
    let other = stored(store.put(&film, Bytes::from_static(b"other"), PutIf::Always).await);
    let replaced = store.get_range(&film, 0..5, Some(&etag)).await;
    assert!(matches!(&replaced, Err(StoreError::Replaced { pin, .. }) if *pin == etag), "{replaced:?}");
    assert_eq!(store.get_range(&film, 0..5, Some(&other)).await.unwrap(), "other");
    store.delete(&film).await.unwrap();
    assert!(matches!(store.get_range(&film, 0..5, Some(&other)).await, Err(StoreError::NotFound { .. })));
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn conditions_hold(store: Arc<dyn ObjectStore>) {
    let manifest = key("manifest");
    let put = |text: &'static str, condition| store.put(&manifest, Bytes::from_static(text.as_bytes()), condition);
    let strange = PutIf::Matches(Etag::parse("0-0").unwrap());
    assert_eq!(put("none", strange.clone()).await.unwrap(), Put::Kept, "there is nothing to replace");
    let first = stored(put("1", PutIf::Absent).await);
    assert_eq!(put("x", strange).await.unwrap(), Put::Kept);
    let second = stored(put("2", PutIf::Matches(first.clone())).await);
    assert_eq!(put("x", PutIf::Matches(first.clone())).await.unwrap(), Put::Kept, "the tag is no longer true");
    assert_eq!(store.get(&manifest).await.unwrap(), "2");
    // As fast as the engine goes, and of one length: tags must not come back.
    let mut seen = vec![first, second.clone()];
    let mut last = second;
    for text in ["3", "4", "5", "6", "7", "8"] {
        let next = stored(put(text, PutIf::Matches(last)).await);
        assert!(!seen.contains(&next), "tag {next} came back");
        seen.push(next.clone());
        last = next;
    }
    store.delete(&manifest).await.unwrap();
    assert_eq!(put("x", PutIf::Matches(last)).await.unwrap(), Put::Kept, "what was removed stays away");
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn one_of_many_writers_wins(store: Arc<dyn ObjectStore>) {
    let base = stored(store.put(&key("swap"), Bytes::from_static(b"base"), PutIf::Always).await);
    for (raced, condition) in [("first", PutIf::Absent), ("swap", PutIf::Matches(base))] {
        let raced = key(raced);
        let mut racers = tokio::task::JoinSet::new();
        for index in 0..RACERS {
            let (store, raced, condition) = (Arc::clone(&store), raced.clone(), condition.clone());
            racers.spawn(async move { (index, store.put(&raced, index.to_string().into(), condition).await.unwrap()) });
        }
        let answers = racers.join_all().await;
        let winners: Vec<usize> =
            answers.iter().filter(|(_, put)| *put != Put::Kept).map(|(index, _)| *index).collect();
        assert_eq!(winners.len(), 1, "{raced}: {answers:?}");
        assert_eq!(store.get(&raced).await.unwrap(), winners[0].to_string());
    }
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn lists_pages_in_order(store: Arc<dyn ObjectStore>) {
    let count = OBJECTS_LISTED_MAX + 3;
    for index in 0..count {
        store.put(&key(&format!("many/{:02}/{index:05}", index % 7)), Bytes::new(), PutIf::Always).await.unwrap();
    }
    for beside in ["man", "many-more", "manyfold/x"] {
        store.put(&key(beside), Bytes::new(), PutIf::Always).await.unwrap();
    }
    let first = store.list(&key("many"), None).await.unwrap();
    assert_eq!(first.len(), OBJECTS_LISTED_MAX);
    let rest = store.list(&key("many"), first.last()).await.unwrap();
    let all: Vec<ObjectKey> = first.into_iter().chain(rest).collect();
    assert_eq!(all.len(), count);
    assert!(all.is_sorted() && all.iter().all(|key| key.as_str().starts_with("many/")), "{all:?}");
    assert_eq!(store.list(&key("many"), all.last()).await.unwrap(), []);
    assert_eq!(store.list(&key("nothing"), None).await.unwrap(), []);
    assert_eq!(
        store.list(&key("many/03"), Some(&key("many/03/00900"))).await.unwrap().first(),
        Some(&key("many/03/00906"))
    );
}

/// Bytes of a part, told apart by their first.
pub(super) fn part_bytes(number: u8, len_bytes: u64) -> Bytes {
    let mut bytes = vec![number; usize::try_from(len_bytes).unwrap_or_default()];
    if let Some(last) = bytes.last_mut() {
        *last = 0xff;
    }
    Bytes::from(bytes)
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn parts_make_an_object(store: Arc<dyn ObjectStore>) {
    let film = key("uploads/film.mp4");
    let upload = store.create_multipart(&film).await.unwrap();
    let bytes = [part_bytes(1, UPLOAD_PART_BYTES_MIN), part_bytes(2, UPLOAD_PART_BYTES_MIN), part_bytes(3, 77)];
    store.put_part(&film, &upload, 2, Bytes::from_static(b"replaced by a later one")).await.unwrap();
    let mut tags = Vec::new();
    for number in [3_u32, 1, 2] {
        let part = bytes[usize::try_from(number).unwrap() - 1].clone();
        tags.push(store.put_part(&film, &upload, number, part).await.unwrap());
    }
    tags.sort_by_key(|tag| tag.number);
    let listed = store.list_parts(&film, &upload).await.unwrap();
    let known: Vec<PartTag> =
        listed.iter().map(|part| PartTag { number: part.number, etag: part.etag.clone() }).collect();
    assert_eq!(known, tags);
    let lens_bytes: Vec<u64> = listed.iter().map(|part| part.len_bytes).collect();
    assert_eq!(lens_bytes, [UPLOAD_PART_BYTES_MIN, UPLOAD_PART_BYTES_MIN, 77]);
    assert_eq!(store.head(&film).await.unwrap(), None, "parts are no object");

    let etag = stored(store.complete_multipart(&film, &upload, &tags, PutIf::Absent).await);
    assert_eq!(store.get(&film).await.unwrap(), bytes.concat());
    assert_eq!(store.head(&film).await.unwrap().unwrap().etag, etag);
    let seam = UPLOAD_PART_BYTES_MIN - 2..UPLOAD_PART_BYTES_MIN + 1;
    assert_eq!(store.get_range(&film, seam, Some(&etag)).await.unwrap(), [1, 0xff, 2].as_slice());
    // A lost answer makes the caller ask again.
    assert_eq!(stored(store.complete_multipart(&film, &upload, &tags, PutIf::Absent).await), etag);

    let late = store.create_multipart(&film).await.unwrap();
    let tag = store.put_part(&film, &late, 1, Bytes::from_static(b"late")).await.unwrap();
    let kept = store.complete_multipart(&film, &late, std::slice::from_ref(&tag), PutIf::Absent).await;
    assert_eq!(kept.unwrap(), Put::Kept);
    let replaced = store.complete_multipart(&film, &late, &[tag], PutIf::Matches(etag)).await;
    stored(replaced);
    assert_eq!(store.get(&film).await.unwrap(), "late");
}

#[expect(clippy::unwrap_used, reason = "a suite's panic is a test's report")]
async fn bad_parts_are_refused(store: Arc<dyn ObjectStore>) {
    let film = key("film");
    let upload = store.create_multipart(&film).await.unwrap();
    let large = store.put_part(&film, &upload, 1, part_bytes(1, UPLOAD_PART_BYTES_MIN)).await.unwrap();
    let small = store.put_part(&film, &upload, 2, Bytes::from_static(b"small")).await.unwrap();
    let last = store.put_part(&film, &upload, 3, Bytes::from_static(b"last")).await.unwrap();
    let other = PartTag { number: 1, etag: last.etag.clone() };
    let unknown = PartTag { number: 4, etag: last.etag.clone() };
    let cases = [
        (vec![other], PartFault::Missing),
        (vec![large.clone(), unknown], PartFault::Missing),
        (vec![], PartFault::Missing),
        (vec![last.clone(), large.clone()], PartFault::Order),
        (vec![large.clone(), large.clone()], PartFault::Order),
        (vec![large.clone(), small, last], PartFault::Small),
    ];
    for (parts, expected) in cases {
        let refused = store.complete_multipart(&film, &upload, &parts, PutIf::Always).await;
        assert!(
            matches!(&refused, Err(StoreError::BadPart { fault, .. }) if *fault == expected),
            "{parts:?}: {refused:?}"
        );
    }
    for number in [0, 10_001] {
        let refused = store.put_part(&film, &upload, number, Bytes::from_static(b"x")).await;
        assert!(matches!(&refused, Err(StoreError::BadPart { .. })), "part {number}: {refused:?}");
    }
    assert_eq!(store.head(&film).await.unwrap(), None);
    stored(store.complete_multipart(&film, &upload, &[large], PutIf::Always).await);
}

#[expect(clippy::unwrap_used, clippy::expect_used, reason = "a suite's panic is a test's report")]
async fn an_upload_given_up_leaves_nothing(store: Arc<dyn ObjectStore>) {
    let film = key("film");
    let upload = store.create_multipart(&film).await.unwrap();
    let tag = store.put_part(&film, &upload, 1, Bytes::from_static(b"part")).await.unwrap();
    store.abort_multipart(&film, &upload).await.unwrap();
    store.abort_multipart(&film, &upload).await.expect("giving up twice is no error");
    let gone = |answer: &StoreError| matches!(answer, StoreError::NoUpload { .. });
    assert!(gone(&store.list_parts(&film, &upload).await.unwrap_err()));
    assert!(gone(&store.put_part(&film, &upload, 2, Bytes::from_static(b"x")).await.unwrap_err()));
    assert!(gone(&store.complete_multipart(&film, &upload, &[tag], PutIf::Always).await.unwrap_err()));
    assert_eq!(store.head(&film).await.unwrap(), None);
    let foreign = store.create_multipart(&key("other")).await.unwrap();
    assert!(gone(&store.list_parts(&film, &foreign).await.unwrap_err()), "an upload belongs to one key");
}
