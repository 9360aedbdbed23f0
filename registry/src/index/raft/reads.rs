//! What makes reads linearizable, and how old a node's state may be without asking anybody.

use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::RaftError;
use openraft::{RaftMetrics, ReadPolicy};

use super::node::{Node, NodeError};
use super::types::{NodeId, Types};
use super::wire::{self, AskRead, ReadAt};
use crate::index::command::Time;

/// How long the leader may take to say where a read may stand.
const READ_DEADLINE: Duration = Duration::from_secs(1);
/// How long this node may take to apply what a read must see.
const APPLY_DEADLINE: Duration = Duration::from_secs(5);
/// A word of a leader, or of a majority to a leader, is good for so long.
pub(super) const CONTACT: Duration = Duration::from_secs(1);

/// How long ago the node `id` was in touch with a majority as its leader; none: it does not lead, or never was.
pub(super) fn led(metrics: &RaftMetrics<Types>, id: NodeId) -> Option<Duration> {
    if metrics.current_leader != Some(id) {
        None
    } else if metrics.membership_config.voter_ids().eq([id]) {
        Some(Duration::ZERO)
    } else {
        metrics.last_quorum_acked.map(|at| at.elapsed())
    }
}

/// How long a mark is looked at before the next is taken.
const MARK: Duration = Duration::from_millis(500);

/// How far the cluster was at a moment, by the word of a leader who led a majority then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    at: Option<Duration>,
    committed: u64,
    /// When a leader was heard again after silence. That word may have waited on its way for as long as the silence.
    heard_again: Option<Duration>,
}

impl Mark {
    /// Notes a word of a leader. It does not move the mark at once, or a state that is a moment behind would never be there.
    fn note(&mut self, now: Duration, committed: u64) {
        let ago = |at: Duration| now.saturating_sub(at);
        let begun = match (self.at, self.heard_again) {
            (Some(at), _) if ago(at) < CONTACT => at,
            (_, Some(again)) if ago(again) < CONTACT => again,
            _ => return self.heard_again = Some(now),
        };
        if ago(begun) >= MARK {
            *self = Self { at: Some(now), committed, heard_again: None };
        }
    }

    /// Whether a state that has applied entries up to `applied` is at most about two seconds old: one for the mark, and one
    /// for the majority that the leader was in touch with.
    fn is_reached(&self, now: Duration, applied: u64) -> bool {
        self.at.is_some_and(|at| now.saturating_sub(at) < CONTACT) && applied >= self.committed
    }
}

impl Node {
    /// A leader has just been heard. `committed`: how far the cluster is, if it knows.
    pub(super) fn heard_leader(&self, committed: Option<u64>) {
        let now = self.age();
        self.heard().store(now.as_millis() as u64 + 1, Ordering::Relaxed);
        if let Some(committed) = committed {
            self.mark().note(now, committed);
        }
    }

    /// How long ago this node was in touch with a leader, or as a leader with a majority; none: never.
    pub fn contact(&self) -> Option<Duration> {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        if let Some(ago) = led(&metrics, self.id()) {
            return Some(ago);
        }
        // One that has just begun to lead has heard nothing of a majority yet, but of the leader before.
        let heard = self.heard().load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.age().saturating_sub(Duration::from_millis(heard)))
    }

    /// Whether the state here is at most about two seconds old.
    pub fn is_fresh(&self) -> bool {
        if self.leads() {
            self.contact().is_some_and(|ago| ago < CONTACT)
        } else {
            self.mark().is_reached(self.age(), self.health().applied)
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_state_is_fresh_when_it_has_reached_what_was_committed_a_moment_ago() {
        let mut mark = Mark::default();
        assert!(!mark.is_reached(at(0), 100), "nothing was heard yet");
        mark.note(at(100), 40);
        mark.note(at(600), 50);
        assert!(!mark.is_reached(at(601), 49), "however lately a leader was heard");
        assert!(mark.is_reached(at(601), 50));
        mark.note(at(800), 70);
        assert!(mark.is_reached(at(801), 50), "it is a moment behind");
        mark.note(at(1100), 90);
        assert!(!mark.is_reached(at(1101), 89) && mark.is_reached(at(1101), 90));
        assert!(!mark.is_reached(at(2100), 1000), "nobody was heard since");
    }

    #[test]
    fn a_word_that_waited_while_nothing_was_heard_makes_no_state_fresh() {
        let mut mark = Mark::default();
        mark.note(at(100), 10);
        mark.note(at(600), 10);
        // The node was stopped for five seconds, and finds what was sent to it at the beginning.
        for waited in [at(5600), at(5601), at(5700)] {
            mark.note(waited, 11);
            assert!(!mark.is_reached(waited, 11), "{waited:?}");
        }
        mark.note(at(6100), 20);
        assert!(!mark.is_reached(at(6100), 11) && mark.is_reached(at(6100), 20));
        // Silence again: what was heard then counts for nothing now.
        mark.note(at(9000), 20);
        mark.note(at(11_000), 20);
        assert!(!mark.is_reached(at(11_000), 20));
    }
}
