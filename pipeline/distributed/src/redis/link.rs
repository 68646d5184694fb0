//! One connection to Redis, which comes back by itself. Every call ends within `answer_max`, whatever became of the server.

use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};
use url::Url;

use super::RedisOptions;
use super::error::RedisError;
use crate::authorities::{read, read_authorities};

/// The port that goes without saying.
const PORT_DEFAULT: u16 = 6379;
/// The pause between two tries at open.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The shortest pause before a connection is made again.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
/// The longest such pause.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// A connection, and what its errors name.
#[derive(Clone)]
pub(super) struct Link {
    connection: ConnectionManager,
    pub(super) address: String,
    user: Option<String>,
    answer_max: Duration,
}

impl Link {
    /// Connects; where Redis is not there yet, it is waited for as long as the options say.
    pub(super) async fn open(options: &RedisOptions) -> Result<Self, RedisError> {
        let (address, client) = client(options)?;
        let user = options.login.as_ref().map(|login| login.user.clone());
        let begin = Instant::now();
        loop {
            let error = match Self::connect(options, &client).await {
                Ok(Ok(connection)) => {
                    return Ok(Self { connection, address, user, answer_max: options.answer_max });
                }
                Ok(Err(cause)) => RedisError::of(&address, user.as_deref(), cause),
                Err(_) => RedisError::Silent { address: address.clone(), waited: options.answer_max },
            };
            if !error.may_pass() || begin.elapsed() >= options.open_wait {
                return Err(error);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn connect(
        options: &RedisOptions,
        client: &Client,
    ) -> Result<RedisResult<ConnectionManager>, tokio::time::error::Elapsed> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(options.answer_max))
            .set_response_timeout(Some(options.answer_max))
            .set_min_delay(RECONNECT_MIN)
            .set_max_delay(RECONNECT_MAX)
            // One that fails is begun anew by the next call, so a long chain would only keep that call waiting.
            .set_number_of_retries(1);
        tokio::time::timeout(options.answer_max, ConnectionManager::new_with_config(client.clone(), config)).await
    }

    /// Makes one call. Where no answer comes the call may have taken effect.
    pub(super) async fn call<T, F>(&self, call: impl FnOnce(ConnectionManager) -> F) -> Result<T, RedisError>
    where
        T: FromRedisValue,
        F: Future<Output = RedisResult<T>>,
    {
        match tokio::time::timeout(self.answer_max, call(self.connection.clone())).await {
            Ok(answer) => answer.map_err(|cause| RedisError::of(&self.address, self.user.as_deref(), cause)),
            Err(_) => Err(RedisError::Silent { address: self.address.clone(), waited: self.answer_max }),
        }
    }
}

/// Returns host and port, and a client that has not connected.
fn client(options: &RedisOptions) -> Result<(String, Client), RedisError> {
    let tail = options.url.rsplit('@').next().unwrap_or_default();
    let refuse = || RedisError::Address { url: tail.to_owned() };
    let url = Url::parse(&options.url).map_err(|_| refuse())?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(refuse)?.trim_matches(['[', ']']).to_owned();
    let port = url.port().unwrap_or(PORT_DEFAULT);
    let with_login = !url.username().is_empty() || url.password().is_some();
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        text => text.parse::<u16>().map_err(|_| refuse())?,
    };
    if with_login || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse());
    }
    let address = format!("{host}:{port}");
    let mut info = RedisConnectionInfo::default().set_db(i64::from(database));
    if let Some(login) = &options.login {
        info = info.set_password(login.password.as_str());
        if !login.user.is_empty() {
            info = info.set_username(&login.user);
        }
    }
    // A peer that vanished without a word is noticed by what it does not acknowledge.
    let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(options.answer_max);
    let info = |addr: ConnectionAddr| {
        let info = addr.into_connection_info()?.set_redis_settings(info).set_tcp_settings(tcp);
        RedisResult::Ok(info)
    };
    let client = match url.scheme() {
        "redis" => info(ConnectionAddr::Tcp(host, port)).and_then(Client::open),
        "rediss" => {
            let certificates = certificates(options, &address)?;
            // The client takes the process's provider; another part of the process may have chosen it before.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let addr = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None };
            info(addr).and_then(|info| Client::build_with_tls(info, certificates))
        }
        _ => return Err(refuse()),
    };
    match client {
        Ok(client) => Ok((address, client)),
        Err(source) => Err(RedisError::Refused { address, source }),
    }
}

fn certificates(options: &RedisOptions, address: &str) -> Result<TlsCertificates, RedisError> {
    let failed = |source| RedisError::Tls { address: address.to_owned(), source };
    let root_cert = options.tls.authorities.as_deref().map(read_authorities).transpose().map_err(failed)?;
    let client_tls = match &options.tls.certificate {
        Some(shown) => {
            let (client_cert, client_key) = (read(&shown.chain).map_err(failed)?, read(&shown.key).map_err(failed)?);
            Some(ClientTlsConfig { client_cert, client_key })
        }
        None => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> String {
        match client(&RedisOptions::new(url)) {
            Ok((address, client)) => {
                let info = client.get_connection_info();
                format!("{address} {} {}", info.redis_settings().db(), info.addr())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn addresses_are_read_and_never_hold_a_login() {
        let refused = |shown: &str| {
            format!("redis address {shown:?} is not redis://host:port/database or rediss://…, without a login")
        };
        for (url, expected) in [
            ("redis://127.0.0.1:6390/3", "127.0.0.1:6390 3 127.0.0.1:6390".to_owned()),
            ("redis://cache", "cache:6379 0 cache:6379".to_owned()),
            ("rediss://cache.example.org:1/", "cache.example.org:1 0 cache.example.org:1".to_owned()),
            ("redis://user:secret@cache:1", refused("cache:1")),
            ("redis://cache/seven", refused("redis://cache/seven")),
            ("http://cache", refused("http://cache")),
            ("", refused("")),
        ] {
            assert_eq!(address(url), expected, "{url}");
        }
    }
}
