//! What every test here needs: a bucket, an asset in it, uploads, contexts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_domain::{Bucket, ContentId, EventId, ObjectKey, Placement, Revision, SessionId, Tier, UserId};
use mcsp_embedded::{Durability, FileStore};
use mcsp_events::{Asset, Event, Headers, Outgoing, SourceObject, UploadCompleted};
use mcsp_fixtures::temp_dir;
use mcsp_runtime::stage::Context;
use mcsp_runtime::{Buckets, ObjectStore, PutIf};
use mcsp_sandbox::child::Isolation;
use mcsp_sandbox::{Sandbox, Source};
use mcsp_stages::Stores;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// A bucket and an asset in it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) stores: Stores,
    pub(crate) asset: Asset,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = temp_dir();
        let store: Arc<dyn ObjectStore> =
            Arc::new(FileStore::open(&folder.path().join("bucket"), Durability::Process).unwrap());
        let bucket = Bucket::parse("test").unwrap();
        let stores = Stores::new(Buckets::new([(bucket.clone(), Arc::clone(&store))]));
        let placement = Placement { region: "test".to_owned(), bucket, tier: Tier::Hot };
        let asset = Asset { content: ContentId::new(1, &[1; 10]), revision: Revision::FIRST, placement };
        Self { folder, store, stores, asset }
    }

    /// Stores a file as this world's upload and says that it is sound.
    pub(crate) async fn uploaded(&self, path: &Path, title: &str) -> UploadCompleted {
        let key = ObjectKey::upload(self.asset.content, SessionId::new(1, &[2; 10]));
        let bytes = std::fs::read(path).unwrap();
        self.store.put(&key, Bytes::from(bytes), PutIf::Always).await.unwrap();
        let meta = self.store.head(&key).await.unwrap().unwrap();
        UploadCompleted {
            asset: self.asset.clone(),
            owner: owner(),
            source: SourceObject { key, etag: meta.etag.to_string(), len_bytes: meta.len_bytes },
            container: "mp4".to_owned(),
            duration_ms: None,
            file_name: "film.mp4".to_owned(),
            title: title.to_owned(),
        }
    }

    /// Runs `ffmpeg` with these arguments and returns the file that it wrote.
    pub(crate) fn made(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.folder.path().join(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(&path);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        path
    }
}

pub(crate) fn owner() -> UserId {
    UserId::new(1, &[3; 10])
}

pub(crate) fn sandbox() -> Sandbox {
    Sandbox::beside_current_exe(Isolation::Strict)
        .unwrap_or_else(|error| panic!("{error}: build the workspace first (cargo build --package mcsp-media)"))
}

pub(crate) fn file(path: &Path) -> Source {
    Source::file(Arc::new(std::fs::File::open(path).unwrap())).unwrap()
}

/// Returns the context of a first run on an event.
pub(crate) fn context<E: Event>(event: &E) -> Context {
    let headers = Headers {
        id: EventId::derived(&[b"test"]),
        kind: E::TOPICS[0].name().to_owned(),
        version: E::VERSION,
        source: "test".to_owned(),
        time_us: 1_760_000_000_000_000,
        traceparent: None,
        cause: None,
        worker: None,
        attempt: None,
        started_us: None,
        dead: None,
    };
    Context::alone(headers, &event.key())
}

/// Returns the one event that came out.
pub(crate) fn only<E: Event + DeserializeOwned>(outgoing: &[Outgoing]) -> E {
    assert_eq!(outgoing.len(), 1, "{outgoing:?}");
    assert_eq!(*outgoing[0].topic(), E::TOPICS[0].into(), "{outgoing:?}");
    serde_json::from_slice(outgoing[0].payload()).unwrap()
}

/// Returns what `ffprobe` says of a file's first video stream: codec, width, height.
pub(crate) fn probed(path: &Path) -> String {
    let entries = "stream=codec_name,width,height";
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0"]).arg(path);
    let output = command.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().trim_matches(',').to_owned()
}
