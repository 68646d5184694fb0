//! What the endpoint must not let through, and clients that stop half way.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_they_claim_leave_nothing() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let put = || s3.put_object().bucket(BUCKET).key("w").body(body(b"bytes"));
    let of_four = BASE64_STANDARD.encode([0; 4]);
    assert_eq!(refusal(put().checksum_sha256(sha256(b"other")).send().await), "400 BadDigest");
    assert_eq!(refusal(put().checksum_crc32(&of_four).send().await), "400 BadDigest");
    assert_eq!(refusal(put().checksum_crc32_c(&of_four).send().await), "400 BadDigest");
    assert_eq!(refusal(put().checksum_sha1(BASE64_STANDARD.encode([0; 20])).send().await), "400 BadDigest");
    assert_eq!(refusal(put().content_md5(BASE64_STANDARD.encode([0; 16])).send().await), "400 BadDigest");
    assert_eq!(refusal(put().content_md5("no digest").send().await), "400 InvalidDigest");
    assert_eq!(
        refusal(s3.put_object().bucket(BUCKET).key("a//b").body(body(b"x")).send().await),
        "400 InvalidArgument"
    );
    assert_eq!(served.store.head(&ObjectKey::parse("w").unwrap()).await.unwrap(), None);
    let trailing = client(&served.url, &credentials().secret_key, RequestChecksumCalculation::WhenSupported);
    trailing.put_object().bucket(BUCKET).key("t").body(body(b"bytes")).send().await.unwrap();
    assert_eq!(served.store.get(&ObjectKey::parse("t").unwrap()).await.unwrap(), "bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let served = serve_fresh(S3Options::default()).await;
    let forged = client(&served.url, "guessed", RequestChecksumCalculation::WhenRequired);
    assert_eq!(refusal(forged.list_objects_v2().bucket(BUCKET).send().await), "403 SignatureDoesNotMatch");
    let anonymous = reqwest::get(format!("{}/{BUCKET}/a", served.url)).await.unwrap();
    assert_eq!(anonymous.status(), 403);

    // An address that the SDK made, with a bound checksum.
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let s3 = plain_client(&served);
    let put =
        s3.put_object().bucket(BUCKET).key("p").checksum_sha256(sha256(b"five!")).presigned(config).await.unwrap();
    let call = |bytes: &'static [u8]| HttpCall {
        method: "PUT",
        url: put.uri().to_owned(),
        headers: put.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Bytes::from_static(bytes),
    };
    assert_eq!(send(call(b"other")).await.status, 400);
    assert_eq!(send(call(b"five!")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_put_one_object_cannot_copy_another() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    s3.put_object().bucket(BUCKET).key("secret").body(body(b"secret")).send().await.unwrap();
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = s3.put_object().bucket(BUCKET).key("mine").presigned(config).await.unwrap();
    let escaped = put.uri().replace("X-Amz-SignedHeaders", "X%2DAmz-SignedHeaders");
    for url in [put.uri(), &escaped] {
        for authorization in [None, Some("x SignedHeaders=x-amz-copy-source")] {
            let copy = ("x-amz-copy-source".to_owned(), format!("/{BUCKET}/secret"));
            let forged = authorization.map(|text| ("authorization".to_owned(), text.to_owned()));
            let headers = [copy].into_iter().chain(forged).collect();
            let call = HttpCall { method: "PUT", url: url.to_owned(), headers, body: Bytes::new() };
            let refused = send(call).await;
            assert!((400..404).contains(&refused.status), "{url} {authorization:?}: {}", refused.status);
        }
    }
    assert_eq!(served.store.head(&ObjectKey::parse("mine").unwrap()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_64_mib_in_chunks_are_taken() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = client(&served.url, &credentials().secret_key, RequestChecksumCalculation::WhenSupported);
    let begun = s3.create_multipart_upload().bucket(BUCKET).key("film").send().await.unwrap();
    let part = s3.upload_part().bucket(BUCKET).key("film").upload_id(begun.upload_id().unwrap()).part_number(1);
    part.body(body(&vec![7; 64 << 20])).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_call_from_the_pages_that_were_named() {
    let page = "https://studio.example.org";
    let options = S3Options { cors_origins: vec![page.to_owned()], ..S3Options::default() };
    let served = serve_fresh(options).await;
    let url = format!("{}/{BUCKET}/a", served.url);
    let http = reqwest::Client::new();
    let preflight = |origin: &'static str| {
        let call = http.request(reqwest::Method::OPTIONS, &url).header("origin", origin);
        call.header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "content-type,if-none-match,x-amz-checksum-sha256")
    };
    let allowed = preflight(page).send().await.unwrap();
    let header = |answer: &reqwest::Response, name: &str| {
        answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    assert_eq!(allowed.status(), 200);
    assert_eq!(header(&allowed, "access-control-allow-origin"), page);
    assert!(header(&allowed, "access-control-allow-methods").contains("PUT"));
    assert!(header(&allowed, "access-control-allow-headers").contains("x-amz-checksum-sha256"));
    let other = preflight("https://evil.example.org").send().await.unwrap();
    assert_eq!(header(&other, "access-control-allow-origin"), "");
    // The page must see a refusal as such, and the tag of what it stored.
    let refused = http.put(&url).header("origin", page).body("x").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), header(&refused, "access-control-allow-origin")), (403, page.to_owned()));
    assert!(header(&refused, "access-control-expose-headers").contains("etag"));
}

