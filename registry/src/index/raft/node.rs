//! A member of the cluster: its identity, its log and state on one volume, and openraft between them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, RaftError};
use openraft::{BasicNode, Config, SnapshotPolicy};
use tokio::time::Instant;

use super::greet::greet;
use super::log::{Log, LogError};
use super::machine::{Machine, applied_of};
use super::network::Network;
use super::reads::{self, Mark};
use super::refused::{self, Halt, Refused};
use super::states::States;
use super::types::{NodeId, Raft, Types};
use super::upkeep::{self, Cutting, Upkeep};
pub use super::volume::Identity;
use super::volume::{identity, lock, sync_directories};
use super::witness::{self, Acknowledged, Generation, Witness};
use crate::index::command::{Proposal, Reply, Time};
use crate::index::durable;
use crate::index::level::{self, Newer};
use crate::index::metrics::IndexMetrics;
use crate::index::peers::dial::Dial;
use crate::index::peers::wire::Fault;
use crate::index::state;
use crate::index::state::store::{Store, StoreError, View};
use crate::index::threads;

/// Entries between two snapshots, after which the log is cut; and entries kept behind a snapshot.
pub const SNAPSHOT_EVERY: u64 = 10_000;
const LOG_KEPT: u64 = 1_000;
/// Milliseconds without a word of the leader before an election, when nothing else is configured.
pub const ELECTION: u64 = 300;

/// How a node is started.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    pub directory: PathBuf,
    /// The way to other members; none: a node that is alone for good, and forms a cluster of its own.
    pub dialer: Option<Arc<dyn Dial>>,
    /// Milliseconds without a word of the leader before an election; each node adds up to a third by chance.
    pub election: u64,
    /// Entries between two snapshots.
    pub snapshot_entries: u64,
    /// The id of a new volume; none: a random one.
    pub id: Option<NodeId>,
}

impl NodeOptions {
    /// Alone, with the defaults.
    pub fn alone(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            dialer: None,
            election: ELECTION,
            snapshot_entries: SNAPSHOT_EVERY,
            id: None,
        }
    }
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeHealth {
    /// Why it stopped for good.
    pub stopped: Option<String>,
    pub leader: Option<NodeId>,
    pub term: u64,
    /// The position of the last applied entry, and of the last one in the log.
    pub applied: u64,
    pub end: u64,
}

/// Why a node could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("could not use the directory {directory}")]
    Directory {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{file} was written by a newer roadstead (format {format}); start that version again")]
    NewerFormat { file: PathBuf, format: u32 },
    #[error("the directory {directory} is used by another process")]
    InUse { directory: PathBuf },
    #[error("a restore into {directory} was cut short: run `roadstead restore` again, which begins anew")]
    CutShort { directory: PathBuf },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] StoreError),
    #[error(transparent)]
    Newer(#[from] Newer),
    #[error(
        "the volume must not be used, {refused} ({file} says so). With peers, remove the volume and let the node join as a \
         new one; without, restore it from a backup"
    )]
    Refused { file: PathBuf, refused: Refused },
    #[error(
        "the log ends at {log} but the state has applied {state}: acknowledged entries are missing from the log. With \
         peers, the node is made again from them; without, restore it from a backup"
    )]
    LogBehindState { log: u64, state: u64 },
    #[error(
        "the state has applied {state} but the log begins behind {log}: acknowledged entries are missing. With peers, the \
         node is made again from them; without, restore it from a backup"
    )]
    StateBehindLog { log: u64, state: u64 },
    #[error("consensus stopped: {0}")]
    Stopped(String),
    #[error("there is no leader: {0}")]
    NoLeader(String),
    #[error("node {node} is no voter: only a voter can lead; `roadstead index promote` makes it one")]
    NoVoter { node: NodeId },
    /// The entry was in our log when another began to lead: it may be in that one's log, too.
    #[error("another node began to lead before the command was committed: {0}")]
    Discarded(String),
}

/// A running member.
#[derive(Clone)]
pub struct Node {
    raft: Raft,
    machine: Machine,
    log: Log,
    shared: Arc<Shared>,
}

