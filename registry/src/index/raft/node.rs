//! A member of the cluster: its identity, its log and state on one volume, and openraft between them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::RaftError;
use openraft::{BasicNode, Config, ReadPolicy, SnapshotPolicy};
use serde::{Deserialize, Serialize};

use super::log::{Log, LogError};
use super::machine::{Machine, applied_of};
use super::network::Network;
use super::states::States;
use super::types::{NodeId, Raft};
#[cfg(test)]
use super::upkeep;
use super::upkeep::Upkeep;
use crate::index::command::{Proposal, Reply};
use crate::index::metrics::IndexMetrics;
use crate::index::state::store::{Store, StoreError, View};

const IDENTITY: &str = "identity.json";
const FORMAT: u32 = 1;

/// Entries between two snapshots, after which the log is cut; and entries kept behind a snapshot.
const SNAPSHOT_EVERY: u64 = 10_000;
const LOG_KEPT: u64 = 1_000;

/// What a volume says of itself, written once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub cluster: String,
    pub node: NodeId,
    pub format: u32,
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
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    State(#[from] StoreError),
    #[error(
        "the log ends at {log} but the state has applied {state}: acknowledged entries are missing from the log. Do not \
         start this node again: restore it from a backup"
    )]
    LogBehindState { log: u64, state: u64 },
    #[error(
        "the state has applied {state} but the log begins behind {log}: acknowledged entries are missing. Do not start \
         this node again: restore it from a backup"
    )]
    StateBehindLog { log: u64, state: u64 },
    #[error("consensus stopped: {0}")]
    Stopped(String),
    #[error("there is no leader: {0}")]
    NoLeader(String),
}

/// A running member.
#[derive(Clone)]
pub struct Node {
    raft: Raft,
    machine: Machine,
    log: Log,
    identity: Identity,
    _upkeep: Arc<Upkeep>,
    /// Held while the process uses the volume.
    _lock: Arc<File>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the volume in `directory`, or makes it one of a new cluster of one voter; returns when it leads or follows.
    pub async fn start(directory: &Path, metrics: &IndexMetrics) -> Result<Self, NodeError> {
        let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
        fs::create_dir_all(directory).map_err(failed)?;
        let lock = lock(directory)?;
        let identity = identity(directory)?;
        let states = States::new(directory);
        let store = Store::open(&states.current().map_err(failed)?)?;
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

        let machine = Machine::new(states, store, metrics.clone());
        let config = Config {
            cluster_name: identity.cluster.clone(),
            heartbeat_interval: 100,
            election_timeout_min: 300,
            election_timeout_max: 600,
            enable_pre_vote: Some(true),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
            max_in_snapshot_log_to_keep: LOG_KEPT,
            max_payload_entries: 256,
            ..Config::default()
        };
        let config = config.validate().map_err(|error| NodeError::Stopped(error.to_string()))?;
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        let raft = Raft::new(identity.node, Arc::new(config), Network, log.clone(), machine.clone())
            .await
            .map_err(|error| stopped(&error))?;
        let upkeep = Arc::new(Upkeep::start(raft.clone(), machine.clone(), log.clone(), metrics.clone()));
        let node = Self { raft, machine, log, identity, _upkeep: upkeep, _lock: Arc::new(lock) };
        node.form().await?;
        Ok(node)
    }

    /// The first time, makes this node the only voter. A single voter need not wait for its election timeout.
    async fn form(&self) -> Result<(), NodeError> {
        let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
        if !self.raft.is_initialized().await.map_err(|error| stopped(&error))? {
            let members = std::collections::BTreeMap::from([(self.identity.node, BasicNode::new("self"))]);
            self.raft.initialize(members).await.map_err(|error| stopped(&error))?;
        } else if self.is_alone() {
            self.raft.trigger().elect(false).await.map_err(|error| stopped(&error))?;
        }
        self.raft
            .wait(Some(Duration::from_secs(10)))
            .metrics(|metrics| metrics.current_leader.is_some(), "a leader is known")
            .await
            .map_err(|error| NodeError::NoLeader(error.to_string()))?;
        Ok(())
    }

