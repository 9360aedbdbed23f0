//! The way to other members: openraft's calls become letters, and letters go over `index::peers`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::kept::Kept;
use super::machine::StateSnapshot;
use super::stream::{PIECES, write_with};
use super::transfer;
use super::types::{Members, NodeId, Position, StoredVote, Types};
use super::wire::{self, Append, Appended, AskVote, Letter, SnapshotHead, Transfer, Transferred, Voted};
use crate::index::peers::connection::{CallError, Peer};
use crate::index::peers::dial::Dial;
use crate::index::peers::wire::{Fault, decode};

/// The longest time for entries to be durable at a member; a heartbeat has openraft's own deadline.
const APPEND: Duration = Duration::from_secs(5);
/// The longest time for a whole state to arrive and be installed.
const SNAPSHOT: Duration = Duration::from_mins(30);
/// How long to wait before a member that could not be reached is tried again.
const BACKOFF: Duration = Duration::from_millis(100);
const NO_WORD: &str = "no peers are configured";

/// Makes connections to members.
#[derive(Clone, Debug)]
pub struct Network {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: Mutex<Option<String>>,
    node: NodeId,
    /// None: a node that is alone for good.
    dialer: Option<Arc<dyn Dial>>,
    /// Two connections for each address: letters must not wait behind a snapshot.
    peers: Mutex<BTreeMap<(String, bool), Peer>>,
    /// Why members refuse this node, as they said last.
    refused: Mutex<Option<Fault>>,
    /// Members that did not answer the last letter.
    silent: Mutex<BTreeSet<NodeId>>,
    /// Members at whose addresses another cluster answers.
    foreign: Mutex<BTreeSet<NodeId>>,
    kept: Kept,
    leads: Leads,
}

/// Says whether this node has lately led a majority.
#[derive(Default)]
struct Leads(OnceLock<Box<dyn Fn() -> bool + Send + Sync>>);

impl std::fmt::Debug for Leads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leads")
    }
}

