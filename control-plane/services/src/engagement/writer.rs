//! The writer of heartbeats: whatever waits goes out together, events first.
//!
//! An event in the log without its position is harmless: the player tells again, under the same id. A position without its
//! event would lose what viewers did.

use std::sync::Arc;

use mcsp_catalog::{Catalog, CatalogError, PositionUpdate};
use mcsp_events::Message;
use mcsp_runtime::{EventLog, LogError};
use tokio::sync::{mpsc, oneshot};

/// Heartbeats of one transaction: it holds the catalog's write lock for some milliseconds.
const BATCH_MAX: usize = 500;

/// A heartbeat that waits.
pub(super) struct Pending {
    pub(super) update: PositionUpdate,
    pub(super) message: Message,
    /// Told whether it was news, or nothing where it could not be written.
    pub(super) done: oneshot::Sender<Option<bool>>,
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("events could not be appended")]
    Log(#[from] LogError),
    #[error("positions could not be written")]
    Catalog(#[from] CatalogError),
}

/// Writes until every sender is gone.
pub(super) async fn write(catalog: Catalog, log: Arc<dyn EventLog>, mut waiting: mpsc::Receiver<Pending>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let news = write_batch(&catalog, log.as_ref(), &batch).await;
        if let Err(error) = &news {
            let error = mcsp_runtime::chain(error);
            tracing::error!(error, count = batch.len(), "heartbeats could not be written");
        }
        let news = news.unwrap_or_default();
        for (index, pending) in batch.drain(..).enumerate() {
            // Who asked may have gone.
            let _ = pending.done.send(news.get(index).copied());
        }
    }
}

/// Returns, for each heartbeat, whether it was news.
async fn write_batch(catalog: &Catalog, log: &dyn EventLog, batch: &[Pending]) -> Result<Vec<bool>, WriteError> {
    log.append(batch.iter().map(|pending| pending.message.clone()).collect()).await?;
    let mut tx = catalog.begin().await?;
    let mut news = Vec::with_capacity(batch.len());
    for pending in batch {
        news.push(tx.put_position(&pending.update).await?);
    }
    tx.commit().await?;
    Ok(news)
}
