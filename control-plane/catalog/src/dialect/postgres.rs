//! Postgres: transactions that write come one after another by an advisory lock, as SQLite's do; reads run beside them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection as _, PgConnection, PgPool};
use tokio::time::{Instant, timeout_at};

use super::listen::Listener;
use super::{Engine, postgres_fault};
use crate::wake::Wakes;
use crate::{CatalogError, PostgresOptions, PostgresTls, PostgresTrust, schema};

/// A transaction of Postgres.
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Postgres>;

/// The advisory lock of those who write, in its database: "MCSC".
const WRITE_LOCK: i64 = 0x4d43_5343;
/// What the table of migrations is marked with.
const MARK: &str = "migrations of an mcsp catalog";
/// How long a task waits for a connection of this process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between two tries to reach a server that is starting.
const OPEN_RETRY: Duration = Duration::from_millis(100);
/// Rest after which a connection is tried before it is used: the server may have gone away.
const TRUSTED_REST: Duration = Duration::from_secs(1);
/// What a session is set to. A transaction whose process hangs, or whose machine is gone, must not hold the others for long.
const SESSION: [(&str, &str); 5] = [
    ("idle_in_transaction_session_timeout", "60000"),
    ("tcp_keepalives_idle", "20"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "4"),
    ("default_transaction_isolation", "read committed"),
];

/// An open database of a server.
pub(crate) struct Postgres {
    at: String,
    pub(super) writers: PgPool,
    pub(super) readers: PgPool,
    listener: Listener,
}

impl Postgres {
    /// Reaches the server, and brings the schema up to date.
    pub(super) async fn open(
        options: &PostgresOptions,
        new_id: &str,
        wakes: &Arc<Wakes>,
    ) -> Result<Self, CatalogError> {
        let at = options.at();
        readable_files(&at, &options.tls)?;
        let connect = connect_options(options);
        let deadline = Instant::now() + options.open_wait;
        while let Err(error) = prepare(&at, &connect, new_id).await {
            if !error.may_pass() || Instant::now() >= deadline {
                return Err(error);
            }
            tokio::time::sleep(OPEN_RETRY).await;
        }
        let writers_max = (options.connections_max / 5).max(1);
        let readers_max = options.connections_max.saturating_sub(writers_max + 1).max(1);
        let read_only = connect.clone().options([("default_transaction_read_only", "on")]);
        Ok(Self {
            at,
            readers: pool(readers_max).connect_lazy_with(read_only),
            writers: pool(writers_max).connect_lazy_with(connect.clone()),
            listener: Listener::start(connect, Arc::clone(wakes)).await,
        })
    }

    /// Begins a transaction that will write, once no other one does. What it reads then is what all before it have
    /// committed, since every statement sees what was committed when it began.
    pub(super) async fn begin(&self) -> Result<Transaction, CatalogError> {
        let fault = |source| self.fault("begin a transaction", source);
        let writers = self.writers.clone();
        // In a task of its own: left in the middle, the session would be in a transaction that sqlx does not know of.
        let begun = tokio::spawn(async move { writers.begin().await }).await;
        let begun = begun.unwrap_or_else(|error| Err(sqlx::Error::Io(std::io::Error::other(error))));
        let mut transaction = begun.map_err(fault)?;
        lock(&mut transaction).await.map_err(fault)?;
        Ok(transaction)
    }

    /// Gives an engine's error its meaning.
    pub(super) fn fault(&self, action: &'static str, source: sqlx::Error) -> CatalogError {
        postgres_fault::fault(&self.at, action, source)
    }

    /// Returns the database's name, as errors give it.
    pub(super) fn at(&self) -> &str {
        &self.at
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.listener.stop();
        self.readers.close().await;
        self.writers.close().await;
    }
}

/// Writes the definition of tables for Postgres. Texts compare by their bytes, as SQLite's do, whatever the language of the
/// database: ids come in the order of their time, and `~` after all of them.
pub(super) fn definition(sql: &str) -> String {
    sql.replace(" TEXT", " TEXT COLLATE \"C\"")
}

