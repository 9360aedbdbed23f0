//! What a node does beside consensus: cuts a log that has grown large before it has grown long, and measures what is on
//! disk. Started by [`super::node`]; ends with it.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::task::JoinHandle;

use super::log::Log;
use super::machine::Machine;
use super::node::NodeError;
use super::types::Raft;
use crate::index::metrics::IndexMetrics;
use crate::index::threads;

/// Bytes of commands after which the log is cut: entries may be as large as a manifest.
const LOG_BYTES: u64 = 256 << 20;
const INTERVAL: Duration = Duration::from_secs(2);
const SNAPSHOT_DEADLINE: Duration = Duration::from_mins(1);

/// The task; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Upkeep(JoinHandle<()>);

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Upkeep {
    pub fn start(raft: Raft, machine: Machine, log: Log, metrics: IndexMetrics) -> Self {
        Self(tokio::spawn(async move {
            let mut cut_at = machine.applied_bytes();
            loop {
                let (now, disk) = (machine.applied_bytes(), (machine.clone(), log.clone()));
                let measure = move || (disk.0.store().disk_space(), disk.1.disk_space());
                if let Ok((state, log)) = threads::blocking(measure).await {
                    metrics.state_bytes.set(state as i64);
                    metrics.log_bytes.set(log as i64);
                }
                if now - cut_at > LOG_BYTES {
                    match cut(&raft).await {
                        Ok(()) => cut_at = now,
                        Err(error) => tracing::warn!(%error, "could not cut the log, trying again"),
                    }
                }
                tokio::time::sleep(INTERVAL).await;
            }
        }))
    }
}

/// Takes a snapshot and removes everything behind it from the log. A member that still needs it is sent the snapshot.
pub async fn cut(raft: &Raft) -> Result<(), NodeError> {
    let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
    let Some(applied) = raft.metrics().borrow_watched().last_applied.as_ref().map(|position| position.index) else {
        return Ok(());
    };
    raft.trigger().snapshot().await.map_err(|error| stopped(&error))?;
    raft.wait(Some(SNAPSHOT_DEADLINE))
        .metrics(|metrics| metrics.snapshot.as_ref().is_some_and(|at| at.index >= applied), "a snapshot is taken")
        .await
        .map_err(|error| stopped(&error))?;
    raft.trigger().purge_log(applied).await.map_err(|error| stopped(&error))
}
