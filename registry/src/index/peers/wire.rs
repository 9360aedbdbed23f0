//! What processes of a cluster say to each other, and how it is encoded: MessagePack with field names, so that a field
//! can be added and an older process still understands.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::index::raft::witness::Acknowledged;

use crate::index::command::{Command, Reply, RequestId, Time};
use crate::index::query::Cluster;

/// Encodes a message.
pub fn encode<T: Serialize>(message: &T) -> Result<Bytes, String> {
    rmp_serde::to_vec_named(message).map(Bytes::from).map_err(|error| error.to_string())
}

/// Decodes a message.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

/// Why a call was not answered as it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    #[error("this node does not lead")]
    NotLeader { leader: Option<String> },
    #[error("the certificate does not allow this: it needs one for {needs}")]
    Forbidden { needs: String },
    #[error("there is no such call")]
    NoSuchCall,
    #[error("the call cannot be read: {reason}")]
    Unreadable { reason: String },
    #[error("this node belongs to cluster {ours}")]
    OtherCluster { ours: String },
    #[error("this address is that of node {ours} now")]
    OtherNode { ours: u64 },
    #[error("node {node} was removed from the cluster")]
    Removed { node: u64 },
    #[error("the volume of node {node} is an older copy: {reason}")]
    RolledBack { node: u64, reason: String },
    #[error("this node belongs to no cluster yet")]
    Empty,
    #[error("the index is not available: {reason}")]
    Unavailable { reason: String },
    #[error("the index has no space left")]
    Full,
    #[error("{reason}")]
    Refused { reason: String },
    /// Something that this version does not know.
    #[serde(other)]
    #[error("the peer gave a reason that this version does not know")]
    Unknown,
}

/// Commands of a process without an index, in the order in which they came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Commands {
    pub cluster: String,
    /// A restored cluster has the id of its original.
    #[serde(default)]
    pub epoch: Option<u64>,
    pub commands: Vec<Submitted>,
}

/// One command; the leader stamps the time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submitted {
    pub request: RequestId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    pub command: Command,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandReplies {
    /// The index time of the one who answers.
    pub time: Time,
    pub replies: Vec<Result<Reply, Fault>>,
}

/// Queries of a process without an index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Queries {
    pub cluster: String,
    #[serde(default)]
    pub epoch: Option<u64>,
    pub queries: Vec<Asked>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked {
    pub name: String,
    pub query: Bytes,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryReplies {
    pub time: Time,
    pub replies: Vec<Result<Answered, Fault>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answered {
    pub answer: Bytes,
    /// Given without a quorum, so perhaps out of date.
    #[serde(default)]
    pub stale: bool,
}

/// What a process without an index must know before it can serve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Welcome {
    pub cluster: Cluster,
    pub time: Time,
}

/// How an index node is, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub id: u64,
    pub name: String,
    /// None: the volume is empty.
    pub cluster: Option<String>,
    /// None: the cluster has not begun.
    #[serde(default)]
    pub epoch: Option<u64>,
    pub leader: Option<u64>,
    pub term: u64,
    /// The last entry of its log, and the last that it applied.
    pub end: u64,
    pub applied: u64,
    pub members: Vec<Member>,
    /// The highest feature level that it knows, and the one in force.
    pub level: u32,
    pub level_in_force: u32,
    /// Its own clock, in milliseconds.
    pub wall: u64,
    pub version: String,
    /// Check sums of the state at the same positions on all members.
    #[serde(default)]
    pub sums: Vec<(u64, u64)>,
    /// How far its volume is, and how far it has seen those of others.
    #[serde(default)]
    pub acknowledged: Option<Acknowledged>,
    #[serde(default)]
    pub seen: Vec<(u64, Acknowledged)>,
    /// Expiry and the closing of days pause, since the clocks of the members do not agree.
    #[serde(default)]
    pub time_paused: bool,
    #[serde(default)]
    pub has_space: bool,
    /// What the leader knows each member to have, when this is the leader.
    #[serde(default)]
    pub matched: Vec<(u64, u64)>,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: u64,
    pub name: String,
    pub voter: bool,
}

/// Asks an empty node to belong to a cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Join {
    pub cluster: String,
    /// The epoch of the cluster that asks; none: it begins only now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Joined {
    pub id: u64,
    pub name: String,
}

/// Asks a node to begin the cluster that all these joined.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Form {
    pub cluster: String,
    pub members: Vec<(u64, String)>,
}

/// A change of the membership, asked of the leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Change {
    /// As a learner.
    Add {
        id: u64,
        name: String,
    },
    /// A learner that has caught up becomes a voter, in the place of `replace` if given.
    Promote {
        id: u64,
        replace: Option<u64>,
    },
    Remove {
        id: u64,
    },
}

/// A node whose volume could not be used any more asks to take its own place under a new id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replace {
    pub cluster: String,
    pub old: u64,
    pub new: u64,
    /// Its name: the one that the old id has too.
    pub name: String,
    /// Ids that it had in between, and whose volumes could not be used either.
    #[serde(default)]
    pub between: Vec<u64>,
}
