//! What every `ObjectStore` engine promises.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::ObjectKey;

use crate::{ObjectMeta, ObjectStore, Put, PutIf, StoreError};

/// Holds an `ObjectStore` engine to its port. `make` gives a fresh, empty store each time.
#[expect(clippy::expect_used, clippy::unwrap_used, reason = "a suite's panic is a test's report")]
pub async fn object_store<F: Future<Output = Arc<dyn ObjectStore>>>(make: impl Fn() -> F) {
    let key = |text: &str| ObjectKey::parse(text).expect("a literal key");
    let store = make().await;
    let film = key("a/film.mp4");

    assert!(matches!(store.get(&film).await, Err(StoreError::NotFound { key }) if key == film));
    assert_eq!(store.head(&film).await.unwrap(), None);
    assert_eq!(store.put(&film, Bytes::from_static(b"one"), PutIf::Absent).await.unwrap(), Put::Stored);
    assert_eq!(store.put(&film, Bytes::from_static(b"two"), PutIf::Absent).await.unwrap(), Put::Kept);
    assert_eq!(store.get(&film).await.unwrap(), "one", "the first writer wins");
    assert_eq!(store.put(&film, Bytes::from_static(b"three"), PutIf::Always).await.unwrap(), Put::Stored);
    assert_eq!(store.head(&film).await.unwrap(), Some(ObjectMeta { len_bytes: 5 }));
    assert_eq!(store.get_range(&film, 1..3).await.unwrap(), "hr");
    assert_eq!(store.get_range(&film, 3..99).await.unwrap(), "ee", "a range is cut at the end");

    let mut upload = store.begin(&key("a/piecewise")).await.unwrap();
    upload.write(Bytes::from_static(b"pie")).await.unwrap();
    assert_eq!(store.head(&key("a/piecewise")).await.unwrap(), None, "half an object is not visible");
    upload.write(Bytes::from_static(b"ces")).await.unwrap();
    assert_eq!(upload.finish(PutIf::Absent).await.unwrap(), Put::Stored);
    assert_eq!(store.get(&key("a/piecewise")).await.unwrap(), "pieces");
    let late = store.begin(&key("a/piecewise")).await.unwrap();
    assert_eq!(late.finish(PutIf::Absent).await.unwrap(), Put::Kept);
    let mut dropped = store.begin(&key("a/dropped")).await.unwrap();
    dropped.write(Bytes::from_static(b"x")).await.unwrap();
    drop(dropped);
    store.put(&key("ab"), Bytes::new(), PutIf::Always).await.unwrap();
    assert_eq!(store.list(&key("a")).await.unwrap(), [film.clone(), key("a/piecewise")]);

    store.delete(&film).await.unwrap();
    store.delete(&film).await.expect("deleting twice is no error");
    assert_eq!(store.head(&film).await.unwrap(), None);
}
