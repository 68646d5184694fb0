//! Keys over the generated client, in memory, over TCP and over a Unix socket.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcsp_domain::{KeyId, TrackClass, TrackKey};
use mcsp_grpc::licence::v1::{self, GetKeyRequest, GetOrCreateKeysRequest, RevokeKeysRequest};
use mcsp_services::licence::{LicenceClient, Listener, ServeError, bind_unix, client, connect, connect_unix, serve};
use sqlx::Executor;
use tokio::net::TcpListener;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{World, fingerprint, plan_id, protection, request, values};

/// Serves on a free port until the test ends.
async fn over_tcp(world: &World) -> (LicenceClient, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = world.service().await;
    tokio::spawn(async move { serve(service, Listener::Tcp(listener), std::future::pending()).await.unwrap() });
    (connect(&url).unwrap(), url)
}

async fn over_unix(world: &World) -> LicenceClient {
    let path = world.folder.path().join("keys/socket");
    let listener = bind_unix(&path).unwrap();
    let service = world.service().await;
    tokio::spawn(async move { serve(service, Listener::Unix(listener), std::future::pending()).await.unwrap() });
    connect_unix(&path).unwrap()
}

#[tokio::test]
async fn a_plan_gets_the_same_keys_again_over_every_connection_and_after_a_restart() {
    let world = World::new();
    let mut client = world.client().await;
    let first = values(&protection(&mut client, request(1)).await.unwrap());
    assert_eq!(values(&protection(&mut client, request(1)).await.unwrap()), first);
    assert_eq!(values(&protection(&mut over_tcp(&world).await.0, request(1)).await.unwrap()), first);
    assert_eq!(values(&protection(&mut over_unix(&world).await, request(1)).await.unwrap()), first);
    drop(client);
    assert_eq!(values(&protection(&mut world.client().await, request(1)).await.unwrap()), first);

    let other = values(&protection(&mut world.client().await, request(2)).await.unwrap());
    let all: Vec<_> = first.iter().chain(&other).collect();
    for (index, one) in all.iter().enumerate() {
        let twins = all.iter().take(index).filter(|two| two.0 == one.0 || two.1 == one.1 || two.2 == one.2);
        assert_eq!(twins.count(), 0, "each plan and class has a key of its own");
    }
}

