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
