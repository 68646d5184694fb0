//! Opening upload sessions, as a rate that many creators at once get out of it, the load beside it on the same processors.
//!
//! Two ways: the service alone, on a disk and on a file system in memory; and a whole platform over HTTP, where `MCSP_URL`
//! names one that runs (`mcsp up`). Durability: the draft in the catalog is on the disk before a session is answered, and
//! those that wait together share one sync; the session itself survives the process.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its rows and panics as its report")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mcsp_catalog::Catalog;
use mcsp_domain::{Bucket, SubscriptionTier, UserId, Visibility};
use mcsp_embedded::{Durability, FileStore, Presigner, S3Credentials, SqliteTtl};
use mcsp_runtime::{Buckets, ObjectStore};
use mcsp_services::upload::{NewFile, NewUpload, ResidencyPolicy, UploadService, UploadSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Creators who ask at once.
const CALLERS: usize = 64;
/// Sessions that one creator opens: within the default limit of open ones.
const SESSIONS_EACH: usize = 150;
/// Bytes of a clip, which goes up in one call.
const CLIP_BYTES: u64 = 5_000_000;
/// Bytes of a film, which goes up in parts.
const FILM_BYTES: u64 = 4 << 30;
/// Names a platform that runs, such as `http://127.0.0.1:8090`.
const URL: &str = "MCSP_URL";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Beside the build, so that the disk is measured and not a file system in memory.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fdatasync(&disk.path().join("plain"));
    alone(disk.path(), "draft synced to the disk").await;
    if let Ok(memory) = tempfile::tempdir_in("/dev/shm") {
        alone(memory.path(), "in memory, nothing to sync").await;
    }
    match std::env::var(URL) {
        Ok(url) => over_http(&url).await,
        Err(_) => println!("over HTTP: not measured, {URL} names no platform"),
    }
}

/// The same disk without a database: one block written and synced at a time.
fn fdatasync(path: &Path) {
    let mut file = std::fs::File::create(path).unwrap();
    let begin = Instant::now();
    for _ in 0..500 {
        file.write_all(&[0; 4096]).unwrap();
        file.sync_data().unwrap();
    }
    row("plain file, 4 KiB written and fdatasync, one by one", 500, begin.elapsed(), Vec::new());
}

async fn alone(folder: &Path, durability: &str) {
    let uploads = service(folder).await;
    open(&uploads, &format!("clips of 5 MB, service alone, {durability}"), 0, SESSIONS_EACH, CLIP_BYTES, 100).await;
    open(&uploads, &format!("films of 4 GiB, no part listed, {durability}"), 1, SESSIONS_EACH, FILM_BYTES, 0).await;
    open(&uploads, &format!("films of 4 GiB, 100 parts listed, {durability}"), 2, 5, FILM_BYTES, 100).await;
}

async fn service(folder: &Path) -> UploadService {
    let catalog = Catalog::open(&format!("sqlite:{}", folder.join("catalog.db").display())).await.unwrap();
    let sessions = SqliteTtl::open(&folder.join("sessions.db")).await.unwrap();
    let bucket = Bucket::parse("media-eu").unwrap();
    let pair = S3Credentials { access_key: "bench".to_owned(), secret_key: "bench".to_owned() };
    let presigner = Presigner::new("http://127.0.0.1:9000", bucket.clone(), pair).unwrap();
    let store = FileStore::open(&folder.join("objects"), Durability::Object).unwrap().with_presigner(presigner);
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let residency = ResidencyPolicy::without_rules("eu", [("eu".to_owned(), bucket.clone())].into()).unwrap();
    let buckets = Buckets::new([(bucket, store)]);
    UploadService::new(catalog, Arc::new(sessions), buckets, residency, UploadSettings::default())
}

async fn open(uploads: &UploadService, what: &str, series: u8, each: usize, size_bytes: u64, addresses_max: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for caller in 0..CALLERS {
        let uploads = uploads.clone();
        let mut owner = [series; 16];
        owner[15] = u8::try_from(caller).unwrap();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..each {
                let file = NewFile { file_name: "holiday.mp4".to_owned(), size_bytes, sha256: None, addresses_max };
                let new = NewUpload {
                    file,
                    title: None,
                    description: String::new(),
                    visibility: Visibility::Private,
                    tier: SubscriptionTier::Free,
                    region: None,
                    country: None,
                };
                let start = Instant::now();
                uploads.create(UserId::from_bytes(owner), new).await.unwrap();
                times.push(start.elapsed());
            }
            times
        });
    }
    let times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    row(what, times.len(), begin.elapsed(), times);
}

async fn over_http(url: &str) {
    let host: Arc<str> = url.trim_start_matches("http://").trim_end_matches('/').into();
    let run = std::process::id();
    let mut tokens = Vec::new();
    for caller in 0..CALLERS {
        let email = format!("bench-{run}-{caller}@example.org");
        let password = "correct horse battery staple";
        let mut connection = Connection::open(&host).await;
        let account = json!({"email": email, "password": password, "display_name": "bench", "role": "creator"});
        connection.post("/api/v1/auth/register", None, &account, 201).await;
        let login = json!({"email": email, "password": password});
        let answer = connection.post("/api/v1/auth/login", None, &login, 200).await;
        tokens.push(answer["access_token"].as_str().unwrap().to_owned());
    }
    let refused = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for token in tokens {
        let host = Arc::clone(&host);
        let refused = Arc::clone(&refused);
        tasks.spawn(async move {
            let mut connection = Connection::open(&host).await;
            let mut times = Vec::new();
            let new = json!({"file_name": "holiday.mp4", "size_bytes": CLIP_BYTES});
            for _ in 0..SESSIONS_EACH {
                let start = Instant::now();
                let (status, _) = connection.call("/api/v1/uploads/session", Some(&token), &new).await;
                if status == 201 {
                    times.push(start.elapsed());
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            times
        });
    }
    let times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    row("clips of 5 MB, POST /api/v1/uploads/session, as the platform is set up", times.len(), begin.elapsed(), times);
    println!("  refused: {}", refused.load(Ordering::Relaxed));
}

/// One connection that is kept: the least a load generator can be, so that it takes little from what it measures.
struct Connection {
    stream: TcpStream,
    host: Arc<str>,
    read: Vec<u8>,
}

impl Connection {
    async fn open(host: &Arc<str>) -> Self {
        let stream = TcpStream::connect(&**host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, host: Arc::clone(host), read: Vec::new() }
    }

    async fn post(&mut self, path: &str, token: Option<&str>, body: &Value, expected: u16) -> Value {
        let (status, answer) = self.call(path, token, body).await;
        assert_eq!(status, expected, "{path}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap()
    }

    async fn call(&mut self, path: &str, token: Option<&str>, body: &Value) -> (u16, Vec<u8>) {
        let body = body.to_string();
        let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\n{token}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        self.stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        self.read.clear();
        loop {
            if let Some(answer) = answer(&self.read) {
                return answer;
            }
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "the platform hung up");
        }
    }
}

/// Reads status and body once they are all there.
fn answer(read: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = read.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let body = read.get(end + 4..end + 4 + length.parse::<usize>().unwrap())?;
    Some((status, body.to_vec()))
}

fn row(what: &str, count: usize, took: Duration, mut times: Vec<Duration>) {
    let rate = f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64();
    times.sort();
    let at = |share: usize| times.get(times.len() * share / 1000).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("{what:<72} {rate:>8.0} /s  p50 {:>7.2} ms  p99 {:>7.2} ms", at(500), at(990));
}
