//! The one configuration of openraft's types, and the forms in which its values are stored. Stored forms are ours, so
//! that a new version of openraft cannot change what is on disk.

use std::collections::{BTreeMap, BTreeSet};

use openraft::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf, StoredMembershipOf, VoteOf};
use openraft::{BasicNode, EntryPayload, Membership, StoredMembership};
use serde::{Deserialize, Serialize};

use crate::index::command::{Proposal, Reply};
use crate::index::level::{self, FIRST, Newer};
use crate::index::state::sums::Sums;

/// What runs consensus; in a simulation its randomness comes from a seed.
#[cfg(not(feature = "simulation"))]
pub type Runtime = openraft::impls::TokioRuntime;
#[cfg(feature = "simulation")]
pub type Runtime = openraft_rt::deterministic_rng::DeterministicRng<openraft::impls::TokioRuntime>;

openraft::declare_raft_types!(
    /// A command stamped by the leader goes in, the state machine's reply comes out.
    pub Types: D = Proposal, R = Reply, Node = BasicNode, AsyncRuntime = Runtime
);

pub type Raft = openraft::Raft<Types, super::machine::Machine>;
pub type NodeId = u64;

/// A position of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub term: u64,
    pub node: NodeId,
    pub index: u64,
}

impl Position {
    /// Which leader wrote the entry: two may have led in one term, one of them in vain.
    pub const fn leader(&self) -> (u64, NodeId) {
        (self.term, self.node)
    }

    /// The order of positions in a log.
    pub const fn place(&self) -> (u64, NodeId, u64) {
        (self.term, self.node, self.index)
    }
}

impl From<&LogIdOf<Types>> for Position {
    fn from(id: &LogIdOf<Types>) -> Self {
        Self { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
    }
}

impl From<Position> for LogIdOf<Types> {
    fn from(position: Position) -> Self {
        let leader: CommittedLeaderIdOf<Types> =
            openraft::impls::leader_id_adv::LeaderId { term: position.term, node_id: position.node };
        Self { leader_id: leader, index: position.index }
    }
}

/// Who belongs to the cluster, since which entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub since: Option<Position>,
    /// One set of voters, or two while they change.
    pub voters: Vec<BTreeSet<NodeId>>,
    /// Everybody, with the address of each.
    pub nodes: BTreeMap<NodeId, String>,
}

impl Members {
    fn of(membership: &Membership<NodeId, BasicNode>, since: Option<Position>) -> Self {
        Self {
            since,
            voters: membership.get_joint_config().clone(),
            nodes: membership.nodes().map(|(id, node)| (*id, node.addr.clone())).collect(),
        }
    }

    fn membership(&self) -> Membership<NodeId, BasicNode> {
        let nodes: BTreeMap<_, _> = self.nodes.iter().map(|(id, addr)| (*id, BasicNode::new(addr))).collect();
        // What was stored was valid; a voter without an address would be one that cannot be reached.
        Membership::new(self.voters.clone(), nodes)
            .unwrap_or_else(|_| Membership::new_with_defaults(self.voters.clone(), self.nodes.keys().copied()))
    }
}

impl From<&StoredMembershipOf<Types>> for Members {
    fn from(stored: &StoredMembershipOf<Types>) -> Self {
        Self::of(stored.membership(), stored.log_id().as_ref().map(Position::from))
    }
}

impl From<&Members> for StoredMembershipOf<Types> {
    fn from(members: &Members) -> Self {
        if members.voters.is_empty() {
            return Self::default();
        }
        StoredMembership::new(members.since.map(Into::into), members.membership())
    }
}

/// An entry of the log, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    pub position: Position,
    /// The feature level that its reader must know.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub level: u32,
    pub content: Content,
}

const fn first() -> u32 {
    FIRST
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
const fn is_first(level: &u32) -> bool {
    *level == FIRST
}

/// Why the bytes of an entry are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    Newer(#[from] Newer),
    #[error("the entry does not decode: {0}")]
    Unreadable(String),
}

impl StoredEntry {
    /// Decodes an entry. One that a newer roadstead wrote is told from one that is damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, EntryError> {
        /// What can be read of any entry.
        #[derive(Deserialize)]
        struct Any {
            #[serde(default = "first")]
            level: u32,
        }
        let entry: Self = match rmp_serde::from_slice(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                let Any { level } =
                    rmp_serde::from_slice(bytes).map_err(|_| EntryError::Unreadable(error.to_string()))?;
                level::check("an entry", level)?;
                return Err(EntryError::Unreadable(error.to_string()));
            }
        };
        // It may have fields that are not known here, and were left out.
        level::check("an entry", entry.level)?;
        Ok(entry)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Marks the beginning of a term.
    Blank,
    Command(Proposal),
    Members(Members),
}

impl From<&EntryOf<Types>> for StoredEntry {
    fn from(entry: &EntryOf<Types>) -> Self {
        let (level, content) = match &entry.payload {
            EntryPayload::Blank => (FIRST, Content::Blank),
            EntryPayload::Normal(proposal) => (proposal.command.reader(), Content::Command(proposal.clone())),
            EntryPayload::Membership(membership) => (FIRST, Content::Members(Members::of(membership, None))),
        };
        Self { position: (&entry.log_id).into(), level, content }
    }
}

impl From<StoredEntry> for EntryOf<Types> {
    fn from(stored: StoredEntry) -> Self {
        let payload = match stored.content {
            Content::Blank => EntryPayload::Blank,
            Content::Command(proposal) => EntryPayload::Normal(proposal),
            Content::Members(members) => EntryPayload::Membership(members.membership()),
        };
        Self { log_id: stored.position.into(), payload }
    }
}

/// A vote, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredVote {
    pub term: u64,
    pub node: NodeId,
    pub committed: bool,
}

impl From<&VoteOf<Types>> for StoredVote {
    fn from(vote: &VoteOf<Types>) -> Self {
        Self { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
    }
}

impl From<StoredVote> for VoteOf<Types> {
    fn from(stored: StoredVote) -> Self {
        let leader_id = openraft::impls::leader_id_adv::LeaderId { term: stored.term, node_id: stored.node };
        Self { leader_id, committed: stored.committed }
    }
}

/// What the state says of itself: the last applied entry, and the members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub position: Option<Position>,
    pub members: Members,
    /// The index up to which the state came as a snapshot: the log need not hold what led there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<u64>,
    /// Nodes that were members once: they are refused for ever.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub removed: BTreeSet<NodeId>,
    /// Check sums of the state.
    #[serde(default, skip_serializing_if = "Sums::is_unknown")]
    pub sums: Sums,
}

impl Applied {
    /// Puts other members in force.
    pub fn change(&mut self, members: Members) {
        let gone = self.members.nodes.keys().filter(|id| !members.nodes.contains_key(id)).copied();
        self.removed.extend(gone.collect::<Vec<_>>());
        self.members = members;
    }
}
