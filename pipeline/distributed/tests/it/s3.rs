//! The object store on a real S3 server keeps its port's promises, and says clearly what is wrong with a bucket. `MCSP_S3`
//! names server and bucket, such as `http://127.0.0.1:8333/mcsp-tests`, and `MCSP_S3_LOGIN` the key pair.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

mod lossy;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use lossy::{Loss, Lossy};
use mcsp_distributed::{Login, S3Error, S3Options, S3Store};
use mcsp_domain::limits::UPLOAD_PART_BYTES_MIN;
use mcsp_domain::{Bucket, Digest, ObjectKey};
use mcsp_runtime::conformance::{HttpAnswer, HttpCall};
use mcsp_runtime::{
    BoundHeaders, ObjectStore, PartTag, PresignCall, PresignRequest, Put, PutIf, ScopedStore, StoreError, conformance,
};

use sha2::Digest as _;

use crate::engine;

fn options() -> Option<S3Options> {
    let address = engine::address("s3")?;
    let (endpoint, bucket) = address.rsplit_once('/').unwrap();
    let login = engine::login("s3").unwrap_or_else(|| panic!("MCSP_S3_LOGIN is not set beside MCSP_S3"));
    let options = S3Options::new(endpoint, Bucket::parse(bucket).unwrap(), login);
    Some(S3Options { open_wait: Duration::ZERO, ..options })
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

/// A folder that nobody else has, on any server.
fn folder() -> ObjectKey {
    key(&format!("tests/{}", uuid::Uuid::now_v7().simple()))
}

async fn send(call: HttpCall) -> HttpAnswer {
    let http = reqwest::Client::new();
    let mut request = http.request(call.method.parse().unwrap(), call.url).body(call.body);
    for (name, value) in call.headers.iter().filter(|(name, _)| name != "content-length") {
        request = request.header(name, value);
    }
    let answer = request.send().await.unwrap();
    let etag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().trim_matches('"').to_owned());
    HttpAnswer { status: answer.status().as_u16(), etag, body: answer.bytes().await.unwrap() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_its_ports_promises() {
    let Some(options) = options() else { return };
    let store: Arc<dyn ObjectStore> = Arc::new(S3Store::open(&options).await.unwrap());
    let make = || async { Arc::new(ScopedStore::new(Arc::clone(&store), folder())) as Arc<dyn ObjectStore> };
    conformance::object_store(make).await;
    conformance::presigned_urls(make, send).await;
}

#[tokio::test]
async fn lists_names_that_share_a_beginning_in_the_order_of_their_bytes() {
    let Some(options) = options() else { return };
    let store = S3Store::open(&options).await.unwrap();
    let root = folder();
    let names =
        ["a-b", "a-d/z", "a.c", "a/-x/1", "a/x", "a/y/1", "a/y-/1", "a0", "a_/q", "A", "_", "-x/1", "-x-/1", "b"];
    for name in names {
        store.put(&root.join(&key(name)).unwrap(), Bytes::new(), PutIf::Always).await.unwrap();
    }
    let mut expected: Vec<String> = names.iter().map(|name| format!("{root}/{name}")).collect();
    expected.sort_unstable();
    let listed = |keys: Vec<ObjectKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(listed(store.list(&root, None).await.unwrap()), expected);
    for (index, after) in expected.iter().enumerate() {
        let found = listed(store.list(&root, Some(&key(after))).await.unwrap());
        assert_eq!(found, expected[index + 1..], "after {after}");
    }
    for name in names {
        store.delete(&root.join(&key(name)).unwrap()).await.unwrap();
    }
    assert_eq!(store.list(&root, None).await.unwrap(), [], "folders that are left empty hold nothing");
}

#[tokio::test]
async fn large_objects_come_in_pieces_and_leave_nothing_when_dropped() {
    let Some(options) = options() else { return };
    let store = S3Store::open(&options).await.unwrap();
    let film = folder().join(&key("film")).unwrap();
    // Three parts, written in pieces that fit none of them.
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| at.to_le_bytes()[usize::from(at % 3 == 0)]).collect();
    let mut upload = store.begin(&film).await.unwrap();
    for piece in bytes.chunks(999_983) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert_eq!(store.head(&film).await.unwrap(), None);
    let Put::Stored { etag } = upload.finish(PutIf::Absent).await.unwrap() else { panic!("the key was free") };
    assert!(etag.as_str().ends_with("-3"), "{etag}");
    assert!(store.get(&film).await.unwrap() == bytes);
    let seam = (8 << 20) - 3..(8 << 20) + 3;
    let range = u64::try_from(seam.start).unwrap()..u64::try_from(seam.end).unwrap();
    assert_eq!(store.get_range(&film, range, Some(&etag)).await.unwrap(), bytes[seam]);

    let large = Bytes::from(vec![7; 9 << 20]);
    for finishes in [true, false] {
        let mut late = store.begin(&film).await.unwrap();
        late.write(large.clone()).await.unwrap();
        if finishes {
            assert_eq!(late.finish(PutIf::Absent).await.unwrap(), Put::Kept);
        } else {
            drop(late);
        }
    }
    let client = raw_client(&options);
    let begin = Instant::now();
    while open_uploads(&client, &options, &film).await > 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "parts were left behind");
    }
    store.delete(&film).await.unwrap();
}

