//! What is wrong is said when an engine is opened: who did not answer, what is missing, who was refused. No error and no
//! log holds a key.

use std::process::Command;
use std::time::{Duration, Instant};

use mcsp_distributed::{ClientCertificate, Login, TemporalEngine, TemporalError, TemporalOptions, Tls};
use temporalio_client::tonic::{Request, Status};
use tonic::service::{InterceptorLayer, Routes};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use zeroize::Zeroizing;

async fn refusal(options: TemporalOptions) -> TemporalError {
    match TemporalEngine::open(options, Vec::new()).await {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

fn login(key: &str) -> Option<Login> {
    Some(Login { user: "films".to_owned(), password: Zeroizing::new(key.to_owned()) })
}

/// A server that looks at the key of each call and lets nobody in. Returns its address.
fn gatekeeper(tls: Option<ServerTlsConfig>) -> String {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let guard = InterceptorLayer::new(|request: Request<()>| {
        let key = request.metadata().get("authorization").map(|key| key.to_str().unwrap().to_owned());
        match key.as_deref() {
            None => Err::<Request<()>, _>(Status::unauthenticated("no key")),
            Some("Bearer the right key") => Err(Status::permission_denied("not your namespace")),
            Some(_) => Err(Status::unauthenticated("unknown key")),
        }
    });
    let server = match tls {
        Some(tls) => Server::builder().tls_config(tls).unwrap(),
        None => Server::builder(),
    };
    tokio::spawn(server.layer(guard).add_routes(Routes::default()).serve_with_incoming(incoming));
    address
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_once() {
    let address = gatekeeper(None);
    for (key, says) in
        [(None, "no key"), (login("a wrong key"), "unknown key"), (login("the right key"), "not your namespace")]
    {
        let begin = Instant::now();
        let error = refusal(TemporalOptions { login: key, ..TemporalOptions::new(&address, "films") }).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "refused after {:?}", begin.elapsed());
        assert!(matches!(error, TemporalError::Refused { .. }) && !error.may_pass(), "{error}");
        let text = format!("{error}");
        assert!(
            text.starts_with(&format!("temporal at {address} refuses these credentials for namespace \"films\"")),
            "{text}"
        );
        assert!(text.ends_with(says), "{text}");
        assert!(!format!("{error:?}").contains("wrong key"), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_answers() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let wait = Duration::from_millis(700);
    let begin = Instant::now();
    let error = refusal(TemporalOptions { wait, ..TemporalOptions::new(&closed, "films") }).await;
    assert!(begin.elapsed() < wait * 4, "{:?}", begin.elapsed());
    assert!(matches!(error, TemporalError::Unreachable { .. }) && error.may_pass(), "{error}");
    assert!(error.to_string().starts_with(&format!("temporal at {closed} did not answer in ")), "{error}");
}

#[tokio::test]
async fn addresses_are_host_and_port() {
    for (wrong, shown) in
        [("localhost", "localhost"), ("http://h:1", "http://h:1"), ("h:1/path", "h:1/path"), ("u:secret@h:1", "")]
    {
        let error = refusal(TemporalOptions::new(wrong, "films")).await;
        assert_eq!(error.to_string(), format!("temporal address {shown:?} is not host:port"));
    }
    let tls = Some(Tls { authorities: Some("/no/such/file.pem".into()), certificate: None });
    let error = refusal(TemporalOptions { tls, ..TemporalOptions::new("h:1", "films") }).await;
    assert_eq!(error.to_string(), "file /no/such/file.pem for temporal cannot be read");
}

#[tokio::test]
async fn a_missing_namespace_is_named() {
    let Some(address) = crate::engine::address("temporal") else { return };
    let error = refusal(TemporalOptions::new(&address, "no-such-namespace")).await;
    assert_eq!(error.to_string(), format!("temporal at {address} has no namespace \"no-such-namespace\""));
    assert!(!error.may_pass());
}

/// Makes an authority, and certificates of it for a server and a client, with the program `openssl`.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let run = |line: &str| {
        let made = Command::new("openssl").args(line.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{line}: {}", String::from_utf8_lossy(&made.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.path().join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    for authority in ["ca", "other"] {
        run(&format!("req -x509 {key} -keyout {authority}.key -out {authority}.pem -subj /CN={authority} -days 2"));
    }
    for leaf in ["server", "client"] {
        run(&format!("req {key} -keyout {leaf}.key -out {leaf}.csr -subj /CN={leaf}"));
        let signed_by = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext";
        run(&format!("x509 -req -in {leaf}.csr -out {leaf}.pem {signed_by}"));
    }
    folder
}

#[tokio::test]
async fn certificates_are_checked_on_both_sides() {
    let folder = certificates();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| std::fs::read(path(name)).unwrap();
    let identity = Identity::from_pem(read("server.pem"), read("server.key"));
    let tls = ServerTlsConfig::new().identity(identity).client_ca_root(Certificate::from_pem(read("ca.pem")));
    let address = gatekeeper(Some(tls));
    let own = ClientCertificate { chain: path("client.pem"), key: path("client.key") };
    let open = |authority: &str, certificate: Option<ClientCertificate>| {
        let tls = Some(Tls { authorities: Some(path(authority)), certificate });
        let wait = Duration::from_millis(500);
        refusal(TemporalOptions { tls, wait, login: login("the right key"), ..TemporalOptions::new(&address, "films") })
    };
    let error = open("ca.pem", Some(own.clone())).await;
    assert!(matches!(error, TemporalError::Refused { .. }), "the key is told over TLS: {error}");
    let error = open("other.pem", Some(own)).await;
    assert!(matches!(error, TemporalError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("ertificate"), "{error}");
    let error = open("ca.pem", None).await;
    assert!(matches!(error, TemporalError::Unreachable { .. }), "{error}");
}