#[tokio::test]
async fn ivs_are_drawn_as_for_a_key_file() {
    let world = World::new();
    let protection = protection(&mut world.client().await, request(1)).await.unwrap();
    for class in TrackClass::ALL {
        let key = protection.key(class);
        assert_eq!(key.iv, TrackKey::drawn(key.kid, key.key.clone(), &fingerprint(1)).iv);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_workers_that_ask_at_once_get_the_same_keys() {
    let world = World::new();
    // Four ways in, over four handles on one file, as four processes would.
    let ways = [world.client().await, world.client().await, over_tcp(&world).await.0, over_unix(&world).await];
    for plan in 0..8 {
        let workers: Vec<_> = (0..16_usize)
            .map(|worker| {
                let mut client = ways[worker % 4].clone();
                tokio::spawn(async move { values(&protection(&mut client, request(plan)).await.unwrap()) })
            })
            .collect();
        let mut answers = Vec::new();
        for worker in workers {
            answers.push(worker.await.unwrap());
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "plan {plan}");
    }
}

#[tokio::test]
async fn classes_that_are_asked_for_later_join_those_that_stand() {
    let world = World::new();
    let mut client = world.client().await;
    let of = |classes: &[v1::TrackClass]| GetOrCreateKeysRequest {
        track_classes: classes.iter().map(|class| (*class).into()).collect(),
        ..request(1)
    };
    let hd = client.get_or_create_keys(of(&[v1::TrackClass::Hd])).await.unwrap().into_inner();
    assert_eq!(hd.keys.len(), 1);
    let all = of(&[v1::TrackClass::Hd, v1::TrackClass::Audio, v1::TrackClass::Hd]);
    let all = client.get_or_create_keys(all).await.unwrap().into_inner();
    assert_eq!(
        all.keys.iter().map(v1::TrackKey::track_class).collect::<Vec<_>>(),
        [v1::TrackClass::Audio, v1::TrackClass::Hd]
    );
    assert_eq!(all.keys[1], hd.keys[0]);
}

#[tokio::test]
async fn a_key_is_found_by_its_id() {
    let world = World::new();
    let mut client = world.client().await;
    let protection = protection(&mut client, request(1)).await.unwrap();
    let answer = client.get_key(GetKeyRequest::of(protection.sd.kid)).await.unwrap().into_inner();
    let (class, key) = answer.read().unwrap();
    assert_eq!(class, TrackClass::Sd);
    assert_eq!((key.key.expose(), key.iv), (protection.sd.key.expose(), protection.sd.iv));
    let unknown = client.get_key(GetKeyRequest::of(KeyId::from_bytes([9; 16]))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.message(), "no key has the id 09090909090909090909090909090909");
}

#[tokio::test]
async fn a_revoked_plan_gives_no_key_and_never_gets_new_ones() {
    let world = World::new();
    let mut client = world.client().await;
    let kept = protection(&mut client, request(2)).await.unwrap();
    let gone = protection(&mut client, request(1)).await.unwrap();
    for plan in [1, 1, 3] {
        client.revoke_keys(RevokeKeysRequest::of(plan_id(plan))).await.unwrap();
    }
    // Plan 3 was revoked before it had keys.
    for plan in [1, 3] {
        let refused = protection(&mut client, request(plan)).await.err().unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(refused.message(), format!("keys of plan {} are revoked", plan_id(plan)));
    }
    let refused = client.get_key(GetKeyRequest::of(gone.hd.kid)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let mut restarted = world.client().await;
    assert_eq!(protection(&mut restarted, request(1)).await.err().unwrap().code(), Code::FailedPrecondition);
    assert_eq!(values(&protection(&mut restarted, request(2)).await.unwrap()), values(&kept));
}

#[tokio::test]
async fn keys_never_meet_another_content_scheme_or_fingerprint() {
    let world = World::new();
    let mut client = world.client().await;
    protection(&mut client, request(1)).await.unwrap();
    let others = [
        ("content", GetOrCreateKeysRequest { content_id: request(2).content_id, ..request(1) }),
        ("scheme", GetOrCreateKeysRequest { scheme: v1::Scheme::Cbcs.into(), ..request(1) }),
        ("fingerprint", GetOrCreateKeysRequest { plan_fingerprint: request(2).plan_fingerprint, ..request(1) }),
    ];
    for (what, other) in others {
        let refused = protection(&mut client, other).await.err().unwrap();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(refused.message(), format!("keys of plan {} are bound to another {what}", plan_id(1)));
    }
}

#[tokio::test]
async fn a_malformed_request_is_told_by_its_field() {
    let world = World::new();
    let mut client = world.client().await;
    let bad = GetOrCreateKeysRequest { plan_id: "film".to_owned(), ..request(1) };
    let refused = client.get_or_create_keys(bad).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "field plan_id is \"film\", expected a UUID");
    let long = GetOrCreateKeysRequest { plan_id: "x".repeat(100_000), ..request(1) };
    assert_eq!(client.get_or_create_keys(long).await.unwrap_err().code(), Code::OutOfRange);
}

#[tokio::test]
async fn a_catalog_that_is_held_is_unavailable_for_new_keys_and_gives_old_ones() {
    let world = World::on_file();
    let mut client = world.client().await;
    protection(&mut client, request(1)).await.unwrap();
    let mut holder = world.connection().await;
    holder.execute("BEGIN IMMEDIATE").await.unwrap();
    protection(&mut client, request(1)).await.unwrap();
    let refused = protection(&mut client, request(2)).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    holder.execute("ROLLBACK").await.unwrap();
    protection(&mut client, request(2)).await.unwrap();
}

#[tokio::test]
async fn health_is_told_beside_the_service() {
    let world = World::new();
    let (_client, url) = over_tcp(&world).await;
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect_lazy();
    for service in ["", "mcsp.licence.v1.Licence"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
}

#[tokio::test]
async fn a_socket_open_to_other_machines_is_refused() {
    let world = World::new();
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = serve(world.service().await, Listener::Tcp(listener), std::future::pending()).await.unwrap_err();
    assert!(error.to_string().ends_with("keys travel in the clear, so only loopback addresses are allowed"), "{error}");
    for url in ["", "https://host:1", "host:1", "http://", "unix:keys"] {
        assert!(connect(url).is_err(), "{url:?} was taken");
    }
}

#[tokio::test]
async fn a_socket_is_its_users_own() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let path = folder.path().join("keys/socket");
    let first = bind_unix(&path).unwrap();
    assert_eq!((mode(path.parent().unwrap()), mode(&path)), (0o700, 0o600));
    assert!(matches!(bind_unix(&path), Err(ServeError::Path { .. })), "a living process listens there");
    drop(first);
    bind_unix(&path).expect("what a dead process left is replaced");
    let file = folder.path().join("keys/file");
    std::fs::write(&file, "not ours").unwrap();
    assert!(matches!(bind_unix(&file), Err(ServeError::Path { .. })));
    assert_eq!(std::fs::read(&file).unwrap(), b"not ours");
    let open = folder.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    let error = bind_unix(&open.join("socket")).err().unwrap().to_string();
    assert!(error.ends_with("would lie in a folder of mode 755: others may enter it, mode 700 is wanted"), "{error}");
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(connect_unix(&long), Err(ServeError::Path { .. })));
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_ends_and_a_client_says_so() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    serve(world.service().await, Listener::Tcp(listener), std::future::ready(())).await.unwrap();
    let refused = protection(&mut connect(&url).unwrap(), request(1)).await.err().unwrap();
    assert_eq!(refused.code(), Code::Unavailable);
    // The one in memory lives as long as a client of it.
    let mut client = client(world.service().await);
    let mut second = client.clone();
    protection(&mut client, request(1)).await.unwrap();
    drop(client);
    protection(&mut second, request(1)).await.unwrap();
}
