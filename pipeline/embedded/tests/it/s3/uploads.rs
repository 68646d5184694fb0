//! Uploads in parts through the AWS SDK.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_parts() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let begun = s3.create_multipart_upload().bucket(BUCKET).key("film").content_type("video/mp4").send().await.unwrap();
    let id = begun.upload_id().unwrap();
    let bytes = [vec![1; PART_BYTES], vec![2; PART_BYTES], vec![3; 123]];
    let upload = |number: i32, part: &[u8]| {
        s3.upload_part().bucket(BUCKET).key("film").upload_id(id).part_number(number).body(body(part))
    };
    upload(2, b"replaced").send().await.unwrap();
    let mut parts = Vec::new();
    for number in [3, 1, 2] {
        let part = &bytes[usize::try_from(number).unwrap() - 1];
        let stored = upload(number, part).checksum_sha256(sha256(part)).send().await.unwrap();
        parts.push((number, stored.e_tag().unwrap().to_owned()));
    }
    let wrong = upload(2, b"other bytes").checksum_sha256(sha256(b"bytes")).send().await;
    assert_eq!(refusal(wrong), "400 BadDigest");
    parts.sort();
    let complete = |parts: &[(i32, String)]| {
        let call = s3.complete_multipart_upload().bucket(BUCKET).key("film").upload_id(id);
        call.multipart_upload(completed(parts)).if_none_match("*")
    };
    let pages: Vec<_> = {
        let call = s3.list_parts().bucket(BUCKET).key("film").upload_id(id);
        let first = call.clone().max_parts(2).send().await.unwrap();
        assert_eq!(first.is_truncated(), Some(true));
        let rest = call.part_number_marker(first.next_part_number_marker().unwrap()).send().await.unwrap();
        first.parts().iter().chain(rest.parts()).map(|part| part.part_number().unwrap()).collect()
    };
    assert_eq!(pages, [1, 2, 3]);
    let reversed: Vec<_> = parts.iter().rev().cloned().collect();
    assert_eq!(refusal(complete(&reversed).send().await), "400 InvalidPartOrder");
    let swapped = [(1, parts[1].1.clone())];
    assert_eq!(refusal(complete(&swapped).send().await), "400 InvalidPart");
    let done = complete(&parts).send().await.unwrap();
    assert!(done.e_tag().unwrap().ends_with("-3\""));
    assert_eq!(complete(&parts).send().await.unwrap().e_tag(), done.e_tag(), "completing again is success");
    let part = s3.get_object().bucket(BUCKET).key("film").part_number(2).send().await.unwrap();
    assert_eq!((part.parts_count(), part.content_type()), (Some(3), Some("video/mp4")));
    assert!(part.body.collect().await.unwrap().into_bytes() == bytes[1]);
    let whole = s3.get_object().bucket(BUCKET).key("film").send().await.unwrap();
    assert!(whole.body.collect().await.unwrap().into_bytes() == bytes.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_go_wrong_are_refused_and_given_up() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let mut ids = Vec::new();
    for key in ["a/one", "b/two"] {
        let begun = s3.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
        ids.push(begun.upload_id().unwrap().to_owned());
    }
    let listed = s3.list_multipart_uploads().bucket(BUCKET).prefix("b/").send().await.unwrap();
    assert_eq!(listed.uploads().iter().map(|upload| upload.upload_id().unwrap()).collect::<Vec<_>>(), [&ids[1]]);
    let upload = |number: i32| s3.upload_part().bucket(BUCKET).key("a/one").upload_id(&ids[0]).part_number(number);
    let mut parts = Vec::new();
    for number in [1, 2] {
        let stored = upload(number).body(body(b"small")).send().await.unwrap();
        parts.push((number, stored.e_tag().unwrap().to_owned()));
    }
    assert_eq!(refusal(upload(10_001).body(body(b"x")).send().await), "400 InvalidArgument");
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("a/one").upload_id(&ids[0]);
    assert_eq!(refusal(complete.multipart_upload(completed(&parts)).send().await), "400 EntityTooSmall");
    let abort = || s3.abort_multipart_upload().bucket(BUCKET).key("a/one").upload_id(&ids[0]).send();
    abort().await.unwrap();
    assert_eq!(refusal(abort().await), "404 NoSuchUpload");
    assert_eq!(refusal(upload(3).body(body(b"x")).send().await), "404 NoSuchUpload");
    let left = s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    assert_eq!(left.uploads().len(), 1);
    assert_eq!(served.endpoint.sweep(Duration::ZERO).await.unwrap().uploads, 1);
    assert_eq!(s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap().uploads().len(), 0);
}

