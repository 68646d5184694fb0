//! Whole objects through the AWS SDK: put, get, conditions, lists.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn objects_come_back_as_they_were_put() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let film: Vec<u8> = (0..300_000_u32).map(|index| index.to_le_bytes()[0]).collect();
    let put = s3.put_object().bucket(BUCKET).key("a/film.mp4").body(body(&film));
    let put =
        put.content_type("video/mp4").metadata("title", "one").checksum_sha256(sha256(&film)).send().await.unwrap();
    let etag = put.e_tag().unwrap().to_owned();
    assert_eq!(put.checksum_sha256(), Some(sha256(&film).as_str()));

    let head = s3.head_object().bucket(BUCKET).key("a/film.mp4").checksum_mode("ENABLED".into()).send().await.unwrap();
    assert_eq!((head.content_length(), head.e_tag()), (Some(300_000), Some(etag.as_str())));
    assert_eq!((head.content_type(), head.metadata().unwrap()["title"].as_str()), (Some("video/mp4"), "one"));
    assert_eq!(head.checksum_sha256(), Some(sha256(&film).as_str()));
    let known = served.store.head(&ObjectKey::parse("a/film.mp4").unwrap()).await.unwrap().unwrap();
    assert_eq!(format!("\"{}\"", known.etag), etag, "the port and the endpoint say one tag");

    let whole = s3.get_object().bucket(BUCKET).key("a/film.mp4").send().await.unwrap();
    assert!(whole.body.collect().await.unwrap().into_bytes() == film);
    for (range, expected) in
        [("bytes=0-0", 0..1), ("bytes=299999-", 299_999..300_000), ("bytes=-5", 299_995..300_000), ("bytes=7-9", 7..10)]
    {
        let answer = s3.get_object().bucket(BUCKET).key("a/film.mp4").range(range).send().await.unwrap();
        let content_range = format!("bytes {}-{}/300000", expected.start, expected.end - 1);
        assert_eq!(answer.content_range(), Some(content_range.as_str()));
        assert!(answer.body.collect().await.unwrap().into_bytes() == film[expected], "{range}");
    }
    let get = || s3.get_object().bucket(BUCKET).key("a/film.mp4");
    assert_eq!(refusal(get().range("bytes=300000-").send().await), "416 InvalidRange");
    assert_eq!(refusal(get().if_match("\"x\"").send().await), "412 PreconditionFailed");
    assert!(refusal(get().if_none_match(&etag).send().await).starts_with("304"));
    assert_eq!(refusal(get().if_match(&etag).send().await), "Ok");
    assert_eq!(refusal(s3.get_object().bucket(BUCKET).key("nothing").send().await), "404 NoSuchKey");
    assert_eq!(refusal(s3.get_object().bucket("media-us").key("a").send().await), "404 NoSuchBucket");

    s3.copy_object().bucket(BUCKET).key("b/copy.mp4").copy_source(format!("{BUCKET}/a/film.mp4")).send().await.unwrap();
    let copy = s3.head_object().bucket(BUCKET).key("b/copy.mp4").send().await.unwrap();
    assert_eq!((copy.e_tag(), copy.content_type()), (Some(etag.as_str()), Some("video/mp4")));
    for _ in 0..2 {
        s3.delete_object().bucket(BUCKET).key("a/film.mp4").send().await.unwrap();
    }
    assert!(refusal(get().send().await).starts_with("404"));
    s3.head_bucket().bucket(BUCKET).send().await.unwrap();
    s3.get_bucket_location().bucket(BUCKET).send().await.unwrap();
    let names = s3.list_buckets().send().await.unwrap();
    assert_eq!(names.buckets().iter().map(|bucket| bucket.name().unwrap()).collect::<Vec<_>>(), [BUCKET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_puts_have_one_winner() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let put = |text: &'static str| s3.put_object().bucket(BUCKET).key("once").body(body(text.as_bytes()));
    let first = put("1").if_none_match("*").send().await.unwrap();
    assert_eq!(refusal(put("2").if_none_match("*").send().await), "412 PreconditionFailed");
    put("3").if_match(first.e_tag().unwrap()).send().await.unwrap();
    assert_eq!(refusal(put("4").if_match(first.e_tag().unwrap()).send().await), "412 PreconditionFailed");
    let mut racers = tokio::task::JoinSet::new();
    for index in 0..16 {
        let race = s3.put_object().bucket(BUCKET).key("race").if_none_match("*").body(body(&[index]));
        racers.spawn(async move { refusal(race.send().await) });
    }
    let answers = racers.join_all().await;
    assert_eq!(answers.iter().filter(|answer| *answer == "Ok").count(), 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_by_pages_prefixes_and_delimiters() {
    let served = serve_fresh(S3Options::default()).await;
    let s3 = plain_client(&served);
    let names: Vec<String> = (0..25).map(|index| format!("list/{}/k{index:02}", index % 5)).collect();
    for name in names.iter().map(String::as_str).chain(["list-more", "list0"]) {
        s3.put_object().bucket(BUCKET).key(name).body(body(b"x")).send().await.unwrap();
    }
    let mut sorted = names.clone();
    sorted.sort();
    let list = |prefix: &str| s3.list_objects_v2().bucket(BUCKET).prefix(prefix);
    let mut pages = list("list/").into_paginator().page_size(7).send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        keys.extend(page.unwrap().contents().iter().map(|object| object.key().unwrap().to_owned()));
    }
    assert_eq!(keys, sorted);
    let mut pages = list("li").delimiter("/").into_paginator().page_size(1).send();
    let mut entries = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        entries.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        entries.extend(page.common_prefixes().iter().map(|common| common.prefix().unwrap().to_owned()));
    }
    assert_eq!(entries, ["list-more", "list/", "list0"]);
    let after = list("list/").start_after(&sorted[20]).max_keys(3).send().await.unwrap();
    assert_eq!(after.contents().iter().map(|object| object.key().unwrap()).collect::<Vec<_>>(), sorted[21..24]);
    let objects = names.iter().map(|name| ObjectIdentifier::builder().key(name).build().unwrap()).collect();
    let delete = Delete::builder().set_objects(Some(objects)).build().unwrap();
    let deleted = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (25, 0));
    assert_eq!(list("list/").send().await.unwrap().key_count(), Some(0));
}
