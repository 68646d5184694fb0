//! Paths that would leave the package: what is checked is what is opened.

use crate::support::{World, keys, lease, package};

#[tokio::test]
async fn nothing_outside_the_package_is_reachable() {
    let world = World::new().await;
    std::fs::write(world.folder.path().join("secret.mp4"), "SECRET").unwrap();
    let other = package(2);
    world.put(2, "secret.m4s", b"SECRET").await;
    let neighbour = other.as_str().rsplit('/').next().unwrap();
    let token = lease(1, 60, 60).mint(&keys(1));
    // What is asked for is there, one folder away.
    assert_eq!(world.ask(&format!("GET /t/{}/secret.m4s", lease(2, 60, 60).mint(&keys(1))), &[]).await.status, 200);
    for path in [
        format!("../{neighbour}/secret.m4s"),
        format!("..%2f{neighbour}/secret.m4s"),
        format!("%2e%2e/{neighbour}/secret.m4s"),
        format!("%2e%2e%2f{neighbour}%2fsecret.m4s"),
        format!(".%2e/{neighbour}/secret.m4s"),
        format!("%2f..%2f{neighbour}/secret.m4s"),
        format!("%252e%252e/{neighbour}/secret.m4s"),
        format!("..%5c{neighbour}%5csecret.m4s"),
        format!("..\\{neighbour}\\secret.m4s"),
        format!("/../{neighbour}/secret.m4s"),
        format!("//{other}/secret.m4s"),
        format!("video/../../{neighbour}/secret.m4s"),
        format!("video/..;/../{neighbour}/secret.m4s"),
        "../../../../../../secret.mp4".to_owned(),
        "%2fetc%2fpasswd".to_owned(),
        "//etc/passwd".to_owned(),
        "/video/00001.m4s".to_owned(),
        "video//00001.m4s".to_owned(),
        "./video/00001.m4s".to_owned(),
        "video/./00001.m4s".to_owned(),
        "video/00001.m4s/".to_owned(),
        "video%2f00001.m4s".to_owned(),
        "video/00001.m4s%00".to_owned(),
        "video/00001.m4s%00.jpg".to_owned(),
        "package.json".to_owned(),
        "package%2ejson".to_owned(),
        "video".to_owned(),
        "video/".to_owned(),
        String::new(),
    ] {
        let answer = world.ask(&format!("GET /t/{token}/{path}"), &[]).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.status);
        assert!(!answer.text().contains("SECRET"), "{path}");
    }
    for line in [
        format!("GET //t/{token}/../master.m3u8"),
        format!("GET /t/../t/{token}/package.json"),
        format!("GET /t/{token}"),
        format!("GET /t//{token}/master.m3u8"),
        format!("GET /%74/{token}/package.json"),
        format!("GET /t/{token}/video/00001.m4s\0"),
    ] {
        let answer = world.ask(&line, &[]).await;
        assert!(matches!(answer.status, 400 | 403 | 404), "{line}: {}", answer.status);
    }
    // A whole address in the request line, as proxies send it, is held to the same.
    let absolute = format!("GET http://edge/t/{token}/../{neighbour}/secret.m4s");
    assert_eq!(world.ask(&absolute, &[]).await.status, 404);
}