/// Begins an upload of one part, "123456789", whose checksums are published as check values.
async fn nine_digits(s3: &Client, key: &str, kind: Option<ChecksumType>) -> (String, String) {
    let algorithm = kind.is_some().then_some(ChecksumAlgorithm::Crc64Nvme);
    let begun = s3.create_multipart_upload().bucket(BUCKET).key(key).set_checksum_algorithm(algorithm);
    let begun = begun.set_checksum_type(kind).send().await.unwrap();
    let id = begun.upload_id().unwrap().to_owned();
    let part = s3.upload_part().bucket(BUCKET).key(key).upload_id(&id).part_number(1).body(body(b"123456789"));
    (id, part.send().await.unwrap().e_tag().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_of_the_whole_is_held_against_its_bytes() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let crc32 = BASE64_STANDARD.encode(0xCBF4_3926_u32.to_be_bytes());
    let (id, etag) = nine_digits(&s3, "crc32", None).await;
    let complete = |value: &str| {
        let call = s3.complete_multipart_upload().bucket(BUCKET).key("crc32").upload_id(&id);
        let call = call.multipart_upload(completed(&[(1, etag.clone())]));
        call.checksum_type(ChecksumType::FullObject).checksum_crc32(value)
    };
    assert_eq!(refusal(complete(&BASE64_STANDARD.encode([0; 4])).send().await), "400 BadDigest");
    assert_eq!(served.store.head(&ObjectKey::parse("crc32").unwrap()).await.unwrap(), None);
    let done = complete(&crc32).send().await.unwrap();
    assert_eq!((done.checksum_crc32(), done.checksum_type()), (Some(crc32.as_str()), Some(&ChecksumType::FullObject)));
    let head = s3.head_object().bucket(BUCKET).key("crc32").checksum_mode("ENABLED".into()).send().await.unwrap();
    assert_eq!(head.checksum_crc32(), Some(crc32.as_str()));

    // Asked for at the start, and not claimed.
    let (id, etag) = nine_digits(&s3, "crc64", Some(ChecksumType::FullObject)).await;
    let call = s3.complete_multipart_upload().bucket(BUCKET).key("crc64").upload_id(&id);
    let done = call.multipart_upload(completed(&[(1, etag)])).send().await.unwrap();
    let crc64 = BASE64_STANDARD.encode(0xAE8B_1486_0A79_9888_u64.to_be_bytes());
    assert_eq!(done.checksum_crc64_nvme(), Some(crc64.as_str()));
    let nameless = s3.create_multipart_upload().bucket(BUCKET).key("a").checksum_type(ChecksumType::FullObject);
    assert_eq!(refusal(nameless.send().await), "400 InvalidRequest");
}

#[tokio::test(flavor = "multi_thread")]
async fn checksums_of_parts_are_those_that_were_stored() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let (id, etag) = nine_digits(&s3, "film", None).await;
    let digits = sha256(b"123456789");
    let complete = || s3.complete_multipart_upload().bucket(BUCKET).key("film").upload_id(&id);
    let claiming = || {
        let part = CompletedPart::builder().part_number(1).e_tag(&etag).checksum_sha256(&digits).build();
        CompletedMultipartUpload::builder().parts(part).build()
    };
    assert_eq!(refusal(complete().multipart_upload(claiming()).send().await), "400 InvalidPart");
    let of_parts = format!("{}-1", sha256(&Sha256::digest(b"123456789")));
    let counted = || complete().multipart_upload(completed(&[(1, etag.clone())])).checksum_sha256(&of_parts);
    assert_eq!(refusal(counted().send().await), "400 InvalidPart", "the part has no checksum");

    let part = s3.upload_part().bucket(BUCKET).key("film").upload_id(&id).part_number(1).body(body(b"123456789"));
    part.checksum_sha256(&digits).send().await.unwrap();
    let other = format!("{}-1", sha256(b"other"));
    assert_eq!(refusal(counted().checksum_sha256(other).send().await), "400 BadDigest");
    assert_eq!(served.store.head(&ObjectKey::parse("film").unwrap()).await.unwrap(), None);
    counted().multipart_upload(claiming()).send().await.unwrap();
}