impl Network {
    pub fn new(node: NodeId, cluster: Option<String>, dialer: Option<Arc<dyn Dial>>) -> Self {
        let shared = Shared {
            cluster: Mutex::new(cluster),
            node,
            dialer,
            peers: Mutex::default(),
            refused: Mutex::default(),
            silent: Mutex::default(),
            foreign: Mutex::default(),
            kept: Kept::default(),
            leads: Leads::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on letters are in the name of this cluster.
    pub fn belong_to(&self, cluster: &str) {
        *lock(&self.shared.cluster) = Some(cluster.to_owned());
    }

    /// Why members refused a letter of this node for good.
    pub fn refused(&self) -> Option<Fault> {
        lock(&self.shared.refused).clone()
    }

    /// The members at whose addresses nodes of another cluster answered last. One of them is at the wrong place itself; when
    /// a majority says so, this node is.
    pub fn foreign(&self) -> BTreeSet<NodeId> {
        lock(&self.shared.foreign).clone()
    }

    /// From now on members are told whether this node leads a majority, as `leads` says.
    pub fn tell(&self, leads: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.shared.leads.0.set(Box::new(leads)); // said once, when the node starts
    }

    fn leads(&self) -> bool {
        self.shared.leads.0.get().is_some_and(|leads| leads())
    }

    /// The log that must stay for members to which a state is sent.
    pub fn kept(&self) -> &Kept {
        &self.shared.kept
    }

    /// The connection to an address.
    pub fn peer(&self, address: &str) -> Option<Peer> {
        self.connection(address, false)
    }

    fn connection(&self, address: &str, bulk: bool) -> Option<Peer> {
        let dialer = self.shared.dialer.as_ref()?;
        let mut peers = lock(&self.shared.peers);
        let peer = peers.entry((address.to_owned(), bulk)).or_insert_with(|| Peer::new(address, Arc::clone(dialer)));
        Some(peer.clone())
    }

    /// Says something to a member and waits for its answer.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        target: NodeId,
        address: &str,
        path: &str,
        content: Q,
        deadline: Duration,
    ) -> Result<A, CallError> {
        let peer = self.peer(address).ok_or_else(|| nowhere(address))?;
        let letter = self.letter(target, content);
        let result = peer.call(path, &letter, deadline).await;
        self.hear(target, result.as_ref().err());
        result
    }

    /// Says it once when a member falls silent, and once when it speaks again.
    fn hear(&self, target: NodeId, error: Option<&CallError>) {
        let mut silent = lock(&self.shared.silent);
        match error {
            None => {
                if silent.remove(&target) {
                    tracing::info!(member = target, "a member answers again");
                }
                drop(silent);
                lock(&self.shared.foreign).remove(&target);
            }
            Some(error) => {
                if silent.insert(target) {
                    tracing::warn!(member = target, %error, "a member does not answer");
                }
                drop(silent);
                self.note(target, error);
            }
        }
    }

    fn letter<T>(&self, to: NodeId, content: T) -> Letter<T> {
        let cluster = lock(&self.shared.cluster).clone().unwrap_or_default();
        Letter { cluster, from: self.shared.node, to, content }
    }

    fn note(&self, target: NodeId, error: &CallError) {
        match error.fault() {
            Some(fault @ (Fault::Removed { .. } | Fault::RolledBack { .. })) => {
                let mut refused = lock(&self.shared.refused);
                if refused.as_ref() != Some(fault) {
                    tracing::error!(%error, "a member refuses this node");
                    *refused = Some(fault.clone());
                }
            }
            Some(Fault::OtherCluster { .. }) if lock(&self.shared.foreign).insert(target) => {
                tracing::error!(member = target, %error, "a node of another cluster answers at the address of a member");
            }
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nowhere(address: &str) -> CallError {
    CallError::Unreachable { address: address.to_owned(), source: io::Error::other(NO_WORD) }
}

/// The way to one member.
#[derive(Debug)]
pub struct Line {
    network: Network,
    target: NodeId,
    address: String,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Line;

    async fn new_client(&mut self, target: NodeId, node: &BasicNode) -> Line {
        Line { network: self.clone(), target, address: node.addr.clone() }
    }
}

impl Line {
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        content: Q,
        deadline: Duration,
    ) -> Result<A, RPCError<Types>> {
        self.network.ask(self.target, &self.address, path, content, deadline).await.map_err(|error| match &error {
            CallError::Unanswered { .. } => RPCError::Network(NetworkError::new(&error)),
            CallError::Unreachable { .. } | CallError::Fault { .. } => RPCError::Unreachable(Unreachable::new(&error)),
        })
    }
}

impl RaftNetworkV2<Types> for Line {
    type SnapshotData = StateSnapshot;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let deadline = if request.entries.is_empty() { option.soft_ttl() } else { APPEND };
        let append = Append { leads: self.network.leads(), ..Append::from(request) };
        let appended: Appended = self.ask(wire::APPEND, append, deadline).await?;
        Ok(appended.into())
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let voted: Voted = self.ask(wire::VOTE, AskVote::from(request), option.soft_ttl()).await?;
        Ok(voted.into())
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let voted: Voted = self.ask(wire::PRE_VOTE, AskVote::from(request), option.soft_ttl()).await?;
        Ok(voted.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, StateSnapshot>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let failed = |error: &(dyn std::error::Error + 'static)| {
            StreamingError::Unreachable(Unreachable::new(&io::Error::other(error.to_string())))
        };
        let Some(peer) = self.network.connection(&self.address, true) else {
            return Err(failed(&nowhere(&self.address)));
        };
        let position = snapshot.meta.last_log_id.as_ref().map_or(0, |position| position.index);
        let _kept = self.network.kept().sending(self.target, position);
        let head = SnapshotHead {
            vote: StoredVote::from(&vote),
            position: snapshot.meta.last_log_id.as_ref().map(Position::from),
            members: Members::from(&snapshot.meta.last_membership),
        };
        let letter = self.network.letter(self.target, head);
        let head = wire::head(&letter).map_err(|error| failed(&io::Error::other(error)))?;
        let cluster = letter.cluster;
        let StateSnapshot::View(view) = snapshot.snapshot else {
            return Err(failed(&io::Error::other("a state that is not in force is not sent")));
        };
        let (pieces, channel) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        write_with(pieces, move |output| transfer::send(&view, &cluster, output).map(drop));
        let pieces = futures::stream::once(std::future::ready(Ok(head)))
            .chain(futures::stream::unfold(
                channel,
                |mut channel| async move { Some((channel.recv().await?, channel)) },
            ))
            .map(|piece| piece.map(Frame::data));
        let body = StreamBody::new(pieces).boxed_unsync();
        let sent = tokio::select! {
            biased;
            sent = peer.send(wire::SNAPSHOT, body, SNAPSHOT) => sent,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        let answer = sent.inspect_err(|error| self.network.note(self.target, error)).map_err(|error| failed(&error))?;
        let vote: StoredVote = decode(&answer).map_err(|error| failed(&io::Error::other(error)))?;
        Ok(SnapshotResponse::new(vote.into()))
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let transferred: Transferred = self.ask(wire::TRANSFER, Transfer::from(request), option.soft_ttl()).await?;
        Ok(transferred.into())
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}