fn raw_client(options: &S3Options) -> aws_sdk_s3::Client {
    use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
    let login = &options.login;
    let credentials = Credentials::new(&login.user, login.password.as_str(), None, None, "test");
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = Config::builder().behavior_version(BehaviorVersion::latest()).http_client(http);
    let config = config.region(Region::new("us-east-1")).credentials_provider(credentials).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.endpoint_url(options.endpoint.clone().unwrap()).build())
}

async fn open_uploads(client: &aws_sdk_s3::Client, options: &S3Options, key: &ObjectKey) -> usize {
    let call = client.list_multipart_uploads().bucket(options.bucket.as_str()).prefix(key.as_str());
    call.send().await.unwrap().uploads().iter().filter(|upload| upload.key() == Some(key.as_str())).count()
}

#[tokio::test]
async fn abandoned_uploads_are_swept_and_others_are_not() {
    let Some(options) = options() else { return };
    let store = S3Store::open(&options).await.unwrap();
    let film = folder().join(&key("film")).unwrap();
    let abandoned = store.create_multipart(&film).await.unwrap();
    store.put_part(&film, &abandoned, 1, Bytes::from_static(b"part")).await.unwrap();
    store.sweep(Duration::from_secs(3600)).await.unwrap();
    assert_eq!(store.list_parts(&film, &abandoned).await.unwrap().len(), 1, "it is young");
    // Other tests of this server begin uploads too: nothing younger than a few seconds is given up.
    let begin = Instant::now();
    while store.list_parts(&film, &abandoned).await.is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it was not given up");
        store.sweep(Duration::from_secs(20)).await.unwrap();
    }
    assert!(begin.elapsed() > Duration::from_secs(15), "given up after {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_part_cannot_be_other_than_announced() {
    let Some(options) = options() else { return };
    let store = S3Store::open(&options).await.unwrap();
    let film = folder().join(&key("film")).unwrap();
    let upload = store.create_multipart(&film).await.unwrap();
    let bytes = Bytes::from(vec![3; usize::try_from(UPLOAD_PART_BYTES_MIN).unwrap()]);
    let digest = Digest::from_bytes(sha2::Sha256::digest(&bytes).into());
    let bound = BoundHeaders {
        absent: false,
        content_length_bytes: Some(UPLOAD_PART_BYTES_MIN),
        checksum_sha256: Some(digest),
    };
    let part = PresignCall::UploadPart { upload: upload.clone(), number: 1 };
    let presigned =
        store.presign(PresignRequest { call: part, key: film.clone(), expires_s: 60, bound }).await.unwrap();
    let checksum = ("x-amz-checksum-sha256".to_owned(), BASE64_STANDARD.encode(digest.as_bytes()));
    assert!(presigned.headers.contains(&checksum), "{:?}", presigned.headers);
    let call = |body: Bytes, without: &str| {
        let headers = presigned.headers.iter().filter(|(name, _)| name != without).cloned().collect();
        send(HttpCall { method: presigned.method, url: presigned.url.clone(), headers, body })
    };
    let mut other = bytes.to_vec();
    other[77] ^= 1;
    assert_eq!(call(Bytes::from(other), "").await.status, 400, "other bytes");
    assert_eq!(call(bytes.slice(1..), "").await.status, 403, "fewer bytes");
    assert_eq!(call(bytes.clone(), "x-amz-checksum-sha256").await.status, 403, "without its checksum");
    assert_eq!(store.list_parts(&film, &upload).await.unwrap(), []);
    let answer = call(bytes.clone(), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let tags = [PartTag { number: 1, etag: mcsp_runtime::Etag::parse(&answer.etag.unwrap()).unwrap() }];
    assert!(matches!(
        store.complete_multipart(&film, &upload, &tags, PutIf::Absent).await.unwrap(),
        Put::Stored { .. }
    ));
    assert!(store.get(&film).await.unwrap() == bytes);
    store.delete(&film).await.unwrap();
}

/// Sixteen calls complete one upload at once: each learns that its object is there, and it is there once.
#[tokio::test]
async fn one_upload_completed_by_many_is_one_object() {
    let Some(options) = options() else { return };
    let store = Arc::new(S3Store::open(&options).await.unwrap());
    let film = folder().join(&key("film")).unwrap();
    let upload = store.create_multipart(&film).await.unwrap();
    let tag = store.put_part(&film, &upload, 1, Bytes::from_static(b"film")).await.unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (store, film, upload, tag) = (Arc::clone(&store), film.clone(), upload.clone(), tag.clone());
        racers.spawn(async move { store.complete_multipart(&film, &upload, &[tag], PutIf::Absent).await.unwrap() });
    }
    let answers = racers.join_all().await;
    let etag = store.head(&film).await.unwrap().unwrap().etag;
    assert!(answers.iter().all(|put| *put == Put::Stored { etag: etag.clone() }), "{answers:?}");
    let other = store.create_multipart(&film).await.unwrap();
    let tag = store.put_part(&film, &other, 1, Bytes::from_static(b"film")).await.unwrap();
    let kept = store.complete_multipart(&film, &other, &[tag], PutIf::Absent).await.unwrap();
    assert_eq!(kept, Put::Kept, "another upload of the same bytes made nothing");
    store.delete(&film).await.unwrap();
}

