//! A store with two packages, an edge on a free port, and requests that go out letter by letter.

use std::net::SocketAddr;
use std::sync::Arc;

use mcsp_domain::{Bucket, ContentId, ObjectKey, PlanId, PlaybackId, Revision};
use mcsp_edge::{EdgeSettings, router};
use mcsp_embedded::{Durability, FileStore};
use mcsp_runtime::{Buckets, ObjectStore, PutIf, now_us};
use mcsp_token::{EdgeLease, HmacKey, HmacKeys};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Arc<FileStore>,
    address: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(&folder.path().join("objects"), Durability::Process).unwrap());
        let buckets = Buckets::new([(bucket(), Arc::clone(&store) as Arc<dyn ObjectStore>)]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(EdgeSettings::default(), buckets, keys(1));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let world = Self { folder, store, address };
        for plan in [1, 2] {
            world.put(plan, "master.m3u8", b"#EXTM3U\n").await;
            world.put(plan, "video/00001.m4s", b"0123456789").await;
            world.put(plan, "package.json", b"SECRET").await;
        }
        world
    }

    pub(crate) async fn put(&self, plan: u8, path: &str, bytes: &[u8]) {
        let key = package(plan).join(&ObjectKey::parse(path).unwrap()).unwrap();
        self.store.put(&key, bytes.to_vec().into(), PutIf::Always).await.unwrap();
    }

    /// Sends a request line with header lines, and reads the whole answer.
    pub(crate) async fn ask(&self, request: &str, headers: &[&str]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!("{request} HTTP/1.1\r\nhost: edge\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// Asks for a file of the first package under a lease that works.
    pub(crate) async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask(&format!("GET /t/{}/{path}", lease(1, 60, 60).mint(&keys(1))), headers).await
    }
}

pub(crate) fn bucket() -> Bucket {
    Bucket::parse("media").unwrap()
}

pub(crate) fn package(plan: u8) -> ObjectKey {
    ObjectKey::package(ContentId::from_bytes([7; 16]), Revision::FIRST, PlanId::from_bytes([plan; 16]))
}

pub(crate) fn keys(byte: u8) -> HmacKeys {
    HmacKeys::new(HmacKey::new(&format!("k{byte}"), [byte; 32]).unwrap(), Vec::new()).unwrap()
}

/// Returns a lease of a package whose times end so many seconds from now.
pub(crate) fn lease(plan: u8, manifest_s: i64, media_s: i64) -> EdgeLease {
    let now_s = now_us() / 1_000_000;
    EdgeLease {
        content: ContentId::from_bytes([7; 16]),
        revision: Revision::FIRST,
        folder: package(plan),
        bucket: bucket(),
        playback: PlaybackId::from_bytes([3; 16]),
        manifest_exp_s: now_s + manifest_s,
        media_exp_s: now_s + media_s,
    }
}
