//! What caches and other origins are told.

use crate::support::World;

#[tokio::test]
async fn a_manifest_that_still_grows_is_asked_for_again() {
    let world = World::new().await;
    world.put(1, "video/media.m3u8", b"#EXTM3U\n#EXT-X-PLAYLIST-TYPE:EVENT\n").await;
    world.put(1, "audio/media.m3u8", b"#EXTM3U\n#EXTINF:4,\n00001.m4s\n#EXT-X-ENDLIST\n").await;
    world.put(1, "early.mpd", b"<MPD type=\"dynamic\">").await;
    world.put(1, "manifest.mpd", b"<MPD type=\"static\">").await;
    world.put(1, "video/init.mp4", b"init").await;
    for (path, want) in [
        ("master.m3u8", "private, no-cache"),
        ("video/media.m3u8", "private, no-cache"),
        ("early.mpd", "private, no-cache"),
        ("audio/media.m3u8", "private, max-age=60"),
        ("manifest.mpd", "private, max-age=60"),
        ("video/init.mp4", "private, max-age=3600"),
        ("video/00001.m4s", "private, max-age=31536000, immutable"),
    ] {
        assert_eq!(world.get(path, &[]).await.header("cache-control"), Some(want), "{path}");
    }
    assert_eq!(world.get("nothing.m3u8", &[]).await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_tag_saves_the_body_until_the_object_changes() {
    let world = World::new().await;
    for path in ["video/media.m3u8", "video/00001.m4s"] {
        world.put(1, path, b"first bytes").await;
        let tag = world.get(path, &[]).await.header("etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        for condition in [tag.clone(), format!("\"other\", W/{tag}"), "*".to_owned()] {
            let known = world.get(path, &[&format!("if-none-match: {condition}")]).await;
            assert_eq!((known.status, known.body.len()), (304, 0), "{condition}");
            assert_eq!(known.header("etag"), Some(tag.as_str()));
        }
        let headers = |tag: &str| ["range: bytes=0-4".to_owned(), format!("if-range: {tag}")];
        let asked = headers(&tag);
        let part = world.get(path, &[&asked[0], &asked[1]]).await;
        assert_eq!((part.status, part.text().as_str()), (206, "first"));
        world.put(1, path, b"other bytes").await;
        let whole = world.get(path, &[&asked[0], &asked[1]]).await;
        assert_eq!((whole.status, whole.text().as_str()), (200, "other bytes"), "a part of other bytes is of no use");
        let date = headers("Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(world.get(path, &[&date[0], &date[1]]).await.status, 200);
        assert_eq!(world.get(path, &[&format!("if-none-match: {tag}")]).await.status, 200);
    }
}

#[tokio::test]
async fn other_origins_may_read_and_see_refusals() {
    let world = World::new().await;
    let origin = "origin: http://player.example";
    for path in ["video/00001.m4s", "nothing.m3u8"] {
        let answer = world.get(path, &[origin, "range: bytes=0-1"]).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), None);
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("content-range") && exposed.contains("etag"), "{exposed}");
    }
    let headers = [origin, "access-control-request-method: GET", "access-control-request-headers: range"];
    let preflight = world.ask("OPTIONS /t/token/master.m3u8", &headers).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (200, Some("*")));
}
