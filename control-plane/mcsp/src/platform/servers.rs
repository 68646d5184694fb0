//! Engines that are servers: from the configuration's words to their options, and opened.

use std::time::Duration;

use anyhow::{Context, ensure};
use mcsp_catalog::{Catalog, PostgresCertificate, PostgresOptions, PostgresTls, PostgresTrust};
use mcsp_distributed::{
    Addressing as S3Addressing, ClientCertificate, KafkaLog, KafkaOptions, KafkaTopic, Login, OnEmpty as RedisEmpty,
    RedisOptions, RedisTtl, S3Options, S3Store, SaslMechanism, TemporalEngine, TemporalOptions, Tls,
};
use mcsp_domain::Bucket;
use mcsp_runtime::saga::SagaDefinition;

use super::credentials;
use crate::config::{Addressing, Config, Kafka, OnEmpty, Proof, Redis, S3, Server};

/// Opens the log on Kafka; `process` is a name that the next process at this place takes again.
///
/// # Errors
/// When the login cannot be read, or the brokers are not there or refuse: the message names them.
pub(super) async fn kafka(config: &Config, kafka: &Kafka, process: String) -> anyhow::Result<KafkaLog> {
    let options = KafkaOptions {
        login: login(&kafka.server)?,
        mechanism: match kafka.proof {
            Proof::Plain => SaslMechanism::Plain,
            Proof::Sha256 => SaslMechanism::ScramSha256,
            Proof::Sha512 => SaslMechanism::ScramSha512,
        },
        tls: tls(&kafka.server),
        namespace: kafka.namespace.clone(),
        topics: topics(config),
        replication: kafka.replication,
        ..KafkaOptions::new(kafka.server.hosts.clone(), process)
    };
    KafkaLog::open(options).await.context("log.url")
}

/// The topics of the catalogue, as this platform wants them.
fn topics(config: &Config) -> Vec<KafkaTopic> {
    let wanted = config.log.topics.iter().map(|(topic, wanted)| KafkaTopic {
        partitions: wanted.partitions,
        durability: wanted.durability,
        retention: Duration::from_secs(u64::from(wanted.retention_days) * 24 * 3600),
        ..KafkaTopic::from(*topic)
    });
    wanted.collect()
}

/// Opens the ledger on Redis; `lease` is how long claims may outlive a process.
///
/// # Errors
/// When the login cannot be read, or the server is not there, refuses, forgets, or holds no ledger.
pub(super) async fn redis(redis: &Redis, lease: Duration) -> anyhow::Result<RedisTtl> {
    let Server { hosts, path, .. } = &*redis.server;
    let scheme = if redis.server.tls.is_some() { "rediss" } else { "redis" };
    let database = if path.is_empty() { "0" } else { path };
    let options = RedisOptions {
        login: login(&redis.server)?,
        tls: tls(&redis.server).unwrap_or_default(),
        prefix: redis.prefix.clone(),
        on_empty: match redis.on_empty {
            OnEmpty::Refuse => RedisEmpty::Refuse,
            OnEmpty::Begin => RedisEmpty::Begin { settle: lease },
        },
        ..RedisOptions::new(&format!("{scheme}://{hosts}/{database}"))
    };
    RedisTtl::open(&options).await.context("ledger.url")
}

/// Opens a bucket.
///
/// # Errors
/// When the login is missing or cannot be read, or the server is not there, refuses, or lacks the bucket.
pub(super) async fn bucket(s3: &S3, bucket: &Bucket) -> anyhow::Result<S3Store> {
    let login = login(&s3.server)?.context("objects.login: S3 is asked with an access key and a secret key")?;
    let options = S3Options {
        endpoint: s3.endpoint(),
        public_endpoint: s3.public_url.clone(),
        region: s3.region.clone(),
        tls: tls(&s3.server).unwrap_or_default(),
        addressing: match s3.addressing {
            Addressing::Path => S3Addressing::Path,
            Addressing::Host => S3Addressing::Host,
        },
        ..S3Options::new("", bucket.clone(), login)
    };
    S3Store::open(&options).await.context("objects.url")
}

/// Opens the catalog on Postgres.
///
/// # Errors
/// When the login cannot be read, or the server is not there, refuses, or holds another schema.
pub(super) async fn postgres(server: &Server) -> anyhow::Result<Catalog> {
    let mut options = PostgresOptions::of_url(&format!("postgres://{}/{}", server.hosts, server.path))?;
    if !server.user.is_empty() {
        options.user.clone_from(&server.user);
    }
    if let Some(login) = login(server)? {
        (options.user, options.password) = (login.user, Some(login.password));
    }
    if let Some(tls) = tls(server) {
        let certificate = tls.certificate.map(|own| PostgresCertificate { chain: own.chain, key: own.key });
        options.tls = PostgresTls::On { trust: PostgresTrust::default(), authorities: tls.authorities, certificate };
    }
    Catalog::open_postgres(options).await.context("catalog.url")
}

/// Drives sagas on Temporal.
///
/// # Errors
/// When the login cannot be read, or the server is not there, refuses, or lacks the namespace.
pub(super) async fn temporal(
    server: &Server,
    lease: Duration,
    definitions: Vec<SagaDefinition>,
) -> anyhow::Result<TemporalEngine> {
    let options = TemporalOptions {
        login: login(server)?,
        tls: tls(server),
        lease,
        ..TemporalOptions::new(server.hosts.clone(), server.path.clone())
    };
    TemporalEngine::open(options, definitions).await.context("sagas.url")
}

/// Who we are at a server: what the file of its login says, or its URL.
fn login(server: &Server) -> anyhow::Result<Option<Login>> {
    if let Some(path) = &server.login {
        ensure!(server.password.is_none(), "{server:?} holds a password already, beside {}", path.display());
        return credentials::login(path).map(Some);
    }
    let password = server.password.clone();
    Ok(password.map(|password| Login { user: server.user.clone(), password }))
}

fn tls(server: &Server) -> Option<Tls> {
    let files = server.tls.clone()?;
    let certificate = files.certificate.zip(files.key).map(|(chain, key)| ClientCertificate { chain, key });
    Some(Tls { authorities: files.authority, certificate })
}
