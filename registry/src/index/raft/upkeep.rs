//! What a node does beside consensus: takes snapshots and cuts its log behind them, when it has grown long or large, and
//! measures what is on disk. Started by [`super::node`]; ends with it.

use std::time::Duration;

use openraft::alias::LogIdOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::{RaftMetrics, WaitError};
use tokio::task::JoinHandle;

use super::kept::Kept;
use super::log::Log;
use super::machine::Machine;
use super::node::NodeError;
use super::types::{NodeId, Raft, Types};
use crate::index::metrics::IndexMetrics;
use crate::index::threads;

/// Bytes of commands after which the log is cut: entries may be as large as a manifest.
const LOG_BYTES: u64 = 256 << 20;
/// A log that is larger than this is not kept for members that receive a state.
const KEPT_BYTES: u64 = 1 << 30;
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

/// When the log is cut, and what stays of it.
#[derive(Clone, Debug)]
pub struct Cutting {
    /// Entries between two snapshots.
    pub every: u64,
    /// Entries that stay behind a snapshot.
    pub leave: u64,
    pub kept: Kept,
}

impl Upkeep {
    pub fn start(raft: Raft, machine: Machine, log: Log, cutting: Cutting, metrics: IndexMetrics) -> Self {
        Self(tokio::spawn(async move {
            let mut cut_at = machine.applied_bytes();
            let mut tried = 0;
            loop {
                let (now, disk) = (machine.applied_bytes(), (machine.clone(), log.clone()));
                let measure = move || (disk.0.store().disk_space(), disk.1.disk_space());
                let mut log_bytes = 0;
                if let Ok((state, log)) = threads::blocking(measure).await {
                    metrics.state_bytes.set(state as i64);
                    metrics.log_bytes.set(log as i64);
                    log_bytes = log;
                }
                let (taken, applied) = standing(&raft);
                let is_long = applied >= taken.max(tried) + cutting.every;
                if is_long || now - cut_at > LOG_BYTES {
                    tried = applied;
                    let leave = if now - cut_at > LOG_BYTES { 0 } else { cutting.leave };
                    let kept = (log_bytes <= KEPT_BYTES).then_some(&cutting.kept);
                    match cut(&raft, leave, kept).await {
                        Ok(()) => cut_at = now,
                        Err(error) => tracing::warn!(%error, "could not cut the log, trying again"),
                    }
                }
                let due = standing(&raft).0.max(tried) + cutting.every;
                let is_long = |now: &RaftMetrics<Types>| index(now.last_applied.as_ref()) >= due;
                // Whether it grew, or the time is over: the next turn finds out.
                if let Err(WaitError::ShuttingDown) =
                    raft.wait(Some(INTERVAL)).metrics(is_long, "the log has grown").await
                {
                    return;
                }
            }
        }))
    }
}

fn index(position: Option<&LogIdOf<Types>>) -> u64 {
    position.map_or(0, |position| position.index)
}

/// Where the last snapshot ends, and what is applied.
fn standing(raft: &Raft) -> (u64, u64) {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    (index(metrics.snapshot.as_ref()), index(metrics.last_applied.as_ref()))
}

/// What the leader knows each member to have; empty when this node does not lead.
pub fn matched(raft: &Raft) -> Vec<(NodeId, u64)> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    metrics.replication.iter().flatten().map(|(id, position)| (*id, index(position.as_ref()))).collect()
}

/// Takes a snapshot and removes everything from the log but what is to be left behind it, and what is kept for others. A
/// member that needs more is sent the snapshot.
pub async fn cut(raft: &Raft, leave: u64, kept: Option<&Kept>) -> Result<(), NodeError> {
    let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
    let (_, applied) = standing(raft);
    if applied == 0 {
        return Ok(());
    }
    raft.trigger().snapshot().await.map_err(|error| stopped(&error))?;
    raft.wait(Some(SNAPSHOT_DEADLINE))
        .metrics(|metrics| metrics.snapshot.as_ref().is_some_and(|at| at.index >= applied), "a snapshot is taken")
        .await
        .map_err(|error| stopped(&error))?;
    let end = applied.saturating_sub(leave);
    let limit = kept.and_then(|kept| kept.limit(&matched(raft), end));
    let end = limit.map_or(end, |limit| end.min(limit));
    if end == 0 {
        return Ok(());
    }
    raft.trigger().purge_log(end).await.map_err(|error| stopped(&error))
}
