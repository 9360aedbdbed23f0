//! What makes reads linearizable, and how old a node's state may be without asking anybody.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::Instant as _;
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::RaftError;

use super::node::{Node, NodeError};
use super::wire::{self, AskRead, ReadAt};
use crate::index::command::Time;

/// How long the leader may take to say where a read may stand.
const READ_DEADLINE: Duration = Duration::from_secs(1);
/// How long this node may take to apply what a read must see.
const APPLY_DEADLINE: Duration = Duration::from_secs(5);
/// A word of a leader, or of a majority to a leader, is good for so long.
const CONTACT: Duration = Duration::from_secs(1);

impl Node {
    /// A leader has just been heard.
    pub(super) fn heard_leader(&self) {
        let now = self.age().as_millis() as u64;
        self.heard().store(now + 1, Ordering::Relaxed);
    }

    /// How long ago this node was in touch with a leader, or as a leader with a majority; none: never.
    pub fn contact(&self) -> Option<Duration> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        if metrics.current_leader == Some(self.id()) {
            if metrics.membership_config.voter_ids().eq([self.id()]) {
                return Some(Duration::ZERO);
            }
            return metrics.last_quorum_acked.map(|at| at.elapsed());
        }
        let heard = self.heard().load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.age().saturating_sub(Duration::from_millis(heard)))
    }

    /// Whether the state here is at most about a second old.
    pub fn is_fresh(&self) -> bool {
        self.contact().is_some_and(|ago| ago < CONTACT)
    }

    /// Makes sure that this node leads and returns the position that a read must not be behind (Raft thesis §6.4).
    pub async fn confirm_lead(&self) -> Result<u64, NodeError> {
        match self.raft().get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().log_id().index),
            Err(RaftError::Fatal(error)) => Err(NodeError::Stopped(error.to_string())),
            Err(error) => Err(NodeError::NoLeader(error.to_string())),
        }
    }

    /// Waits until the state here is at least as new as this moment: ReadIndex, asked of the leader when that is another.
    /// Returns the leader's time then.
    pub async fn read_barrier(&self) -> Result<Option<Time>, NodeError> {
        let (index, time) = match self.leader() {
            Some((id, address)) if id != self.id() => {
                let network = self.network();
                let asked = network.ask::<_, ReadAt>(id, &address, wire::READ, AskRead {}, READ_DEADLINE).await;
                let at = asked.map_err(|error| NodeError::NoLeader(error.to_string()))?;
                (at.index, Some(at.time))
            }
            Some(_) => (self.confirm_lead().await?, None),
            None => return Err(NodeError::NoLeader("none is known".into())),
        };
        self.raft()
            .wait(Some(APPLY_DEADLINE))
            .applied_index_at_least(Some(index), "a read is caught up")
            .await
            .map_err(|error| NodeError::NoLeader(error.to_string()))?;
        Ok(time)
    }
}
