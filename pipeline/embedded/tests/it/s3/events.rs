//! Announcements of stored objects.

use super::*;

async fn next_event(heard: &mut tokio::sync::mpsc::UnboundedReceiver<ObjectCreated>) -> ObjectCreated {
    tokio::time::timeout(Duration::from_secs(30), heard.recv()).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_objects_are_announced_until_someone_is_done_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = S3Options { announce: true, ..S3Options::default() };
    let served = serve(folder.path(), options.clone()).await;
    let s3 = plain_client(&served);
    s3.put_object().bucket(BUCKET).key("a/one").body(body(b"one")).send().await.unwrap();
    // Nobody listened before the process ended.
    drop(served);
    let served = serve(folder.path(), options).await;
    let s3 = plain_client(&served);
    let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let refused_once = Arc::new(AtomicU64::new(0));
    let endpoint = served.endpoint.clone();
    tokio::spawn(async move {
        let handle = |created: ObjectCreated| {
            let (tell, refused_once) = (tell.clone(), Arc::clone(&refused_once));
            async move {
                if refused_once.fetch_add(1, Ordering::Relaxed) == 0 {
                    return Err("not now");
                }
                tell.send(created).map_err(|_| "the test is over")
            }
        };
        endpoint.deliver(handle).await
    });
    let first = next_event(&mut heard).await;
    assert_eq!((first.key.as_str(), first.len_bytes, first.by), ("a/one", 3, CreatedBy::Put));
    assert_eq!(first.bucket, bucket());

    let begun = s3.create_multipart_upload().bucket(BUCKET).key("b/two").send().await.unwrap();
    let id = begun.upload_id().unwrap();
    let part = s3.upload_part().bucket(BUCKET).key("b/two").upload_id(id).part_number(1).body(body(b"two")).send();
    let parts = [(1, part.await.unwrap().e_tag().unwrap().to_owned())];
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("b/two").upload_id(id);
    let done = complete.multipart_upload(completed(&parts)).send().await.unwrap();
    let second = next_event(&mut heard).await;
    assert_eq!((second.key.as_str(), second.by), ("b/two", CreatedBy::CompleteMultipartUpload));
    assert_eq!(Some(format!("\"{}\"", second.etag).as_str()), done.e_tag());

    // What the platform itself writes is no news.
    served.store.put(&ObjectKey::parse("c").unwrap(), Bytes::new(), mcsp_runtime::PutIf::Always).await.unwrap();
    s3.put_object().bucket(BUCKET).key("d").body(body(b"last")).send().await.unwrap();
    assert_eq!(next_event(&mut heard).await.key.as_str(), "d");
    let spool = folder.path().join(".events");
    wait_for(|| std::fs::read_dir(&spool).unwrap().count() == 0).await;
}
