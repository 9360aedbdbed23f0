//! Before a node takes part again it asks the other members how far they have seen its volume: one that was put back to an
//! older copy must not vote or acknowledge anything, not even once.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;

use super::network::Network;
use super::node::Node;
use super::refused::{Reason, Refused};
use super::types::{NodeId, Position};
use super::witness::{Acknowledged, Judgement, certain, judge};
use crate::index::answer::STATUS;
use crate::index::peers::wire::NodeStatus;

/// How long a member may take to answer: all of them may be starting.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks every other member. Those that do not answer have nothing to say against it.
pub async fn greet(
    network: &Network,
    me: NodeId,
    members: &BTreeMap<NodeId, String>,
    offered: &Acknowledged,
) -> Result<(), Refused> {
    let others = members.iter().filter(|(id, _)| **id != me).map(|(id, address)| async move {
        let status = network.peer(address)?.call::<(), NodeStatus>(STATUS, &(), PATIENCE).await.ok()?;
        (status.id == *id).then_some(status)
    });
    for status in join_all(others).await.into_iter().flatten() {
        let seen = status.seen.iter().find(|(id, _)| *id == me);
        if let Some((_, seen)) = seen
            && let Judgement::RolledBack(proof) = judge(seen, offered)
        {
            let detail = format!("{proof}, says {}", status.name);
            return Err(Refused { reason: Reason::RolledBack, detail });
        }
    }
    Ok(())
}

impl Node {
    /// What is certainly committed of what a member offers, as far as this node knows.
    pub fn certain(&self, offered: &Acknowledged) -> Option<Position> {
        let leader = |index| Some(self.log().stored(index..index + 1, 1).ok()??.first()?.position.leader());
        certain(offered.end?, self.applied()?, leader)
    }

    /// The last entry that is durable here, when later ones wait for the disk.
    pub fn waits_for_disk(&self) -> Option<u64> {
        let durable = self.acknowledged().ok()?.end.map_or(0, |end| end.index);
        (self.log().last()?.index > durable).then_some(durable)
    }

    /// Notes, as the leader, how far the others have acknowledged what is committed; what is not may be replaced.
    pub fn note_progress(&self) {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let Some(committed) = metrics.cluster_committed.as_ref().map(Position::from) else { return };
        for (node, matched) in metrics.replication.iter().flatten() {
            if let Some(matched) = matched.as_ref().map(Position::from) {
                self.witness().saw(*node, if matched.index <= committed.index { matched } else { committed });
            }
        }
    }
}
