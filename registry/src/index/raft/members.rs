//! Who belongs to the cluster, and how that changes: begun once, joined as a learner, promoted when caught up, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{BasicNode, ChangeMembers};

use super::node::{Node, NodeError};
use super::types::{NodeId, Types};
use super::upkeep::matched;
use super::volume::write_identity;
use crate::index::peers::wire::{Change, Fault, Form, Member, Replace};
use crate::index::state;

/// Entries that a learner may be behind when it becomes a voter.
const CAUGHT_UP: u64 = 100;
/// How long a change of the membership may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Node {
    /// The members, as this node knows them.
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.raft().metrics();
        let members = metrics.borrow_watched().membership_config.clone();
        let voters: BTreeSet<NodeId> = members.voter_ids().collect();
        members
            .membership()
            .nodes()
            .map(|(id, node)| Member { id: *id, name: node.addr.clone(), voter: voters.contains(id) })
            .collect()
    }

    /// Lets an empty volume belong to a cluster. Said again it changes nothing. `epoch` is that of the one who asks: a copy that
    /// was restored beside its original has the same id, and must not get hold of its nodes.
    pub fn join(&self, cluster: &str, epoch: Option<u64>) -> Result<(), Fault> {
        let mut identity = self.lock_identity();
        if identity.cluster == cluster {
            return match (self.epoch(), epoch) {
                (Some(ours), Some(asked)) if ours != asked => Err(Fault::Refused {
                    reason: format!(
                        "this node belongs to epoch {ours} of the cluster, and epoch {asked} asks: remove its volume first"
                    ),
                }),
                _ => Ok(()),
            };
        }
        if !identity.cluster.is_empty() {
            return Err(Fault::OtherCluster { ours: identity.cluster.clone() });
        }
        let mut new = identity.clone();
        cluster.clone_into(&mut new.cluster);
        write_identity(self.directory(), &new)
            .map_err(|error| Fault::Unavailable { reason: format!("could not write the identity: {error}") })?;
        *identity = new;
        self.network().belong_to(cluster);
        Ok(())
    }

    /// The epoch of the cluster, as the state here knows it; none before the cluster began.
    pub fn epoch(&self) -> Option<u64> {
        state::cluster(&self.view()).ok().flatten().map(|cluster| cluster.epoch)
    }

    /// Begins the cluster with these voters. Said again with the same members it changes nothing.
    pub async fn form(&self, form: &Form) -> Result<(), Fault> {
        let unavailable = |error: &dyn std::fmt::Display| Fault::Unavailable { reason: error.to_string() };
        if self.cluster().as_deref() != Some(&form.cluster) {
            return Err(Fault::OtherCluster { ours: self.cluster().unwrap_or_default() });
        }
        let members: BTreeMap<_, _> = form.members.iter().map(|(id, name)| (*id, BasicNode::new(name))).collect();
        if self.raft().is_initialized().await.map_err(|error| unavailable(&error))? {
            let now: BTreeSet<_> = self.members().into_iter().map(|member| (member.id, member.name)).collect();
            let asked: BTreeSet<_> = form.members.iter().cloned().collect();
            return if now == asked || now.is_empty() {
                Ok(())
            } else {
                let now: Vec<_> = now.into_iter().map(|(_, name)| name).collect();
                Err(Fault::Refused {
                    reason: format!(
                        "the cluster has begun already, with {}: use `roadstead index add` and `remove`",
                        now.join(", ")
                    ),
                })
            };
        }
        if !members.contains_key(&self.id()) {
            return Err(Fault::Refused { reason: "this node is not among the members".into() });
        }
        match self.raft().initialize(members).await {
            Ok(()) | Err(RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Changes the membership; only the leader can.
    pub async fn change(&self, change: &Change) -> Result<(), Fault> {
        match change {
            Change::Add { id, name } => self.add(*id, name).await,
            Change::Promote { id, replace } => self.promote(*id, *replace).await,
            Change::Remove { id } => self.remove(*id).await,
        }
    }

    /// Brings a node one step nearer to the place of its own old id: a learner, then, when it has caught up, a voter if the
    /// old one was one. Asked again and again until it is done; refused while the node has not caught up.
    pub async fn succeed(&self, replace: &Replace) -> Result<(), Fault> {
        let members = self.members();
        let is_in = |id: NodeId| members.iter().find(|member| member.id == id);
        let mut olds = std::iter::once(&replace.old).chain(&replace.between).filter_map(|id| is_in(*id));
        match (olds.next(), is_in(replace.new)) {
            (None, Some(_)) => return Ok(()),
            (None, None) => return Err(Fault::Removed { node: replace.old }),
            (Some(old), _) if old.name != replace.name => {
                return Err(Fault::Refused { reason: format!("node {} is {}", old.id, old.name) });
            }
            (Some(_), None) => {
                self.add(replace.new, &replace.name).await?;
                return Err(Fault::Refused { reason: "it is a learner now, and has not caught up yet".into() });
            }
            (Some(old), Some(_)) if old.voter => self.promote(replace.new, Some(old.id)).await?,
            (Some(old), Some(_)) => self.forget(old.id).await?,
        }
        match olds.next() {
            None => Ok(()),
            Some(other) => Err(Fault::Refused { reason: format!("node {} is not removed yet", other.id) }),
        }
    }

    async fn add(&self, id: NodeId, name: &str) -> Result<(), Fault> {
        if self.has_removed(id) {
            return Err(Fault::Removed { node: id });
        }
        if self.members().iter().any(|member| member.id == id) {
            return Ok(());
        }
        let added = self.raft().add_learner(id, BasicNode::new(name), false);
        done(tokio::time::timeout(PATIENCE, added).await)
    }

    async fn promote(&self, id: NodeId, replace: Option<NodeId>) -> Result<(), Fault> {
        // Only the leader knows how far the others are: anybody else would say that nobody has caught up.
        if !self.leads() {
            return Err(Fault::NotLeader { leader: self.leader().map(|(_, name)| name) });
        }
        let members = self.members();
        let refused = |reason: String| Err(Fault::Refused { reason });
        let Some(member) = members.iter().find(|member| member.id == id) else {
            return refused(format!("node {id} is no member: add it first"));
        };
        if replace == Some(id) {
            return refused(format!("node {id} cannot take its own place"));
        }
        if replace.is_some_and(|old| members.iter().all(|member| member.id != old)) {
            // Done before, by a try whose answer was lost.
            return if member.voter { Ok(()) } else { refused("the node to be replaced is no member".into()) };
        }
        let (end, matched) = self.progress();
        let has = matched.iter().find(|(node, _)| *node == id).map_or(0, |(_, index)| *index);
        if !member.voter && has == 0 {
            let name = &member.name;
            return refused(format!(
                "node {id} has nothing yet: this node has not reached {name}. If DNS does not know that name, it must be in \
                 cluster.addresses of every node"
            ));
        }
        if !member.voter && end.saturating_sub(has) > CAUGHT_UP {
            return refused(format!("node {id} has {has} of {end} entries: it has not caught up yet"));
        }
        let mut changes = vec![ChangeMembers::AddVoterIds(BTreeSet::from([id]))];
        if let Some(old) = replace {
            changes.push(ChangeMembers::RemoveVoters(BTreeSet::from([old])));
        }
        let changed = self.raft().change_membership(ChangeMembers::Batch(changes), false);
        done(tokio::time::timeout(PATIENCE, changed).await)?;
        match replace {
            Some(old) => self.forget(old).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, id: NodeId) -> Result<(), Fault> {
        let members = self.members();
        let Some(member) = members.iter().find(|member| member.id == id) else { return Ok(()) };
        if member.voter {
            if members.iter().filter(|member| member.voter).count() == 1 {
                return Err(Fault::Refused { reason: "the last voter cannot be removed".into() });
            }
            let changed = self.raft().change_membership(ChangeMembers::RemoveVoters(BTreeSet::from([id])), false);
            done(tokio::time::timeout(PATIENCE, changed).await)?;
        }
        self.forget(id).await
    }

    /// Removes a node that is no voter any more from the list of members.
    async fn forget(&self, id: NodeId) -> Result<(), Fault> {
        if self.members().iter().all(|member| member.id != id) {
            return Ok(());
        }
        let changed = self.raft().change_membership(ChangeMembers::RemoveNodes(BTreeSet::from([id])), false);
        done(tokio::time::timeout(PATIENCE, changed).await)
    }

    /// Lets another voter lead: the given one, or the one that has most of the log. Returns when another leads.
    pub async fn transfer(&self, to: Option<NodeId>) -> Result<Option<NodeId>, NodeError> {
        let (_, matched) = self.progress();
        let voters: BTreeSet<_> =
            self.members().into_iter().filter(|member| member.voter).map(|member| member.id).collect();
        let best =
            matched.into_iter().filter(|(id, _)| *id != self.id() && voters.contains(id)).max_by_key(|(_, has)| *has);
        let Some(to) = to.or(best.map(|(id, _)| id)) else { return Ok(None) };
        if to == self.id() {
            return Ok(Some(to)); // it leads already
        }
        // openraft would stop taking anything until that node leads, which it never will.
        if !voters.contains(&to) {
            return Err(NodeError::NoVoter { node: to });
        }
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        self.raft().trigger().transfer_leader(to).await.map_err(|error| stopped(&error))?;
        let me = self.id();
        self.raft()
            .wait(Some(Duration::from_secs(2)))
            .metrics(move |metrics| metrics.current_leader.is_some_and(|leader| leader != me), "another leads")
            .await
            .map_err(|_| NodeError::NoLeader("no other node took the lead in time".into()))?;
        Ok(self.health().leader)
    }

    /// Whether a majority of the voters belongs to another cluster than this node does.
    pub fn is_foreign(&self) -> bool {
        let foreign = self.network().foreign();
        let voters: Vec<_> = self.members().into_iter().filter(|member| member.voter).collect();
        voters.iter().filter(|member| foreign.contains(&member.id)).count() * 2 > voters.len()
    }

    /// The end of the log, and what the leader knows each member to have; empty when this node does not lead.
    pub fn progress(&self) -> (u64, Vec<(NodeId, u64)>) {
        let end = self.raft().metrics().borrow_watched().last_log_index;
        (end.unwrap_or_default(), matched(self.raft()))
    }
}

/// What became of a change.
fn done<T>(
    result: Result<Result<T, RaftError<Types, ClientWriteError<Types>>>, tokio::time::error::Elapsed>,
) -> Result<(), Fault> {
    match result {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
            Err(Fault::NotLeader { leader: forward.leader_node.map(|node| node.addr) })
        }
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))))) => {
            Err(Fault::Refused {
                reason: "another change of the members is under way; try again when it is done".into(),
            })
        }
        Ok(Err(error)) => Err(Fault::Refused { reason: error.to_string() }),
        Err(_) => Err(Fault::Unavailable { reason: "the change was not committed in time; try again".into() }),
    }
}

#[cfg(test)]
mod tests {
    use openraft::errors::InProgress;

    use super::*;

    #[test]
    fn who_changes_the_members_beside_another_is_told_to_try_again() {
        let in_progress = InProgress { committed: None, membership_log_id: None };
        let error = ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(in_progress));
        let fault = done::<()>(Ok(Err(RaftError::APIError(error))));
        assert!(matches!(&fault, Err(Fault::Refused { reason }) if reason.contains("try again")), "{fault:?}");
    }
}
