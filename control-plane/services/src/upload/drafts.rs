//! Drafts on their way into the catalog: those that come while a transaction is on its way to the disk share the next one,
//! so that many sessions cost one sync.

use mcsp_catalog::Catalog;
use tokio::sync::{mpsc, oneshot};

use super::UploadError;
use crate::content::{self, ContentError, NewDraft};

/// Drafts of one transaction: it holds the catalog's writer, and others wait for that.
const BATCH_MAX: usize = 64;
/// Drafts that wait; their requests wait with them beyond that.
const WAITING_MAX: usize = 1024;

/// A draft, and who waits for it.
struct Job {
    draft: NewDraft,
    tell: oneshot::Sender<Result<(), ContentError>>,
}

/// Writes drafts.
pub(super) struct Drafts {
    sender: mpsc::Sender<Job>,
}

impl Drafts {
    /// Starts writing; ends when this is dropped.
    pub(super) fn start(catalog: Catalog) -> Self {
        let (sender, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            let mut jobs = Vec::new();
            while waiting.recv_many(&mut jobs, BATCH_MAX).await > 0 {
                write(&catalog, std::mem::take(&mut jobs)).await;
            }
        });
        Self { sender }
    }

    /// Writes a draft; it is on the disk when this returns.
    ///
    /// # Errors
    /// When a text is over its limit, the catalog fails, or the service ends.
    pub(super) async fn add(&self, draft: NewDraft) -> Result<(), UploadError> {
        let (tell, told) = oneshot::channel();
        self.sender.send(Job { draft, tell }).await.map_err(|_| UploadError::Closing)?;
        Ok(told.await.map_err(|_| UploadError::Closing)??)
    }
}

async fn write(catalog: &Catalog, jobs: Vec<Job>) {
    let together = write_together(catalog, &jobs).await;
    if together.is_ok() || jobs.len() == 1 {
        let mut answer = Some(together);
        for job in jobs {
            // Who no longer waits has hung up; its draft is swept like any that nobody goes on with.
            let _ = job.tell.send(answer.take().unwrap_or(Ok(())));
        }
        return;
    }
    // One of them may be at fault: the others are not to fail with it.
    for job in jobs {
        let alone = write_together(catalog, std::slice::from_ref(&job)).await;
        let _ = job.tell.send(alone);
    }
}

async fn write_together(catalog: &Catalog, jobs: &[Job]) -> Result<(), ContentError> {
    let mut tx = catalog.begin().await?;
    for job in jobs {
        content::draft(&mut tx, job.draft.clone()).await?;
    }
    Ok(tx.commit().await?)
}
