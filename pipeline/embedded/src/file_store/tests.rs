//! The port's suite on files, and what only files have: sweeping, sharing between processes, refusals of the file system.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use mcsp_runtime::ScopedStore;
use unfinished::UNFINISHED_AGE_MIN;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_the_ports_promises() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    for durability in [Durability::Object, Durability::Process] {
        let make = || async {
            let root = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            Arc::new(FileStore::open(&root, durability).unwrap()) as Arc<dyn ObjectStore>
        };
        mcsp_runtime::conformance::object_store(make).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_them_seen_from_inside_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicU64::new(0);
    let make = || async {
        let root = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
        let store = Arc::new(FileStore::open(&root, Durability::Process).unwrap());
        Arc::new(ScopedStore::new(store, key("work/film/1"))) as Arc<dyn ObjectStore>
    };
    mcsp_runtime::conformance::object_store(make).await;
    assert!(folder.path().join("0/work/film/1").is_dir());
}

fn age(path: &Path, age: Duration) {
    File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn sweeps_what_dead_processes_left() {
    let folder = tempfile::tempdir().unwrap();
    let unfinished = folder.path().join(UNFINISHED);
    let (left, aside) = (unfinished.join("4194305-0"), unfinished.join("upload-1"));
    fs::create_dir_all(&aside).unwrap();
    fs::write(&left, b"half").unwrap();
    for path in [&left, &aside] {
        age(path, UNFINISHED_AGE_MIN * 2);
    }
    let store = FileStore::open(folder.path(), Durability::Object).unwrap();
    assert!(!left.exists() && !aside.exists());
    store.close().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_look_at_a_young_file_never_takes_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("young");
    let writer = File::create_new(&path).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(!unfinished::is_abandoned(&path, UNFINISHED_AGE_MIN));
            }
        });
        let failed = (0..20_000).filter(|_| writer.try_lock().is_err() || writer.unlock().is_err()).count();
        done.store(true, Ordering::Relaxed);
        looks.join().unwrap();
        assert_eq!(failed, 0, "the writer found its own file locked");
    });
    age(&path, UNFINISHED_AGE_MIN * 2);
    assert!(unfinished::is_abandoned(&path, UNFINISHED_AGE_MIN));
    writer.try_lock().unwrap();
    assert!(!unfinished::is_abandoned(&path, UNFINISHED_AGE_MIN), "its writer lives");
}

#[tokio::test]
async fn sweeps_old_uploads_and_keeps_young_ones_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), Durability::Object).unwrap();
    let film = key("film.mp4");
    let old = store.create_multipart(&film).await.unwrap();
    let young = store.create_multipart(&film).await.unwrap();
    store.put_part(&film, &young, 1, Bytes::from_static(b"part")).await.unwrap();
    age(&folder.path().join(".uploads").join(old.as_str()), Duration::from_secs(7200));
    drop(store);
    let store = FileStore::open(folder.path(), Durability::Object).unwrap();
    let swept = store.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(swept, Swept { uploads: 1, notes: 0, folders: 0 });
    assert!(matches!(store.list_parts(&film, &old).await, Err(StoreError::NoUpload { .. })));
    assert_eq!(store.list_parts(&film, &young).await.unwrap().len(), 1);
}

#[tokio::test]
async fn forgets_notes_on_objects_that_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), Durability::Object).unwrap();
    for name in ["gone", "stays"] {
        let upload = store.create_multipart(&key(name)).await.unwrap();
        let part = store.put_part(&key(name), &upload, 1, Bytes::from_static(b"part")).await.unwrap();
        store.complete_multipart(&key(name), &upload, &[part], PutIf::Always).await.unwrap();
    }
    store.delete(&key("gone")).await.unwrap();
    for entry in fs::read_dir(folder.path().join(".about")).unwrap() {
        age(&entry.unwrap().path(), Duration::from_secs(7200));
    }
    let before = store.head(&key("stays")).await.unwrap();
    assert_eq!(store.sweep(Duration::from_secs(3600)).await.unwrap(), Swept { uploads: 0, notes: 1, folders: 0 });
    assert_eq!(store.head(&key("stays")).await.unwrap(), before);
}

#[tokio::test]
async fn tags_outlive_a_copy_of_the_folder_that_keeps_times() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(&folder.path().join("a"), Durability::Process).unwrap();
    store.put(&key("plain"), Bytes::from_static(b"one"), PutIf::Always).await.unwrap();
    let upload = store.create_multipart(&key("film")).await.unwrap();
    let part = store.put_part(&key("film"), &upload, 1, Bytes::from_static(b"part")).await.unwrap();
    store.complete_multipart(&key("film"), &upload, &[part], PutIf::Always).await.unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg("a").arg("b").current_dir(folder.path()).status();
    assert!(copied.unwrap().success());
    let copy = FileStore::open(&folder.path().join("b"), Durability::Process).unwrap();
    for name in ["plain", "film"] {
        assert_eq!(copy.head(&key(name)).await.unwrap(), store.head(&key(name)).await.unwrap(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_update_is_lost_between_stores_that_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    // Two opened stores share nothing but the folder, as two processes do.
    let stores: Vec<_> = (0..2).map(|_| FileStore::open(folder.path(), Durability::Process).unwrap()).collect();
    let counter = key("counter");
    stores[0].put(&counter, Bytes::from_static(b"0"), PutIf::Always).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..8 {
        let (store, counter) = (stores[index % 2].clone(), counter.clone());
        tasks.spawn(async move {
            let mut added = 0;
            while added < 25 {
                let meta = store.head(&counter).await.unwrap().unwrap();
                let Ok(bytes) = store.get_range(&counter, 0..99, Some(&meta.etag)).await else { continue };
                let next = std::str::from_utf8(&bytes).unwrap().parse::<u32>().unwrap() + 1;
                let condition = PutIf::Matches(meta.etag);
                added += i32::from(store.put(&counter, next.to_string().into(), condition).await.unwrap() != Put::Kept);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(stores[0].get(&counter).await.unwrap(), "200");
}

#[tokio::test]
async fn a_key_that_is_a_folder_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), Durability::Process).unwrap();
    store.put(&key("a/b"), Bytes::new(), PutIf::Always).await.unwrap();
    for (text, condition) in [("a", PutIf::Always), ("a", PutIf::Absent), ("a/b/c", PutIf::Absent)] {
        let error = store.put(&key(text), Bytes::new(), condition).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("key"), "{error}: {cause}");
    }
    assert_eq!(store.head(&key("a")).await.unwrap(), None);
    assert_eq!(store.head(&key("a/b/c")).await.unwrap(), None);
    assert!(matches!(store.get(&key("a/b/c")).await, Err(StoreError::NotFound { .. })));
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FileStore::open(&file.join("store"), Durability::Process).err().unwrap().to_string();
    assert!(error.starts_with(&format!("object store {}/store cannot be opened: ", file.display())), "{error}");
}

#[tokio::test]
async fn presigning_wants_an_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path(), Durability::Process).unwrap();
    let call = mcsp_runtime::PresignCall::Get;
    let request = PresignRequest { call, key: key("a"), expires_s: 60, bound: mcsp_runtime::BoundHeaders::default() };
    let error = store.presign(request).await.unwrap_err();
    assert_eq!(error.to_string(), "store cannot presign a: its folder is served by no S3 endpoint");
}
