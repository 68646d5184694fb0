//! Commits of other processes, told by the server (`LISTEN` and `NOTIFY`): they wake those who wait here. A notification that
//! is lost with its connection is no harm, since everybody looks by himself now and then.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::task::JoinHandle;

use super::postgres::Transaction;
use crate::wake::Wakes;

/// Where commits are told; a channel belongs to its database.
const CHANNEL: &str = "mcsp_catalog";
/// Time between two tries to listen again.
const RETRY: Duration = Duration::from_secs(1);

/// Listens until it is dropped.
pub(super) struct Listener {
    task: JoinHandle<()>,
}

impl Listener {
    /// Listens from now on; a server that is gone meanwhile is waited for in the background.
    pub(super) async fn start(options: PgConnectOptions, wakes: Arc<Wakes>) -> Self {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let first = listening(&pool).await;
        Self { task: tokio::spawn(follow(pool, first, wakes)) }
    }

    /// Ends it.
    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Has a transaction tell other processes of it when it commits.
pub(super) async fn tell(transaction: &mut Transaction, text: &str) -> Result<(), sqlx::Error> {
    let query = sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(text);
    query.execute(&mut **transaction).await.map(drop)
}

async fn listening(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

async fn follow(pool: PgPool, first: Result<PgListener, sqlx::Error>, wakes: Arc<Wakes>) {
    let mut listener = first;
    loop {
        match listener {
            Ok(listener) => {
                let error = heard(listener, &wakes).await.err();
                tracing::info!(
                    ?error,
                    "the catalog's server no longer tells of commits, which are looked for meanwhile"
                );
            }
            Err(error) => tracing::debug!(%error, "the catalog's server does not tell of commits yet"),
        }
        tokio::time::sleep(RETRY).await;
        listener = listening(&pool).await;
        if listener.is_ok() {
            // Whatever was told meanwhile is not known.
            wakes.wake_all();
        }
    }
}

/// Wakes those whom commits concern, until the connection is lost.
async fn heard(mut listener: PgListener, wakes: &Wakes) -> Result<(), sqlx::Error> {
    while let Some(notification) = listener.try_recv().await? {
        wakes.wake_by(notification.payload());
    }
    Ok(())
}