    fn is_alone(&self) -> bool {
        let metrics = self.raft.metrics();
        let members = metrics.borrow_watched().membership_config.clone();
        members.voter_ids().eq([self.identity.node])
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    /// Proposes a command, and waits until it is applied here.
    pub async fn write(&self, proposal: Proposal) -> Result<Reply, NodeError> {
        match self.raft.client_write(proposal).await {
            Ok(written) => Ok(written.data),
            Err(error) if error.forward_to_leader().is_some() => Err(NodeError::NoLeader(error.to_string())),
            Err(error) => Err(NodeError::Stopped(error.to_string())),
        }
    }

    /// Waits until the state here is at least as new as this moment (Raft thesis §6.4, ReadIndex).
    pub async fn read_barrier(&self) -> Result<(), NodeError> {
        match self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
            Ok(_) => Ok(()),
            Err(RaftError::Fatal(error)) => Err(NodeError::Stopped(error.to_string())),
            Err(error) => Err(NodeError::NoLeader(error.to_string())),
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
            stopped: metrics.running_state.as_ref().err().map(ToString::to_string),
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

    /// Takes a snapshot now, so that the log can be cut.
    pub async fn snapshot(&self) -> Result<(), NodeError> {
        self.raft.trigger().snapshot().await.map_err(|error| NodeError::Stopped(error.to_string()))
    }

    /// Takes a snapshot and cuts the whole log behind it.
    #[cfg(test)]
    pub async fn cut(&self) -> Result<(), NodeError> {
        upkeep::cut(&self.raft).await
    }

    /// Waits until the log was cut.
    #[cfg(test)]
    #[allow(clippy::expect_used)]
    pub async fn wait_for_purge(&self) {
        let wait = self.raft.wait(Some(Duration::from_secs(10)));
        wait.metrics(|metrics| metrics.purged.is_some(), "the log is cut").await.expect("the log is cut");
    }

    /// Ends cleanly: everything written is durable afterwards, so that a start has little to replay.
    pub async fn stop(&self) -> Result<(), NodeError> {
        self.raft.shutdown().await.map_err(|error| NodeError::Stopped(error.to_string()))?;
        self.log.close().await.map_err(|error| NodeError::Stopped(error.to_string()))?;
        let machine = self.machine.clone();
        let ended = tokio::task::spawn_blocking(move || {
            machine.store().sync().map_err(|error| NodeError::Stopped(error.to_string()))
        });
        ended.await.map_err(|error| NodeError::Stopped(error.to_string()))?
    }
}

/// Makes the names of the databases durable, and that of the volume's directory.
fn sync_directories(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Keeps a second process away from the volume.
fn lock(directory: &Path) -> Result<File, NodeError> {
    let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(directory.join("LOCK")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(NodeError::InUse { directory: directory.to_owned() }),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Reads the identity of the volume, or gives an empty one its own.
fn identity(directory: &Path) -> Result<Identity, NodeError> {
    let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
    let file = directory.join(IDENTITY);
    match fs::read(&file) {
        Ok(text) => {
            let identity: Identity = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
            if identity.format > FORMAT {
                return Err(NodeError::NewerFormat { file, format: identity.format });
            }
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if directory.join("log").exists() {
                return Err(failed(io::Error::other(format!("there is a log but no {IDENTITY}"))));
            }
            let cluster = ulid::Ulid::new().to_string().to_lowercase();
            let identity = Identity { cluster, node: 1, format: FORMAT };
            let temporary = directory.join("identity.new");
            let mut new = File::create(&temporary).map_err(failed)?;
            new.write_all(&serde_json::to_vec_pretty(&identity).unwrap_or_default()).map_err(failed)?;
            new.sync_all().map_err(failed)?;
            fs::rename(&temporary, &file).map_err(failed)?;
            File::open(directory).and_then(|dir| dir.sync_all()).map_err(failed)?;
            Ok(identity)
        }
        Err(error) => Err(failed(error)),
    }
}