/// An answer that is lost on the way must not make a writer believe that another was faster.
#[tokio::test]
async fn a_lost_answer_is_no_lost_race() {
    let Some(options) = options() else { return };
    let lossy = Lossy::before(options.endpoint.as_deref().unwrap()).await;
    let store = S3Store::open(&S3Options { endpoint: Some(lossy.url()), ..options.clone() }).await.unwrap();
    let root = folder();
    let (first, film) = (root.join(&key("first")).unwrap(), root.join(&key("film")).unwrap());
    lossy.lose_next(Loss::Answer, "PUT");
    let put = store.put(&first, Bytes::from_static(b"mine"), PutIf::Absent).await.unwrap();
    let Put::Stored { etag } = put else { panic!("its own object was taken for another's") };
    lossy.lose_next(Loss::Answer, "PUT");
    let put = store.put(&first, Bytes::from_static(b"next"), PutIf::Matches(etag.clone())).await.unwrap();
    assert!(matches!(put, Put::Stored { .. }), "{put:?}");
    assert_eq!(store.put(&first, Bytes::from_static(b"late"), PutIf::Matches(etag)).await.unwrap(), Put::Kept);
    assert_eq!(lossy.lost(), 2);

    let upload = store.create_multipart(&film).await.unwrap();
    let tag = store.put_part(&film, &upload, 1, Bytes::from_static(b"film")).await.unwrap();
    lossy.lose_next(Loss::Answer, "POST");
    let done = store.complete_multipart(&film, &upload, &[tag], PutIf::Absent).await.unwrap();
    assert!(matches!(done, Put::Stored { .. }), "{done:?}");
    lossy.lose_next(Loss::HalfABody, "GET");
    assert_eq!(store.get(&film).await.unwrap(), "film");
    assert_eq!(lossy.lost(), 4);
    for gone in [first, film] {
        store.delete(&gone).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_bucket_is_said() {
    let Some(options) = options() else { return };
    let endpoint = options.endpoint.clone().unwrap();
    let open = async |options: &S3Options| {
        let error = S3Store::open(options).await.err().unwrap();
        let told = format!("{} {error:?}", mcsp_runtime::chain(&error));
        assert!(!told.contains("wr0ng"), "{told}");
        (error.to_string(), error.may_pass())
    };
    let missing = S3Options { bucket: Bucket::parse("no-such-bucket").unwrap(), ..options.clone() };
    assert_eq!(open(&missing).await, (format!("S3 at {endpoint} has no bucket no-such-bucket"), false));
    let login = |user: &str| Login { user: user.to_owned(), password: "wr0ng".to_owned().into() };
    for (user, code) in [(options.login.user.as_str(), "SignatureDoesNotMatch"), ("nobody", "InvalidAccessKeyId")] {
        let wrong = S3Options { login: login(user), ..options.clone() };
        let told = format!("S3 at {endpoint} refuses access key {user:?} at bucket {}: {code}", options.bucket);
        assert_eq!(open(&wrong).await, (told, false));
    }
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = S3Options { endpoint: Some(format!("http://127.0.0.1:{port}")), ..options.clone() };
    let begin = Instant::now();
    let (told, may_pass) = open(&away).await;
    assert!(
        told.starts_with(&format!("S3 at http://127.0.0.1:{port} does not answer for bucket ")) && may_pass,
        "{told}"
    );
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    let mut untrusted = S3Options { endpoint: Some("https://127.0.0.1".to_owned()), ..options.clone() };
    untrusted.tls.authorities = Some(folder.path().join("ca.pem"));
    let error = S3Store::open(&untrusted).await.err().unwrap();
    assert!(matches!(error, S3Error::Tls { .. }), "{error:?}");
    let with_login = S3Options { endpoint: Some("http://me:wr0ng@127.0.0.1".to_owned()), ..options.clone() };
    assert!(open(&with_login).await.0.contains("without a login"));
}

#[tokio::test]
async fn a_server_that_went_away_is_an_error_that_names_the_object() {
    let Some(options) = options() else { return };
    let lossy = Lossy::before(options.endpoint.as_deref().unwrap()).await;
    let store = S3Store::open(&S3Options { endpoint: Some(lossy.url()), ..options.clone() }).await.unwrap();
    let film = folder().join(&key("film")).unwrap();
    lossy.close();
    let begin = Instant::now();
    for answer in [
        store.put(&film, Bytes::from_static(b"x"), PutIf::Absent).await.map(drop),
        store.get(&film).await.map(drop),
        store.head(&film).await.map(drop),
        store.list(&film, None).await.map(drop),
        store.delete(&film).await,
        store.create_multipart(&film).await.map(drop),
    ] {
        let error = answer.unwrap_err();
        assert!(matches!(&error, StoreError::Io { key, .. } if *key == film.to_string()), "{error:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
}

/// Addresses begin with the name under which clients reach the server, and ask nothing of them that was not bound.
#[tokio::test]
async fn addresses_are_made_for_the_outside() {
    let Some(options) = options() else { return };
    let public_endpoint = Some("https://media.example.org".to_owned());
    let store = S3Store::open(&S3Options { public_endpoint, ..options.clone() }).await.unwrap();
    let (call, bound) = (PresignCall::Put, BoundHeaders::default());
    let request = PresignRequest { call, key: key("film"), expires_s: 60, bound };
    let presigned = store.presign(request).await.unwrap();
    let begins = format!("https://media.example.org/{}/film?", options.bucket);
    assert!(presigned.url.starts_with(&begins) && !presigned.url.contains("checksum"), "{}", presigned.url);
    assert_eq!(presigned.headers, []);
}
