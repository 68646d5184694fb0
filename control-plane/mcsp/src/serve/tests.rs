//! The server as a client sees it: raw requests over TCP, so that no client tidies a path first.

use std::path::Path;

use mcsp_domain::{ContentKey, KeyId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ServeOptions, bind};

const KID: [u8; 16] = [0xa1; 16];
const KEY: [u8; 16] = [0xfb; 16];
const KID_TEXT: &str = "oaGhoaGhoaGhoaGhoaGhoQ";
const KEY_TEXT: &str = "-_v7-_v7-_v7-_v7-_v7-w";

/// A served folder beside the things that must never be served.
struct World {
    home: tempfile::TempDir,
    address: std::net::SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl World {
    async fn with_keys(keys: Vec<(KeyId, ContentKey)>) -> Self {
        let home = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("film/manifest.mpd", "<MPD/>"),
            ("film/master.m3u8", "#EXTM3U"),
            ("film/report.json", "{}"),
            ("film/sd/init.mp4", "init"),
            ("film/sd/1.m4s", "0123456789"),
            ("film/secret.keys.json", "SECRET"),
            ("film/.hidden/1.m4s", "SECRET"),
            ("film.keys.json", "SECRET"),
            ("film.work/plan.json", "SECRET"),
            ("outside.mp4", "SECRET"),
        ] {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("../outside.mp4", home.path().join("film/link.mp4")).unwrap();
        std::os::unix::fs::symlink("..", home.path().join("film/up")).unwrap();
        let server = bind(options(&home.path().join("film"), "127.0.0.1:0", keys)).await.unwrap();
        let address = server.address();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        Self { home, address, stop: Some(stop), server: tokio::spawn(server.run(shutdown)) }
    }

    async fn new() -> Self {
        Self::with_keys(vec![(KeyId::from_bytes(KID), ContentKey::from_bytes(KEY))]).await
    }

    /// Sends a request line with header lines and a body, and returns the whole answer as text.
    async fn ask(&self, request: &str, headers: &[&str], body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let len_bytes = body.len();
        let text = format!(
            "{request} HTTP/1.1\r\nhost: film\r\nconnection: close\r\ncontent-length: {len_bytes}\r\n{headers}\r\n{body}"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str, headers: &[&str]) -> String {
        self.ask(&format!("GET {path}"), headers, "").await
    }

    async fn licence(&self, body: &str) -> String {
        self.ask("POST /licence", &["content-type: application/json"], body).await
    }
}

fn options(dir: &Path, listen: &str, keys: Vec<(KeyId, ContentKey)>) -> ServeOptions {
    ServeOptions { dir: dir.to_owned(), listen: listen.parse().unwrap(), allow_remote: false, keys }
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn files_have_their_media_types() {
    let world = World::new().await;
    for (path, content_type, text) in [
        ("/media/manifest.mpd", "application/dash+xml", "<MPD/>"),
        ("/media/master.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U"),
        ("/media/report.json", "application/json", "{}"),
        ("/media/sd/init.mp4", "video/mp4", "init"),
        ("/media/sd/1.m4s?x=../y", "video/iso.segment", "0123456789"),
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!((status(&answer), body(&answer)), (200, text), "{path}");
        assert_eq!(header(&answer, "content-type"), Some(content_type), "{path}");
        assert_eq!(header(&answer, "x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn ranges_are_cut_to_the_byte() {
    let world = World::new().await;
    for (range, want_status, want_range, want_body) in [
        ("bytes=2-5", 206, "bytes 2-5/10", "2345"),
        ("bytes=7-", 206, "bytes 7-9/10", "789"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("bytes=0-0", 206, "bytes 0-0/10", "0"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=5-2", 416, "bytes */10", ""),
        ("bytes=0-1,4-5", 200, "", "0123456789"),
    ] {
        let answer = world.get("/media/sd/1.m4s", &[&format!("range: {range}")]).await;
        assert_eq!((status(&answer), body(&answer)), (want_status, want_body), "{range}");
        assert_eq!(header(&answer, "content-range").unwrap_or_default(), want_range, "{range}");
        let len_bytes = want_body.len().to_string();
        assert_eq!(header(&answer, "content-length"), Some(len_bytes.as_str()), "{range}");
    }
}

#[tokio::test]
async fn a_range_with_an_outdated_tag_gets_the_whole_file() {
    let world = World::new().await;
    let whole = world.get("/media/sd/1.m4s", &[]).await;
    let tag = header(&whole, "etag").unwrap();
    let date = header(&whole, "last-modified").unwrap();
    for (condition, want) in [(tag, 206), (date, 206), ("\"other\"", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 200)] {
        let headers = ["range: bytes=1-2", &format!("if-range: {condition}")];
        assert_eq!(status(&world.get("/media/sd/1.m4s", &headers).await), want, "{condition}");
    }
    assert_eq!(status(&world.get("/media/sd/1.m4s", &[&format!("if-none-match: {tag}")]).await), 304);
}

#[tokio::test]
async fn head_tells_the_length_and_sends_nothing() {
    let world = World::new().await;
    let answer = world.ask("HEAD /media/sd/1.m4s", &[], "").await;
    assert_eq!((status(&answer), header(&answer, "content-length"), body(&answer)), (200, Some("10"), ""));
    let answer = world.ask("PUT /media/sd/1.m4s", &[], "x").await;
    assert_eq!((status(&answer), header(&answer, "allow")), (405, Some("GET, HEAD, OPTIONS")));
}

#[tokio::test]
async fn nothing_outside_the_film_is_reachable() {
    let world = World::new().await;
    assert!(world.home.path().join("film.keys.json").is_file());
    for path in [
        "/media/../film.keys.json",
        "/media/..%2ffilm.keys.json",
        "/media/%2e%2e/film.keys.json",
        "/media/%2e%2e%2ffilm.keys.json",
        "/media/.%2e/film.keys.json",
        "/media/%2f..%2ffilm.keys.json",
        "/media/%252e%252e/film.keys.json",
        "/media/..%5cfilm.keys.json",
        "/media//../film.keys.json",
        "/media//etc/passwd",
        "/media/%2fetc%2fpasswd",
        "//media/../film.keys.json",
        "/media/sd/../../film.keys.json",
        "/media/sd/../../film.work/plan.json",
        "/media/sd/./1.m4s",
        "/media/./sd/1.m4s",
        "/media/sd//1.m4s",
        "/media/sd/1.m4s/",
        "/media/sd%2f1.m4s",
        "/media/sd/1.m4s%00",
        "/media/sd",
        "/media/sd/",
        "/media/.hidden/1.m4s",
        "/media/secret.keys.json",
        "/media/sd/report.json",
        "/media/link.mp4",
        "/media/up/outside.mp4",
        "/media/up/film/sd/1.m4s/../../../../outside.mp4",
        "/film.keys.json",
        "/assets/..%2fwatch.html",
        "/assets/../film.keys.json",
    ] {
        let answer = world.get(path, &[]).await;
        assert!(matches!(status(&answer), 400 | 404), "{path}: {answer}");
        assert!(!answer.contains("SECRET"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_licence_holds_the_asked_keys_of_this_film_alone() {
    let world = World::new().await;
    let answer =
        world.licence(&format!(r#"{{"kids":["{KID_TEXT}","AAAAAAAAAAAAAAAAAAAAAA"],"type":"temporary"}}"#)).await;
    assert_eq!(status(&answer), 200);
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(header(&answer, "cache-control"), Some("no-store"));
    let want = format!(r#"{{"keys":[{{"kty":"oct","kid":"{KID_TEXT}","k":"{KEY_TEXT}"}}],"type":"temporary"}}"#);
    assert_eq!(body(&answer), want);
}

#[tokio::test]
async fn what_is_no_licence_request_is_refused_by_name() {
    let world = World::new().await;
    let long = format!(r#"{{"kids":["{}"]}}"#, "A".repeat(70_000));
    for (request, want_status, want) in [
        ("", 400, "the body is not a ClearKey licence request"),
        ("[]", 400, "the body is not a ClearKey licence request"),
        (r#"{"kids":"x"}"#, 400, "the body is not a ClearKey licence request"),
        (r#"{"kids":["x"]}"#, 400, "a key id is not 16 bytes in base64url"),
        (r#"{"kids":["oaGhoaGhoaGhoaGhoaGhoQ"],"type":"persistent-license"}"#, 400, "only temporary licences"),
        (r#"{"kids":[]}"#, 404, "no asked key id belongs to this film"),
        (r#"{"kids":["AAAAAAAAAAAAAAAAAAAAAA"]}"#, 404, "no asked key id belongs to this film"),
        (&long, 413, "length limit exceeded"),
    ] {
        let answer = world.licence(request).await;
        assert_eq!(status(&answer), want_status, "{answer}");
        assert_eq!(header(&answer, "content-type"), Some("application/problem+json"), "{answer}");
        assert!(body(&answer).contains(want), "{answer}");
        assert!(!answer.contains(KEY_TEXT), "{answer}");
    }
    let clear = World::with_keys(Vec::new()).await;
    let answer = clear.licence(&format!(r#"{{"kids":["{KID_TEXT}"]}}"#)).await;
    assert_eq!(status(&answer), 404);
    assert!(body(&answer).contains("this film is not encrypted"), "{answer}");
    assert_eq!(status(&world.get("/licence", &[]).await), 405);
}

#[tokio::test]
async fn other_origins_may_read_film_and_licence() {
    let world = World::new().await;
    let answer = world.get("/media/sd/1.m4s", &["origin: http://player.example", "range: bytes=0-1"]).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
    let exposed = header(&answer, "access-control-expose-headers").unwrap();
    assert!(exposed.contains("content-length") && exposed.contains("content-range"), "{exposed}");
    for (path, method) in [("/media/sd/1.m4s", "GET"), ("/licence", "POST")] {
        let headers = [
            "origin: http://player.example",
            &format!("access-control-request-method: {method}"),
            "access-control-request-headers: content-type,range",
        ];
        let answer = world.ask(&format!("OPTIONS {path}"), &headers, "").await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "access-control-allow-headers"), Some("*"));
        assert!(header(&answer, "access-control-allow-methods").unwrap().contains(method), "{answer}");
    }
    let page = world.get("/", &["origin: http://player.example"]).await;
    assert_eq!(header(&page, "access-control-allow-origin"), None);
}

#[tokio::test]
async fn the_page_and_its_files_come_from_the_binary() {
    let world = World::new().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/watch.js", "text/javascript; charset=utf-8"),
        ("/assets/watch.css", "text/css; charset=utf-8"),
        ("/assets/shaka-player.js", "text/javascript; charset=utf-8"),
        ("/assets/hls.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!((status(&answer), header(&answer, "content-type")), (200, Some(content_type)), "{path}");
        assert!(header(&answer, "content-security-policy").unwrap().contains("default-src 'none'"), "{path}");
    }
    assert_eq!(status(&world.get("/assets/nothing.js", &[]).await), 404);
    assert_eq!(status(&world.get("/nothing", &[]).await), 404);
}

#[tokio::test]
async fn other_machines_and_empty_folders_are_refused() {
    let world = World::new().await;
    let film = world.home.path().join("film");
    let refused = |error: anyhow::Error| format!("{error:#}");
    let error = refused(bind(options(&film, "0.0.0.0:0", Vec::new())).await.err().unwrap());
    assert!(error.contains("0.0.0.0:0 is reachable from other machines"), "{error}");
    let error = refused(bind(options(world.home.path(), "127.0.0.1:0", Vec::new())).await.err().unwrap());
    assert!(error.contains("holds neither manifest.mpd nor master.m3u8"), "{error}");
    let asked = ServeOptions { allow_remote: true, ..options(&film, "0.0.0.0:0", Vec::new()) };
    assert!(bind(asked).await.is_ok());
}

#[tokio::test]
async fn the_signal_ends_the_server() {
    let mut world = World::new().await;
    assert_eq!(status(&world.get("/", &[]).await), 200);
    world.stop.take().unwrap().send(()).unwrap();
    world.server.await.unwrap().unwrap();
}
