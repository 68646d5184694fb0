//! TLS and logins against the real servers: the right login over TLS gets in; a wrong one, and a server whose authority
//! nobody knows, are told by the server's address, and no error holds a password.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report, in helpers too")]

use std::error::Error;
use std::time::Duration;

use mcsp_distributed::Login;

use crate::engine;

/// A password that no server knows.
const WRONG: &str = "wr0ng";
/// Longer than an answer takes, shorter than a test may.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// Returns the login with another password.
fn wrong(login: &Login) -> Login {
    Login { user: login.user.clone(), password: WRONG.to_owned().into() }
}

/// Returns what an error says with all its causes, after a look that it holds no password.
fn told(error: &(dyn Error + 'static), login: &Login) -> String {
    let text = format!("{} {error:?}", mcsp_runtime::chain(error));
    assert!(!text.contains(WRONG) && !text.contains(login.password.as_str()), "a password is told");
    mcsp_runtime::chain(error)
}

#[cfg(feature = "kafka")]
mod kafka {
    use mcsp_distributed::{KafkaLog, KafkaOptions, SaslMechanism, Tls};
    use mcsp_events::Topic;

    use super::*;

    #[tokio::test]
    async fn the_right_login_over_tls_gets_in_and_no_other() {
        let Some(servers) = engine::tls_address("kafka") else { return };
        let login = engine::login("kafka").unwrap();
        let options = KafkaOptions {
            namespace: format!("secured-{}.", uuid::Uuid::now_v7().simple()),
            topics: vec![Topic::UploadCompleted.into()],
            login: Some(login.clone()),
            tls: Some(engine::tls()),
            ..KafkaOptions::new(&servers, "secured")
        };
        for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
            KafkaLog::open(KafkaOptions { mechanism, ..options.clone() }).await.unwrap();
            let wrong =
                KafkaOptions { mechanism, login: Some(wrong(&login)), connect_max: OPEN_WAIT, ..options.clone() };
            let told = told(&KafkaLog::open(wrong).await.err().unwrap(), &login);
            assert!(told.contains(&servers), "{told}");
        }
        let unknown = KafkaOptions { tls: Some(Tls::default()), connect_max: OPEN_WAIT, ..options };
        let told = told(&KafkaLog::open(unknown).await.err().unwrap(), &login);
        assert!(told.contains(&servers) && told.contains("certificate"), "{told}");
    }
}

#[cfg(feature = "redis")]
mod redis {
    use mcsp_distributed::{OnEmpty, RedisOptions, RedisTtl, Tls};

    use super::*;

    #[tokio::test]
    async fn the_right_login_over_tls_gets_in_and_no_other() {
        let Some(url) = engine::tls_address("redis") else { return };
        let login = engine::login("redis").unwrap();
        let options = RedisOptions {
            login: Some(login.clone()),
            tls: engine::tls(),
            prefix: format!("secured-{}", uuid::Uuid::now_v7().simple()),
            on_empty: OnEmpty::Begin { settle: Duration::ZERO },
            open_wait: OPEN_WAIT,
            ..RedisOptions::new(&url)
        };
        let address = url.trim_start_matches("rediss://").to_owned();
        RedisTtl::open(&options).await.unwrap();
        let others = [
            RedisOptions { login: Some(wrong(&login)), ..options.clone() },
            RedisOptions { login: None, ..options.clone() },
            RedisOptions { tls: Tls::default(), ..options },
        ];
        for other in others {
            let told = told(&RedisTtl::open(&other).await.err().unwrap(), &login);
            assert!(told.contains(&address), "{told}");
        }
    }
}

#[cfg(feature = "s3")]
mod s3 {
    use mcsp_distributed::{S3Options, S3Store, Tls};
    use mcsp_domain::Bucket;

    use super::*;

    #[tokio::test]
    async fn the_right_login_over_tls_gets_in_and_no_other() {
        let Some(address) = engine::tls_address("s3") else { return };
        let login = engine::login("s3").unwrap();
        let (endpoint, bucket) = address.rsplit_once('/').unwrap();
        let options = S3Options {
            tls: engine::tls(),
            open_wait: OPEN_WAIT,
            ..S3Options::new(endpoint, Bucket::parse(bucket).unwrap(), login.clone())
        };
        S3Store::open(&options).await.unwrap();
        let others =
            [S3Options { login: wrong(&login), ..options.clone() }, S3Options { tls: Tls::default(), ..options }];
        for other in others {
            let told = told(&S3Store::open(&other).await.err().unwrap(), &login);
            assert!(told.contains(endpoint), "{told}");
        }
    }
}

#[cfg(feature = "temporal")]
mod temporal {
    use mcsp_distributed::{ClientCertificate, TemporalEngine, TemporalOptions, Tls};

    use super::*;

    /// The namespace that is there from the start.
    fn options(address: &str) -> TemporalOptions {
        let namespace = std::env::var("MCSP_TEMPORAL_NAMESPACE").unwrap();
        TemporalOptions { wait: OPEN_WAIT, keep: Duration::ZERO, ..TemporalOptions::new(address, namespace) }
    }

    #[tokio::test]
    async fn the_right_key_over_tls_gets_in_and_no_other() {
        let Some(address) = engine::tls_address("temporal") else { return };
        let login = engine::login("temporal").unwrap();
        let options = TemporalOptions { login: Some(login.clone()), tls: Some(engine::tls()), ..options(&address) };
        TemporalEngine::open(options.clone(), Vec::new()).await.unwrap();
        let others = [
            TemporalOptions { login: Some(wrong(&login)), ..options.clone() },
            TemporalOptions { login: None, ..options.clone() },
            TemporalOptions { tls: Some(Tls::default()), ..options },
        ];
        for other in others {
            let told = told(&TemporalEngine::open(other, Vec::new()).await.err().unwrap(), &login);
            assert!(told.contains(&address), "{told}");
        }
    }

    #[tokio::test]
    async fn a_certificate_stands_for_a_key() {
        let Some(address) = engine::tls_address("temporal") else { return };
        let file = |name: &str| std::env::var_os(name).unwrap().into();
        let certificate = ClientCertificate { chain: file("MCSP_CLIENT_CERTIFICATE"), key: file("MCSP_CLIENT_KEY") };
        let tls = Tls { certificate: Some(certificate), ..engine::tls() };
        TemporalEngine::open(TemporalOptions { tls: Some(tls), ..options(&address) }, Vec::new()).await.unwrap();
    }
}
