//! Whole objects and parts of them.

use crate::support::World;

#[tokio::test]
async fn files_have_their_media_types() {
    let world = World::new().await;
    world.put(1, "manifest.mpd", b"<MPD/>").await;
    world.put(1, "video/init.mp4", b"init").await;
    world.put(1, "thumbnails/sheet.vtt", b"WEBVTT").await;
    world.put(1, "thumbnails/poster.jpg", b"jpeg").await;
    for (path, content_type, text) in [
        ("master.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n"),
        ("manifest.mpd?session=1", "application/dash+xml", "<MPD/>"),
        ("video/init.mp4", "video/mp4", "init"),
        ("video/00001.m4s", "video/iso.segment", "0123456789"),
        ("thumbnails/sheet.vtt", "text/vtt; charset=utf-8", "WEBVTT"),
        ("thumbnails/poster.jpg", "image/jpeg", "jpeg"),
    ] {
        let answer = world.get(path, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text), "{path}");
        assert_eq!(answer.header("content-type"), Some(content_type), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
    }
    let missing = world.get("video/00002.m4s", &[]).await;
    assert_eq!((missing.status, missing.header("content-type")), (404, Some("application/problem+json")));
    assert!(missing.text().contains(r#""type":"https://mcsp.dev/problems/not-found""#), "{}", missing.text());
}

#[tokio::test]
async fn ranges_are_cut_to_the_byte() {
    let world = World::new().await;
    for path in ["video/00001.m4s", "video/media.m3u8"] {
        world.put(1, path, b"0123456789").await;
        for (range, status, content_range, text) in [
            ("bytes=2-5", 206, Some("bytes 2-5/10"), "2345"),
            ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
            ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
            ("bytes=8-99", 206, Some("bytes 8-9/10"), "89"),
            ("bytes=0-1,4-5", 200, None, "0123456789"),
        ] {
            let answer = world.get(path, &[&format!("range: {range}")]).await;
            assert_eq!((answer.status, answer.text().as_str()), (status, text), "{range}");
            assert_eq!(answer.header("content-range"), content_range, "{range}");
            assert_eq!(answer.header("content-length"), Some(text.len().to_string().as_str()), "{range}");
        }
        let none = world.get(path, &["range: bytes=10-"]).await;
        assert_eq!((none.status, none.header("content-range")), (416, Some("bytes */10")));
        assert_eq!(none.header("content-type"), Some("application/problem+json"));
    }
}

#[tokio::test]
async fn a_long_object_goes_out_piece_by_piece_and_whole() {
    let world = World::new().await;
    let bytes: Vec<u8> = (0..(2_u32 << 20) + 12_345).map(|index| (index % 251) as u8).collect();
    world.put(1, "video/00002.m4s", &bytes).await;
    let whole = world.get("video/00002.m4s", &[]).await;
    assert_eq!(whole.status, 200);
    assert!(whole.body == bytes, "the bytes came as they are stored");
    let part = world.get("video/00002.m4s", &["range: bytes=1000-2000000"]).await;
    assert_eq!(part.status, 206);
    assert!(part.body == bytes[1000..=2_000_000], "the part came as it is stored");
    assert_eq!(world.get("video/00003.m4s", &[]).await.status, 404);
    world.put(1, "video/00003.m4s", b"").await;
    let empty = world.get("video/00003.m4s", &[]).await;
    assert_eq!((empty.status, empty.header("content-length")), (200, Some("0")));
}

#[tokio::test]
async fn head_tells_the_length_and_other_methods_are_refused() {
    let world = World::new().await;
    let path = format!("/t/{}/video/00001.m4s", crate::support::lease(1, 60, 60).mint(&crate::support::keys(1)));
    let head = world.ask(&format!("HEAD {path}"), &[]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    let head = world.ask(&format!("HEAD {path}"), &["range: bytes=0-3"]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (206, Some("4"), 0));
    for method in ["POST", "PUT", "DELETE"] {
        let refused = world.ask(&format!("{method} {path}"), &["content-length: 0"]).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
    }
}