struct Shared {
    id: NodeId,
    directory: PathBuf,
    identity: Mutex<Identity>,
    network: Network,
    states: States,
    generation: Generation,
    witness: Witness,
    /// Held while a whole state is received: two would write into one directory.
    receiving: Arc<tokio::sync::Mutex<()>>,
    began: Instant,
    /// When a leader was heard last, in milliseconds since `began`, plus one; 0: never.
    heard: AtomicU64,
    mark: Mutex<Mark>,
    /// Whether it was said that another history was sent.
    contradicted: AtomicBool,
    cutting: Cutting,
    _upkeep: Upkeep,
    /// Held while the process uses the volume.
    _lock: File,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.shared.id).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the volume. A node that is alone leads when this returns; one with peers waits for them, or for the word
    /// that it belongs to a cluster.
    pub async fn start(options: &NodeOptions, metrics: &IndexMetrics) -> Result<Self, NodeError> {
        let directory = options.directory.as_path();
        let alone = options.dialer.is_none();
        let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
        durable::private(directory).map_err(failed)?;
        let lock = lock(directory)?;
        refused::check(directory)?;
        let generation = witness::begin(directory, random()).map_err(failed)?;
        let identity = identity(directory, alone, options.id)?;
        let states = States::new(directory);
        let store = Store::open(&states.current().map_err(failed)?)?;
        state::level(&store.view())
            .map_err(|error| failed(io::Error::other(error)))
            .and_then(|in_force| Ok(level::check("the state", in_force)?))?;
        let stands = applied_of(&store).map_err(failed)?;
        let applied = stands.position.map_or(0, |position| position.index);
        let log = Log::open(&directory.join("log"), applied, metrics)?;
        // The directories themselves must be durable before anything in them is.
        sync_directories(directory).map_err(failed)?;
        let purged = log.purged().map_err(failed)?.map_or(0, |position| position.index);
        let end = log.last().map_or(purged, |position| position.index);
        if end < applied && applied > stands.installed.unwrap_or_default() {
            return Err(NodeError::LogBehindState { log: end, state: applied });
        }
        if applied < purged {
            return Err(NodeError::StateBehindLog { log: purged, state: applied });
        }
        metrics.applied_position.set(applied as i64);

        let machine = Machine::new(states.clone(), store, metrics.clone());
        machine.attach(&log);
        let config = Config {
            cluster_name: identity.cluster.clone(),
            heartbeat_interval: (options.election / 4).clamp(25, 250),
            // openraft lets a follower stand once its lease (the largest timeout) and a random timeout are over: here
            // after 3/3 to 4/3 of what is configured.
            election_timeout_min: options.election / 3,
            election_timeout_max: options.election * 2 / 3,
            enable_pre_vote: Some(true),
            // Both are for `upkeep` to do, which knows what must stay.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            max_payload_entries: 256,
            install_snapshot_timeout: 1_800_000,
            // A leader sends entries before its own disk has them. One that comes back without some must not go on in its old
            // term: its new entries would have the ids of those that others hold, and pass for them.
            enable_leader_restore: Some(options.dialer.is_none()),
            ..Config::default()
        };
        let config = config.validate().map_err(|error| NodeError::Stopped(error.to_string()))?;
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        let cluster = Some(identity.cluster.clone()).filter(|cluster| !cluster.is_empty());
        let cluster_is_known = cluster.is_some();
        let network = Network::new(identity.node, cluster, options.dialer.clone());
        if options.dialer.is_some() && cluster_is_known {
            let vote = log.vote().map_err(failed)?;
            let end = log.last().map_or_else(|| log.purged(), |last| Ok(Some(last))).map_err(failed)?;
            let offered = Acknowledged { generation, term: vote.map_or(0, |vote| vote.term), end };
            if let Err(refused) = greet(&network, identity.node, &stands.members.nodes, &offered).await {
                refused::refuse(directory, &refused).map_err(failed)?;
                return Err(NodeError::Refused { file: directory.join(refused::FILE), refused });
            }
        }
        let raft = Raft::new(identity.node, Arc::new(config), network.clone(), log.clone(), machine.clone())
            .await
            .map_err(|error| stopped(&error))?;
        let entries = options.snapshot_entries;
        let cutting = Cutting { every: entries, leave: LOG_KEPT.min(entries), kept: network.kept().clone() };
        let upkeep = Upkeep::start(raft.clone(), machine.clone(), log.clone(), cutting.clone(), metrics.clone());
        let shared = Arc::new(Shared {
            id: identity.node,
            directory: directory.to_owned(),
            identity: Mutex::new(identity),
            network,
            states,
            receiving: Arc::default(),
            generation,
            witness: Witness::default(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            mark: Mutex::default(),
            contradicted: AtomicBool::new(false),
            cutting,
            _upkeep: upkeep,
            _lock: lock,
        });
        let node = Self { raft, machine, log, shared };
        // It must not hold the node: that would never be dropped.
        let (metrics, id) = (node.raft.metrics(), node.shared.id);
        node.network().tell(move || reads::led(&metrics.borrow_watched(), id).is_some_and(|ago| ago < reads::CONTACT));
        node.begin(alone).await?;
        Ok(node)
    }

    /// A node that is alone forms its cluster; a single voter need not wait for its election timeout.
    async fn begin(&self, alone: bool) -> Result<(), NodeError> {
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        if self.raft.is_initialized().await.map_err(|error| stopped(&error))? {
            let voters = self.members().into_iter().filter(|member| member.voter);
            if !voters.map(|member| member.id).eq([self.shared.id]) {
                return Ok(());
            }
            self.raft.trigger().elect(false).await.map_err(|error| stopped(&error))?;
        } else if alone {
            let members = std::collections::BTreeMap::from([(self.shared.id, BasicNode::new("self"))]);
            self.raft.initialize(members).await.map_err(|error| stopped(&error))?;
        } else {
            return Ok(());
        }
        self.raft
            .wait(Some(Duration::from_secs(10)))
            .metrics(|metrics| metrics.current_leader.is_some(), "a leader is known")
            .await
            .map_err(|error| NodeError::NoLeader(error.to_string()))?;
        Ok(())
    }

    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// The cluster that the volume belongs to.
    pub fn cluster(&self) -> Option<String> {
        Some(self.lock_identity().cluster.clone()).filter(|cluster| !cluster.is_empty())
    }

    pub(super) fn lock_identity(&self) -> MutexGuard<'_, Identity> {
        self.shared.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Where log and state are.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    pub(super) fn states(&self) -> States {
        self.shared.states.clone()
    }

    /// The right to receive a whole state; none while another is received.
    pub(super) fn begin_receiving(&self) -> Option<tokio::sync::OwnedMutexGuard<()>> {
        Arc::clone(&self.shared.receiving).try_lock_owned().ok()
    }

    /// The way to other members.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    pub(super) fn has_removed(&self, node: NodeId) -> bool {
        self.machine.has_removed(node)
    }

    /// Takes a letter, or says why not.
    pub(super) fn admits(&self, cluster: &str, from: NodeId, to: NodeId) -> Result<(), Fault> {
        match self.cluster() {
            None => return Err(Fault::Empty),
            Some(ours) if ours != cluster => return Err(Fault::OtherCluster { ours }),
            Some(_) => {}
        }
        if to != self.shared.id {
            return Err(Fault::OtherNode { ours: self.shared.id });
        }
        if self.has_removed(from) {
            return Err(Fault::Removed { node: from });
        }
        Ok(())
    }

    pub(super) fn heard(&self) -> &AtomicU64 {
        &self.shared.heard
    }

    pub(super) fn mark(&self) -> MutexGuard<'_, Mark> {
        self.shared.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A letter would have replaced what is applied here.
    pub(super) fn contradicted(&self, position: u64) {
        if !self.shared.contradicted.swap(true, Ordering::Relaxed) {
            tracing::error!(
                position,
                "a leader sends another history than the one that is applied here: the cluster was begun again, perhaps on empty \
                 volumes. Nothing of it is taken: this node may have the last copy of the index. Keep its volume"
            );
        }
    }

    /// How long this node has run.
    pub fn age(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// The index time of the last entry applied here.
    pub fn last_time(&self) -> Time {
        self.machine.last_time()
    }

    pub fn leads(&self) -> bool {
        self.raft.is_leader()
    }

    /// The leader as this node knows it, with its address.
    pub fn leader(&self) -> Option<(NodeId, String)> {
        let leader = self.raft.metrics().borrow_watched().current_leader?;
        self.members().into_iter().find(|member| member.id == leader).map(|member| (leader, member.name))
    }

    /// What to tell one who took this node for the leader.
    pub(super) fn not_leader(&self, error: &NodeError) -> Fault {
        if let NodeError::Stopped(reason) = error {
            return Fault::Unavailable { reason: reason.clone() };
        }
        let other = self.leader().filter(|(id, _)| *id != self.shared.id);
        Fault::NotLeader { leader: other.map(|(_, name)| name) }
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// How this node is told that it must not go on.
    pub fn halt(&self) -> &Halt {
        self.log.halt()
    }

    /// What this node has seen others acknowledge.
    pub fn witness(&self) -> &Witness {
        &self.shared.witness
    }

    /// How far this node's volume is. What is not durable yet does not count: after a crash it may be gone.
    pub fn acknowledged(&self) -> io::Result<Acknowledged> {
        let durable = *self.log.durable().borrow();
        let end = durable.end.map_or_else(|| self.log.purged(), |end| Ok(Some(end)))?;
        Ok(Acknowledged { generation: self.shared.generation, term: durable.term, end })
    }

    /// Proposes a command, and waits until it is applied here.
    pub async fn write(&self, proposal: Proposal) -> Result<Reply, NodeError> {
        match self.raft.client_write(proposal).await {
            Ok(written) => Ok(written.data),
            Err(RaftError::APIError(ClientWriteError::LogEntryDiscarded(leader))) => {
                Err(NodeError::Discarded(who(&leader)))
            }
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(leader))) => {
                Err(NodeError::NoLeader(who(&leader)))
            }
            Err(error) => Err(NodeError::Stopped(error.to_string())),
        }
    }

    /// A consistent view of the state as it is applied here now.
    pub fn view(&self) -> View {
        self.machine.store().view()
    }

    /// How this node is, as far as it knows without asking others.
    pub fn health(&self) -> NodeHealth {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        NodeHealth {
            stopped: self
                .halt()
                .reason()
                .map(str::to_owned)
                .or_else(|| metrics.running_state.as_ref().err().map(ToString::to_string)),
            leader: metrics.current_leader,
            term: metrics.current_term,
            applied: metrics.last_applied.as_ref().map_or(0, |position| position.index),
            end: metrics.last_log_index.unwrap_or_default(),
        }
    }

    /// Bytes of log and state on disk.
    pub fn disk_space(&self) -> (u64, u64) {
        (self.log.disk_space(), self.machine.store().disk_space())
    }

    /// Takes a snapshot now, and cuts the log as far as is usual.
    pub async fn snapshot(&self) -> Result<(), NodeError> {
        let Cutting { leave, kept, .. } = &self.shared.cutting;
        upkeep::cut(&self.raft, *leave, Some(kept)).await
    }

    /// Takes a snapshot and cuts the whole log behind it.
    #[cfg(test)]
    pub async fn cut(&self) -> Result<(), NodeError> {
        upkeep::cut(&self.raft, 0, None).await
    }

    /// Waits until the log was cut.
    #[cfg(test)]
    #[allow(clippy::expect_used)]
    pub async fn wait_for_purge(&self) {
        let wait = self.raft.wait(Some(Duration::from_secs(10)));
        wait.metrics(|metrics| metrics.purged.is_some(), "the log is cut").await.expect("the log is cut");
    }

    /// Ends cleanly: another leads, and everything written is durable afterwards, so that a start has little to replay.
    pub async fn stop(&self) -> Result<(), NodeError> {
        if self.leads()
            && let Err(error) = self.transfer(None).await
        {
            tracing::warn!(%error, "ending as the leader: the others will elect one");
        }
        self.raft.shutdown().await.map_err(|error| NodeError::Stopped(error.to_string()))?;
        self.log.close().await.map_err(|error| NodeError::Stopped(error.to_string()))?;
        let machine = self.machine.clone();
        let ended = threads::blocking(move || machine.store().sync());
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        ended.await.map_err(|error| stopped(&error))?.map_err(|error| stopped(&error))
    }
}

/// The leader that is known, for people.
fn who(leader: &ForwardToLeader<Types>) -> String {
    leader.leader_node.as_ref().map_or_else(|| "none is known".into(), |node| format!("{} led last", node.addr))
}

/// A number that tells this start from others; without randomness the moment must do.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match crate::random::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => ulid::Ulid::new().0 as u64,
    }
}
