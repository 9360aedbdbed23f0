//! Reclaiming: the background work that keeps the store as small as the index says. It runs all the time, beside pushes,
//! and decides nothing by itself: what may go was condemned by an entry of the log, or lies in a day that is closed.
//!
//! `serve` starts it. Each kind of work has a file: [`owner`] (whose store is it), [`sweep`] (expiry and condemned
//! objects), [`orphans`] (objects that no entry names), [`scrub`] (are the bytes still right), [`join`] (blobs in many
//! pieces). A failure of one is logged and tried again at the next turn; nothing here may end the process.

pub mod join;
pub mod metrics;
pub mod orphans;
pub mod owner;
pub mod scrub;
pub mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blobs::{Store, StoreError};
use crate::config::Config;
use crate::index::archive::Archived;
use crate::index::archive::backups::{BackupError, Backups};
use crate::index::query::Cluster;
use crate::index::{Index, IndexError};
pub use metrics::ReclaimMetrics;
pub use owner::{OwnerError, check, claim};

/// What the work needs.
#[derive(Clone, Debug)]
pub struct Reclaimer {
    pub index: Index,
    pub store: Arc<dyn Store>,
    pub metrics: ReclaimMetrics,
    /// How far the archive is; none: there is none.
    pub archived: Option<Archived>,
}

/// Why a turn was not finished.
#[derive(Debug, thiserror::Error)]
pub enum ReclaimError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Backup(#[from] BackupError),
}

impl Reclaimer {
    fn cluster(&self) -> &Cluster {
        self.index.cluster()
    }

    /// Starts the work; it ends when `stop` is cancelled.
    pub fn start(self, config: &Config, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
        let interval = Duration::from_secs(config.reclaim.interval_seconds.max(1));
        let (reclaimer, token) = (self.clone(), stop.clone());
        let turns = tokio::spawn(async move {
            let (mut sweep, mut orphans) = (sweep::Sweep::default(), orphans::Orphans::default());
            let work = async {
                loop {
                    if reclaimer.index.leads() {
                        reclaimer.turn(&mut sweep, &mut orphans).await;
                    }
                    tokio::time::sleep(interval).await;
                }
            };
            token.run_until_cancelled(work).await;
        });
        let mut tasks = vec![turns];
        if config.blobs.scrub_days > 0 {
            let (token, days) = (stop.clone(), config.blobs.scrub_days);
            tasks.push(tokio::spawn(async move {
                token.run_until_cancelled(scrub::forever(self, days)).await;
            }));
        }
        tasks
    }

    /// Does what is due now.
    async fn turn(&self, sweep: &mut sweep::Sweep, orphans: &mut orphans::Orphans) {
        if self.index.time_is_doubtful() {
            return; // it would expire what is not old
        }
        let backups = Backups::new(self.index.clone(), Arc::clone(&self.store));
        for (work, result) in [
            ("looking after backups", Box::pin(backups.look_after()).await.map_err(ReclaimError::from)),
            ("expiring and deleting", sweep.run(self).await),
            ("looking for orphans", orphans.run(self).await),
        ] {
            if let Err(error) = result {
                self.metrics.failures.inc();
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    work,
                    error = format!("{error:#}"),
                    "reclaiming did not finish; it goes on at the next turn"
                );
            }
        }
    }
}
