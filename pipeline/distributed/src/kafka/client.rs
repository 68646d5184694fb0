//! What every connection to the brokers shares: its configuration, names under the namespace, what the library reports, and
//! failures in the port's words.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcsp_events::GroupName;
use mcsp_runtime::LogError;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::options::KafkaOptions;

/// How long one call waits for a broker.
pub(super) const CALL_MAX: Duration = Duration::from_secs(15);

/// Options and names, shared by every connection of a log.
pub(super) struct Client {
    pub(super) options: KafkaOptions,
    reports: Arc<Reports>,
}

impl Client {
    pub(super) fn new(options: KafkaOptions) -> Self {
        Self { options, reports: Arc::new(Reports::default()) }
    }

    /// Returns what every connection has in common.
    pub(super) fn config(&self) -> ClientConfig {
        let options = &self.options;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &options.servers).set("client.id", self.name(&options.process));
        // A dead broker's address is tried again soon: brokers restart within seconds.
        config.set("reconnect.backoff.max.ms", "2000");
        config.set_log_level(RDKafkaLogLevel::Warning);
        let protocol = match (&options.login, &options.tls) {
            (None, None) => "plaintext",
            (None, Some(_)) => "ssl",
            (Some(_), None) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(login) = &options.login {
            config.set("sasl.mechanism", options.mechanism.name());
            config.set("sasl.username", &login.user).set("sasl.password", login.password.as_str());
        }
        let tls = options.tls.as_ref();
        if let Some(authorities) = tls.and_then(|tls| tls.authorities.as_ref()) {
            config.set("ssl.ca.location", authorities.display().to_string());
        }
        if let Some(certificate) = tls.and_then(|tls| tls.certificate.as_ref()) {
            config.set("ssl.certificate.location", certificate.chain.display().to_string());
            config.set("ssl.key.location", certificate.key.display().to_string());
        }
        config
    }

    /// Finds files that cannot be read; the library would say so without their names.
    pub(super) fn check_files(&self) -> Result<(), LogError> {
        let Some(tls) = &self.options.tls else { return Ok(()) };
        let own = tls.certificate.iter().flat_map(|certificate| [&certificate.chain, &certificate.key]);
        for path in tls.authorities.iter().chain(own) {
            if let Err(error) = std::fs::File::open(path) {
                let (servers, path) = (&self.options.servers, path.display());
                let what = format!("kafka at {servers} cannot be used: {path} cannot be read: {error}");
                return Err(LogError::Misused { what });
            }
        }
        Ok(())
    }

    /// Returns the configuration of a consumer that sees committed records alone and commits nothing by itself.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.config();
        config.set("group.id", group).set("isolation.level", "read_committed");
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
        config
    }

    /// Returns the configuration of an idempotent producer.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("acks", "all").set("linger.ms", "0");
        config.set("queue.buffering.max.messages", "200000");
        // Room for an event of the greatest length with its headers.
        config.set("message.max.bytes", MESSAGE_BYTES_MAX.to_string());
        config
    }

    /// Returns a name under the namespace: of a topic, a group or a transaction.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.options.namespace)
    }

    /// Returns the topic of the records that a group set aside.
    pub(super) fn retry_topic(&self, group: &GroupName) -> String {
        self.name(&format!("retry.{group}"))
    }

    /// Returns the topic of what is known of groups: their epochs and replays.
    pub(super) fn groups_topic(&self) -> String {
        self.name("mcsp.groups")
    }

    /// Returns the topic of how far relays came.
    pub(super) fn positions_topic(&self) -> String {
        self.name("mcsp.positions")
    }

    /// Returns what a connection reports to.
    pub(super) fn context(&self) -> Context {
        Context { reports: Arc::clone(&self.reports) }
    }

    /// Puts a failure into the port's words, with what the brokers last said.
    pub(super) fn failed(&self, action: &'static str, error: KafkaError) -> LogError {
        let said = self.reports.last(&error);
        LogError::Engine { action, source: Box::new(KafkaFault { servers: self.options.servers.clone(), said, error }) }
    }

    /// Puts something else that went wrong into the port's words.
    pub(super) fn trouble(&self, action: &'static str, what: &str) -> LogError {
        LogError::Engine { action, source: format!("kafka at {}: {what}", self.options.servers).into() }
    }

    /// Returns an error where the brokers refused who asks, or are not those that are believed: time will not help.
    pub(super) fn refusal(&self) -> Option<LogError> {
        let servers = &self.options.servers;
        let what = match self.reports.refusal()? {
            Refusal::Login(said) => {
                let user = self.options.login.as_ref().map_or("nobody", |login| login.user.as_str());
                format!("kafka at {servers} refuses user {user}: {said}")
            }
            Refusal::Certificate(said) => format!("kafka at {servers} is not believed, or does not believe: {said}"),
        };
        Some(LogError::Misused { what })
    }
}

/// Bytes of one message: a payload of the greatest length and its headers, below the brokers' usual 1 MiB.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A failure of the brokers or the way to them.
#[derive(Debug, thiserror::Error)]
#[error("kafka at {servers}: {error}{}", said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default())]
struct KafkaFault {
    servers: String,
    said: Option<String>,
    error: KafkaError,
}

/// What the library reported beside its answers.
#[derive(Default)]
struct Reports {
    last: Mutex<Option<String>>,
    refused: Mutex<Option<Refusal>>,
}

/// Why brokers and client do not come together.
#[derive(Clone)]
enum Refusal {
    Login(String),
    Certificate(String),
}

impl Reports {
    fn note(&self, error: &KafkaError, reason: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, Authentication, SSL, SaslAuthenticationFailed};
        let reason = reason.to_owned();
        match error.rdkafka_error_code() {
            Some(Authentication | SaslAuthenticationFailed) => *lock(&self.refused) = Some(Refusal::Login(reason)),
            // A connection that breaks while it is made is of the same code.
            Some(SSL) if reason.contains("certificate") => *lock(&self.refused) = Some(Refusal::Certificate(reason)),
            // It says less than what each broker was last found to be.
            Some(AllBrokersDown) => {}
            _ => *lock(&self.last) = Some(reason),
        }
    }

    /// Returns the last report, where an error is one of the way to the brokers and not their answer.
    fn last(&self, error: &KafkaError) -> Option<String> {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, MessageTimedOut, OperationTimedOut, Resolve};
        let way = [AllBrokersDown, BrokerTransportFailure, MessageTimedOut, OperationTimedOut, Resolve];
        let about_the_way = error.rdkafka_error_code().is_some_and(|code| way.contains(&code));
        about_the_way.then(|| lock(&self.last).clone()).flatten()
    }

    fn refusal(&self) -> Option<Refusal> {
        lock(&self.refused).clone()
    }
}

/// Passes the library's reports on.
#[derive(Clone)]
pub(super) struct Context {
    reports: Arc<Reports>,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, "kafka: {text}");
            }
            _ => tracing::debug!(facility, "kafka: {text}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reports.note(&error, reason);
        tracing::debug!(%error, "kafka: {reason}");
    }
}

impl rdkafka::consumer::ConsumerContext for Context {}

/// Runs what waits for brokers on a thread that may wait.
pub(super) async fn wait_for<T: Send + 'static>(
    action: &'static str,
    call: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    let answered = tokio::task::spawn_blocking(call).await;
    answered.unwrap_or_else(|error| Err(LogError::Engine { action, source: Box::new(error) }))
}

/// Locks; what a thread that panicked left is as good as any.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a partition or offset as the library counts them.
pub(super) fn signed_partition(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Returns an offset as the library counts it.
pub(super) fn signed_offset(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