pub(crate) fn connect_options(options: &PostgresOptions) -> PgConnectOptions {
    let mut connect = PgConnectOptions::new_without_pgpass()
        .host(&options.host)
        .port(options.port)
        .database(&options.database)
        .username(&options.user)
        .application_name("mcsp")
        .options(SESSION)
        .options([("lock_timeout", options.busy_timeout.as_millis().max(1).to_string())])
        .disable_statement_logging();
    if let Some(password) = &options.password {
        connect = connect.password(password);
    }
    let PostgresTls::On { trust, authorities, certificate } = &options.tls else {
        return connect.ssl_mode(PgSslMode::Disable);
    };
    connect = connect.ssl_mode(match trust {
        PostgresTrust::Host => PgSslMode::VerifyFull,
        PostgresTrust::Authority => PgSslMode::VerifyCa,
    });
    if let Some(authorities) = authorities {
        connect = connect.ssl_root_cert(authorities);
    }
    match certificate {
        Some(certificate) => connect.ssl_client_cert(&certificate.chain).ssl_client_key(&certificate.key),
        None => connect,
    }
}

/// Reads the files of TLS once, so that one that is missing is told by its name.
fn readable_files(at: &str, tls: &PostgresTls) -> Result<(), CatalogError> {
    let PostgresTls::On { authorities, certificate, .. } = tls else { return Ok(()) };
    let pair = certificate.iter().flat_map(|certificate| [&certificate.chain, &certificate.key]);
    for path in authorities.iter().chain(pair) {
        std::fs::read(path).map_err(|error| {
            let what = format!("file {}: {error}", path.display());
            CatalogError::Tls { at: at.to_owned(), source: sqlx::Error::Configuration(what.into()) }
        })?;
    }
    Ok(())
}

fn pool(connections_max: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, rest| {
            Box::pin(async move {
                if rest.idle_for >= TRUSTED_REST {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

/// Waits until no other transaction of any process writes; the lock goes with the transaction.
async fn lock(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITE_LOCK).execute(connection).await.map(drop)
}

/// Checks whose database it is before anything is written to it, then migrates it.
async fn prepare(at: &str, connect: &PgConnectOptions, new_id: &str) -> Result<(), CatalogError> {
    let fault = |action: &'static str| move |source| postgres_fault::fault(at, action, source);
    let connected = timeout_at(Instant::now() + CONNECT_TIMEOUT, connect.connect()).await;
    let connected = connected.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
    let mut connection = connected.map_err(fault("connect"))?;
    let is_ours = check_owner(at, &mut connection).await?;
    // A schema that is up to date is left alone, so that a long transaction elsewhere delays nobody.
    let current = fault("read the table of migrations");
    if is_ours && schema::is_current(at, Engine::Postgres, (&mut connection).into(), current).await? {
        return connection.close().await.map_err(fault("close a connection"));
    }
    let mut transaction = connection.begin().await.map_err(fault("begin the migrations"))?;
    lock(&mut transaction).await.map_err(fault("begin the migrations"))?;
    check_owner(at, &mut transaction).await?;
    let apply = fault("apply the migrations");
    schema::migrate(at, Engine::Postgres, (&mut *transaction).into(), new_id, apply).await?;
    let mark = sqlx::AssertSqlSafe(format!("COMMENT ON TABLE migration IS '{MARK}'"));
    sqlx::query(mark).execute(&mut *transaction).await.map_err(fault("mark the database as a catalog"))?;
    transaction.commit().await.map_err(fault("commit the migrations"))?;
    connection.close().await.map_err(fault("close a connection"))
}

/// Refuses a database of another program, or one that cannot hold our texts; tells whether it is ours or still empty.
async fn check_owner(at: &str, connection: &mut PgConnection) -> Result<bool, CatalogError> {
    let sql = "SELECT current_setting('server_encoding'), obj_description(to_regclass('migration'), 'pg_class'),
        (SELECT COUNT(*) FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p')
            AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e'))";
    let row = sqlx::query_as(sql).fetch_one(connection).await;
    let (encoding, mark, tables): (String, Option<String>, i64) =
        row.map_err(|source| postgres_fault::fault(at, "read whose database it is", source))?;
    let found = match mark {
        _ if encoding != "UTF8" => format!("a database in {encoding}, not in UTF8"),
        Some(mark) if mark == MARK => return Ok(true),
        None if tables == 0 => return Ok(false),
        _ => format!("a database of another program ({tables} tables)"),
    };
    Err(CatalogError::Foreign { at: at.to_owned(), found })
}
