//! The same bytes come to the child by its descriptor, by requests to a file and by requests to a store.
//!
//! Needs the program `mcsp-media` in the target folder, which a build of the workspace puts there.

#![expect(clippy::unwrap_used, reason = "a panic in a test is the report")]

use std::sync::Arc;

use bytes::Bytes;
use mcsp_child::{FromChild, Isolation, Work};
use mcsp_domain::ObjectKey;
use mcsp_embedded::{Durability, FileStore};
use mcsp_runtime::{ObjectStore, PutIf};
use mcsp_sandbox::{Sandbox, SandboxError, Source, limits_for, wall_for};

async fn messages(source: &Source, work: Work) -> Result<Vec<FromChild>, SandboxError> {
    let sandbox = Sandbox::beside_current_exe(Isolation::Strict)
        .unwrap_or_else(|error| panic!("{error}: build the workspace first (cargo build --package mcsp-media)"));
    let bounds = limits_for(&work, source.len_bytes(), None);
    let mut session = sandbox.start(source, work, bounds, wall_for(&bounds)).await?;
    let mut messages = Vec::new();
    while let Some(message) = session.next().await? {
        if !matches!(message, FromChild::Progress { .. }) {
            messages.push(message);
        }
    }
    assert!(session.usage().unwrap().cpu.as_secs() < bounds.cpu_seconds);
    Ok(messages)
}

#[tokio::test]
async fn every_way_to_the_source_gives_the_same() {
    let path = mcsp_fixtures::media("phone-vfr-13s.mp4");
    let folder = mcsp_fixtures::temp_dir();
    let store = FileStore::open(folder.path(), Durability::Process).unwrap();
    let key = ObjectKey::parse("source.mp4").unwrap();
    store.put(&key, Bytes::from(std::fs::read(&path).unwrap()), PutIf::Always).await.unwrap();
    let len_bytes = store.head(&key).await.unwrap().unwrap().len_bytes;
    let file = Arc::new(std::fs::File::open(&path).unwrap());
    let read_by_child = Source::file(Arc::clone(&file)).unwrap();
    let asked_of_file = Source::file_by_requests(file).unwrap();
    let asked_of_store = Source::Object { store: Arc::new(store), key, len_bytes, etag: None };
    for work in [Work::Probe, Work::Analyse] {
        let told = messages(&read_by_child, work.clone()).await.unwrap();
        let Some(FromChild::Probe(probe)) = told.first() else { panic!("{work:?} told {told:?}") };
        assert_eq!(probe.len_bytes, len_bytes);
        assert_eq!(told.iter().any(|message| matches!(message, FromChild::Analysis(_))), work == Work::Analyse);
        assert_eq!(messages(&asked_of_file, work.clone()).await.unwrap(), told, "{work:?}");
        assert_eq!(messages(&asked_of_store, work.clone()).await.unwrap(), told, "{work:?}");
    }
}

#[tokio::test]
async fn a_source_that_is_no_media_is_rejected_for_good() {
    let folder = mcsp_fixtures::temp_dir();
    let path = folder.path().join("text.mp4");
    std::fs::write(&path, "#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n").unwrap();
    let source = Source::file(Arc::new(std::fs::File::open(path).unwrap())).unwrap();
    let error = messages(&source, Work::Probe).await.unwrap_err();
    assert!(matches!(error, SandboxError::Rejected(_)), "{error:?}");
    assert!(!error.to_string().is_empty() && !error.is_retryable());
}

#[tokio::test]
async fn a_lost_object_is_no_fault_of_the_source() {
    let folder = mcsp_fixtures::temp_dir();
    let store = Arc::new(FileStore::open(folder.path(), Durability::Process).unwrap());
    let source = Source::Object { store, key: ObjectKey::parse("gone.mp4").unwrap(), len_bytes: 1000, etag: None };
    let error = messages(&source, Work::Probe).await.unwrap_err();
    assert!(matches!(error, SandboxError::SourceRead(_)) && error.is_retryable(), "{error:?}");
}
