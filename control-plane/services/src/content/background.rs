//! What the service does in the background: copies chunks for revisions that begin with them, and goes on with runs of
//! reprocessing. All of it stands in rows, so that another process goes on where one ended.

use std::time::Duration;

use super::error::ContentError;
use super::service::ContentService;

/// Rows that are taken up at once.
const ROWS_MAX: u32 = 64;
/// How often rows of other processes are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl ContentService {
    /// Works in the background until `stop` is ready.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = self.work() => {}
                () = &mut stop => return,
            }
            tokio::select! {
                () = self.inner.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = &mut stop => return,
            }
        }
    }

    /// Works until there is nothing to do; what fails is left for the next time.
    pub async fn work(&self) {
        loop {
            match self.work_once().await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    let error = mcsp_runtime::chain(&error);
                    return tracing::warn!(error, "background work of the content service waits");
                }
            }
        }
    }

    /// Takes up some rows; returns how many there were.
    async fn work_once(&self) -> Result<usize, ContentError> {
        let reuses = self.catalog().reuses(ROWS_MAX).await?;
        for row in &reuses {
            self.reuse(row).await?;
        }
        let planned = self.catalog().planned_items(ROWS_MAX).await?;
        for (run, content) in &planned {
            self.begin_item(run, *content).await?;
        }
        Ok(reuses.len() + planned.len())
    }
}
