//! Bodies that servers posted. Those of the filer were taken from SeaweedFS 4.48 as it stored, replaced and removed objects;
//! those of buckets are from the documentation of AWS and MinIO.

use super::*;

/// One line an object: bucket, key, tag, bytes.
fn told(body: &str) -> String {
    let line = |notice: StoredNotice| {
        let tag = notice.etag.map_or("-".to_owned(), |tag| tag.to_string());
        let len_bytes = notice.len_bytes.map_or("-".to_owned(), |len_bytes| len_bytes.to_string());
        format!("{} {} {tag} {len_bytes}", notice.bucket, notice.key)
    };
    completions_of(body.as_bytes()).unwrap().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

const PUT: &str = r#"{"event_type":"create","key":"/buckets/media-eu/uploads/o","message":{"new_entry":{"name":"o","chunks":[{"size":5,"modified_ts_ns":1795424601123496837,"e_tag":"NdbTNGeq6aLj3MtLawJ4eA==","fid":{"volume_id":8,"file_key":6,"cookie":1121443428}}],"attributes":{"file_size":5,"mtime":1795424601,"file_mode":432,"crtime":1795424601,"mime":"text/plain; charset=utf-8","md5":"NdbTNGeq6aLj3MtLawJ4eA==","inode":2459490483022332410,"ctime":1795424601,"atime":1795424601},"extended":{"Seaweed-X-Amz-ETag":"MzVkNmQzMzQ2N2FhZTlhMmUzZGNjYjRiNmIwMjc4Nzg=","Seaweed-X-Amz-Owner":"YXBw"}},"delete_chunks":true,"new_parent_path":"/buckets/media-eu/uploads","signatures":[-1916626407]}}"#;

#[test]
fn the_filer_tells_of_objects() {
    assert_eq!(told(PUT), "media-eu uploads/o 35d6d33467aae9a2e3dccb4b6b027878 5");
    let empty = r#"{"event_type":"create","key":"/buckets/media-eu/l/a-b","message":{"new_entry":{"name":"a-b","attributes":{"mtime":1795424601,"file_mode":432,"crtime":1795424601,"md5":"1B2M2Y8AsgTpgAmY7PhCfg==","inode":3630815496474962179,"ctime":1795424601,"atime":1795424601},"extended":{"Seaweed-X-Amz-ETag":"ZDQxZDhjZDk4ZjAwYjIwNGU5ODAwOTk4ZWNmODQyN2U=","Seaweed-X-Amz-Owner":"YXBw"}},"delete_chunks":true,"new_parent_path":"/buckets/media-eu/l","signatures":[-1916626407]}}"#;
    assert_eq!(told(empty), "media-eu l/a-b d41d8cd98f00b204e9800998ecf8427e 0");
    let completed = r#"{"event_type":"create","key":"/buckets/media-eu/x/film","message":{"new_entry":{"name":"film","chunks":[{"size":4194304,"modified_ts_ns":1795424600352055903,"e_tag":"7cksqxTfosiQk3HwZIuekg==","fid":{"volume_id":13,"file_key":2,"cookie":1246256164},"is_compressed":true},{"offset":5242880,"size":3,"modified_ts_ns":1795424600996465090,"e_tag":"kAFQmDzST7DWlj99KOF/cg==","fid":{"volume_id":13,"file_key":4,"cookie":1693862008}}],"attributes":{"file_size":5242883,"mtime":1795424601,"file_mode":504,"crtime":1795424601,"inode":9383174922120869360,"ctime":1795424601,"atime":1795424601},"extended":{"Seaweed-X-Amz-ETag":"ZWJmYWQ1ZGNlMzNjYmEyZDY3OGY3MWI1MDJkYjU3ZGUtMg==","Seaweed-X-Amz-Owner":"YXBw","X-Amz-Meta-Mcsp-Upload":"dTE=","X-Seaweedfs-Multipart-Parts-Count":"Mg=="}},"delete_chunks":true,"new_parent_path":"/buckets/media-eu/x","signatures":[-1916626407]}}"#;
    assert_eq!(told(completed), "media-eu x/film ebfad5dce33cba2d678f71b502db57de-2 5242883");
    let replaced = r#"{"event_type":"update","key":"/buckets/media-eu/x/film","message":{"old_entry":{"name":"film","attributes":{"file_size":5242883},"extended":{"Seaweed-X-Amz-ETag":"ZWJmYWQ1ZGNlMzNjYmEyZDY3OGY3MWI1MDJkYjU3ZGUtMg=="}},"new_entry":{"name":"film","chunks":[{"size":4,"modified_ts_ns":1795424601069519712,"e_tag":"8sZzgdso+hHFn+em3w8lhw==","fid":{"volume_id":11,"file_key":5,"cookie":148512370}}],"attributes":{"file_size":4,"mtime":1795424601,"file_mode":504,"crtime":1795424601,"inode":9383174922120869360,"ctime":1795424601,"atime":1795424601},"extended":{"Seaweed-X-Amz-ETag":"Y2RhNjhiY2M5M2UzMDZlZjY5YWVkZjY4ODM5OGY4NGQtMQ==","Seaweed-X-Amz-Owner":"YXBw"}},"delete_chunks":true,"new_parent_path":"/buckets/media-eu/x","signatures":[-1916626407]}}"#;
    assert_eq!(told(replaced), "media-eu x/film cda68bcc93e306ef69aedf688398f84d-1 4");
}

#[test]
fn what_else_the_filer_tells_is_left_out() {
    for (what, body) in [
        (
            "removed",
            r#"{"event_type":"delete","key":"/buckets/media-eu/o","message":{"old_entry":{"name":"o","attributes":{"file_size":5,"mtime":1795424601}},"delete_chunks":true,"signatures":[-1916626407]}}"#,
        ),
        (
            "a folder",
            r#"{"event_type":"create","key":"/buckets/media-eu/x","message":{"new_entry":{"name":"x","is_directory":true,"attributes":{"mtime":1795424601,"file_mode":2147484153,"crtime":1795424601,"inode":17898655121611098816,"ctime":-62135596800,"mtime_ns":35764582}},"new_parent_path":"/buckets/media-eu","signatures":[-1916626407]}}"#,
        ),
        (
            "a bucket",
            r#"{"event_type":"create","key":"/buckets/media-eu","message":{"new_entry":{"name":"media-eu","is_directory":true,"attributes":{"mtime":1795424599},"extended":{"Seaweed-X-Amz-Owner":"YXBw","s3-identity-id":"YXBw"}},"delete_chunks":true,"new_parent_path":"/buckets","signatures":[-1916626407]}}"#,
        ),
        (
            "its own files",
            r#"{"event_type":"create","key":"/buckets/.system/owners/.complete","message":{"new_entry":{"name":".complete","attributes":{"mtime":1795424498}},"delete_chunks":true,"new_parent_path":"/buckets/.system/owners","signatures":[-1916626407]}}"#,
        ),
        (
            "a part",
            r#"{"event_type":"create","key":"/buckets/media-eu/.uploads/d1eed0bd3d7c524bd6c8a962bf0200ee746faef6_cb5963d9fbac48c6b18fb9c0bf7999cd/0002_a543cae8-8e8e-40e7-9e6f-f65dee17608a.part","message":{"new_entry":{"name":"0002_a543cae8-8e8e-40e7-9e6f-f65dee17608a.part","chunks":[{"size":3,"modified_ts_ns":1795424600996465090,"e_tag":"kAFQmDzST7DWlj99KOF/cg==","fid":{"volume_id":13,"file_key":4,"cookie":1693862008}}],"attributes":{"file_size":3,"mtime":1795424600},"extended":{"Seaweed-X-Amz-ETag":"OTAwMTUwOTgzY2QyNGZiMGQ2OTYzZjdkMjhlMTdmNzI="}},"delete_chunks":true,"new_parent_path":"/buckets/media-eu/.uploads/d1eed0bd3d7c524bd6c8a962bf0200ee746faef6_cb5963d9fbac48c6b18fb9c0bf7999cd","signatures":[-1916626407]}}"#,
        ),
        ("elsewhere", r#"{"event_type":"create","key":"/topics/o","message":{"new_entry":{"name":"o"}}}"#),
    ] {
        assert_eq!(told(body), "", "{what}");
    }
}

#[test]
fn buckets_tell_of_objects() {
    let aws = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-west-2","eventTime":"1970-01-01T00:00:00.000Z","eventName":"ObjectCreated:Put","userIdentity":{"principalId":"AIDAJDPLRKLG7UEXAMPLE"},"requestParameters":{"sourceIPAddress":"127.0.0.1"},"responseElements":{"x-amz-request-id":"C3D13FE58DE4C810"},"s3":{"s3SchemaVersion":"1.0","configurationId":"testConfigRule","bucket":{"name":"amzn-s3-demo-bucket","ownerIdentity":{"principalId":"A3NL1KOZZKExample"},"arn":"arn:aws:s3:::amzn-s3-demo-bucket"},"object":{"key":"HappyFace.jpg","size":1024,"eTag":"d41d8cd98f00b204e9800998ecf8427e","versionId":"096fKKXTRTtl3on89fVO.nfljtsv6qko","sequencer":"0055AED6DCD90281E5"}}}]}"#;
    assert_eq!(told(aws), "amzn-s3-demo-bucket HappyFace.jpg d41d8cd98f00b204e9800998ecf8427e 1024");
    let minio = r#"{"EventName":"s3:ObjectCreated:CompleteMultipartUpload","Key":"media-eu/uploads/c/s","Records":[{"eventVersion":"2.0","eventSource":"minio:s3","awsRegion":"","eventTime":"2026-03-01T10:00:00.000Z","eventName":"s3:ObjectCreated:CompleteMultipartUpload","userIdentity":{"principalId":"studio"},"s3":{"s3SchemaVersion":"1.0","configurationId":"Config","bucket":{"name":"media-eu","ownerIdentity":{"principalId":"studio"},"arn":"arn:aws:s3:::media-eu"},"object":{"key":"uploads%2Fc%2Fs","size":5242883,"eTag":"ebfad5dce33cba2d678f71b502db57de-2","contentType":"video/mp4","userMetadata":{"content-type":"video/mp4"},"sequencer":"17A1"}},"source":{"host":"127.0.0.1","port":"","userAgent":"MinIO"}},{"eventName":"s3:ObjectRemoved:Delete","s3":{"bucket":{"name":"media-eu"},"object":{"key":"uploads%2Fc%2Fold"}}},{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"media-eu"},"object":{"key":"of+others/a%20b"}}}]}"#;
    assert_eq!(told(minio), "media-eu uploads/c/s ebfad5dce33cba2d678f71b502db57de-2 5242883");
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"amzn-s3-demo-bucket","RequestId":"5582815E1AEA5ADF","HostId":"8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR"}"#;
    assert_eq!(told(test), "");
}

#[test]
fn other_bodies_are_refused() {
    for body in ["", "{}", "[]", "null", "{\"Records\":7}", &PUT[..PUT.len() / 2]] {
        assert!(completions_of(body.as_bytes()).is_err(), "{body}");
    }
}
