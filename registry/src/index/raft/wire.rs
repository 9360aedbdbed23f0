//! What members say to each other for the sake of consensus, in forms of our own: a new version of openraft must not
//! change what an older process hears.

use bytes::Bytes;
use openraft::alias::{LogIdOf, VoteOf};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use super::types::{Members, NodeId, Position, StoredEntry, StoredVote, Types};
use crate::index::command::Time;

pub const APPEND: &str = "/raft/append";
pub const VOTE: &str = "/raft/vote";
pub const PRE_VOTE: &str = "/raft/pre-vote";
pub const TRANSFER: &str = "/raft/transfer";
pub const SNAPSHOT: &str = "/raft/snapshot";
pub const READ: &str = "/raft/read";

/// From whom, to whom, and in which cluster: addresses are used again, so a node takes only what is meant for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter<T> {
    pub cluster: String,
    pub from: NodeId,
    pub to: NodeId,
    pub content: T,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Append {
    pub vote: StoredVote,
    pub before: Option<Position>,
    pub entries: Vec<StoredEntry>,
    pub committed: Option<Position>,
    /// Whether the sender has lately led a majority: only then does `committed` say how far the cluster is.
    #[serde(default)]
    pub leads: bool,
}

/// What can be read of any [`Append`], of newer versions too.
#[derive(Clone, Debug, Deserialize)]
pub struct AppendOfAny {
    pub entries: Vec<AnyEntry>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct AnyEntry {
    #[serde(default)]
    pub level: u32,
}

impl From<AppendEntriesRequest<Types>> for Append {
    fn from(request: AppendEntriesRequest<Types>) -> Self {
        Self {
            vote: (&request.vote).into(),
            before: request.prev_log_id.as_ref().map(Position::from),
            entries: request.entries.iter().map(StoredEntry::from).collect(),
            committed: request.leader_commit.as_ref().map(Position::from),
            leads: false,
        }
    }
}

impl From<Append> for AppendEntriesRequest<Types> {
    fn from(append: Append) -> Self {
        Self {
            vote: append.vote.into(),
            prev_log_id: append.before.map(Into::into),
            entries: append.entries.into_iter().map(Into::into).collect(),
            leader_commit: append.committed.map(Into::into),
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Appended {
    All,
    Until(Option<Position>),
    Conflict,
    HigherVote(StoredVote),
}

impl From<AppendEntriesResponse<Types>> for Appended {
    fn from(response: AppendEntriesResponse<Types>) -> Self {
        match response {
            AppendEntriesResponse::Success => Self::All,
            AppendEntriesResponse::PartialSuccess(until) => Self::Until(until.as_ref().map(Position::from)),
            AppendEntriesResponse::Conflict => Self::Conflict,
            AppendEntriesResponse::HigherVote(vote) => Self::HigherVote((&vote).into()),
        }
    }
}

impl From<Appended> for AppendEntriesResponse<Types> {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::All => Self::Success,
            Appended::Until(until) => Self::PartialSuccess(until.map(Into::into)),
            Appended::Conflict => Self::Conflict,
            Appended::HigherVote(vote) => Self::HigherVote(vote.into()),
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AskVote {
    pub vote: StoredVote,
    pub last: Option<Position>,
    #[serde(default)]
    pub transfer: bool,
}

impl From<VoteRequest<Types>> for AskVote {
    fn from(request: VoteRequest<Types>) -> Self {
        Self {
            vote: (&request.vote).into(),
            last: request.last_log_id.as_ref().map(Position::from),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<AskVote> for VoteRequest<Types> {
    fn from(ask: AskVote) -> Self {
        let mut request = Self::new(ask.vote.into(), ask.last.map(Into::into));
        request.leadership_transfer = ask.transfer;
        request
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Voted {
    pub vote: StoredVote,
    pub last: Option<Position>,
    pub granted: bool,
}

impl From<VoteResponse<Types>> for Voted {
    fn from(response: VoteResponse<Types>) -> Self {
        Self {
            vote: (&response.vote).into(),
            last: response.last_log_id.as_ref().map(Position::from),
            granted: response.vote_granted,
        }
    }
}

impl From<Voted> for VoteResponse<Types> {
    fn from(voted: Voted) -> Self {
        let vote: VoteOf<Types> = voted.vote.into();
        Self::new(vote, voted.last.map(Into::into), voted.granted)
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Transfer {
    pub from: StoredVote,
    pub to: NodeId,
    pub last: Option<Position>,
}

impl From<TransferLeaderRequest<Types>> for Transfer {
    fn from(request: TransferLeaderRequest<Types>) -> Self {
        Self {
            from: request.from_leader().into(),
            to: *request.to_node_id(),
            last: request.last_log_id().map(Position::from),
        }
    }
}

impl From<Transfer> for TransferLeaderRequest<Types> {
    fn from(transfer: Transfer) -> Self {
        Self::new(transfer.from.into(), transfer.to, transfer.last.map(Into::into))
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Transferred {
    Accepted,
    VoteChanged { expected: StoredVote, actual: StoredVote },
    LogNotFlushed { expected: Option<Position>, actual: Option<Position> },
}

impl From<TransferLeaderResponse<Types>> for Transferred {
    fn from(response: TransferLeaderResponse<Types>) -> Self {
        match response {
            Ok(()) => Self::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                Self::VoteChanged { expected: (&expected).into(), actual: (&actual).into() }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => Self::LogNotFlushed {
                expected: expected.as_ref().map(Position::from),
                actual: actual.as_ref().map(Position::from),
            },
        }
    }
}

impl From<Transferred> for TransferLeaderResponse<Types> {
    fn from(transferred: Transferred) -> Self {
        let position = |position: Option<Position>| position.map(LogIdOf::<Types>::from);
        match transferred {
            Transferred::Accepted => Ok(()),
            Transferred::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged { expected: expected.into(), actual: actual.into() })
            }
            Transferred::LogNotFlushed { expected, actual } => {
                Err(TransferLeaderError::LogNotFlushed { expected: position(expected), actual: position(actual) })
            }
        }
    }
}

/// Stands before the bytes of a snapshot (see `index::snapshot`), with its length in four bytes, little-endian.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotHead {
    pub vote: StoredVote,
    pub position: Option<Position>,
    pub members: Members,
}

/// What a leader says when it is asked where a read may stand.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadAt {
    pub index: u64,
    /// The index time at the leader.
    pub time: Time,
}

/// Nothing but itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AskRead {}

/// The head of a snapshot as bytes.
pub fn head(letter: &Letter<SnapshotHead>) -> Result<Bytes, String> {
    let body = rmp_serde::to_vec_named(letter).map_err(|error| error.to_string())?;
    let mut bytes = (body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&body);
    Ok(bytes.into())
}