/// Opens a connection and sends the beginning of a presigned put that owes 1000 bytes.
async fn half_a_put(served: &Served) -> TcpStream {
    let config = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let put = plain_client(served).put_object().bucket(BUCKET).key("half").presigned(config).await.unwrap();
    let host = served.url.strip_prefix("http://").unwrap();
    let path = put.uri().strip_prefix(&served.url).unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000\r\n\r\nhalf");
    let mut connection = TcpStream::connect(host).await.unwrap();
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_falls_silent_is_let_go() {
    let options = S3Options { body_stall: Duration::from_millis(50), ..S3Options::default() };
    let served = serve_fresh(options).await;
    let mut connection = half_a_put(&served).await;
    let mut answer = vec![0; 4096];
    let len_bytes = tokio::time::timeout(Duration::from_secs(30), connection.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..len_bytes]);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("<Code>RequestTimeout</Code>"), "{answer}");
    assert_eq!(served.store.head(&ObjectKey::parse("half").unwrap()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_that_breaks_off_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path(), S3Options::default()).await;
    let unfinished = || std::fs::read_dir(folder.path().join(".unfinished")).unwrap().count();
    let connection = half_a_put(&served).await;
    wait_for(|| unfinished() == 1).await;
    drop(connection);
    wait_for(|| unfinished() == 0).await;
    assert_eq!(served.store.head(&ObjectKey::parse("half").unwrap()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_is_a_call_at_work() {
    let served = serve_fresh(S3Options { calls_max: 1, ..S3Options::default() }).await;
    // More than the buffers of a connection hold.
    let film = Bytes::from(vec![1; 32 << 20]);
    served.store.put(&ObjectKey::parse("film").unwrap(), film.clone(), mcsp_runtime::PutIf::Always).await.unwrap();
    let s3 = plain_client(&served);
    let slow = s3.get_object().bucket(BUCKET).key("film").send().await.unwrap();
    let ask = async || reqwest::get(format!("{}/{BUCKET}/a", served.url)).await.unwrap().status().as_u16();
    assert_eq!(ask().await, 503);
    assert!(slow.body.collect().await.unwrap().into_bytes() == film);
    let served_again = async { while ask().await != 403 {} };
    tokio::time::timeout(Duration::from_secs(30), served_again).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_calls_are_told_to_slow_down() {
    let served = serve_fresh(S3Options { calls_max: 1, ..S3Options::default() }).await;
    let _at_work = half_a_put(&served).await;
    let ask = async || reqwest::get(format!("{}/{BUCKET}/a", served.url)).await.unwrap();
    let refused = async {
        // 403 until the first call has come in.
        loop {
            let answer = ask().await;
            if answer.status() == 503 {
                break answer.text().await.unwrap();
            }
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert!(text.contains("<Code>SlowDown</Code>"), "{text}");
}
