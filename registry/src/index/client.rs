//! [`Index`]: what handlers, the push path and the reclaimer hold. It submits commands and answers queries, and hides
//! whether the index is in this process or behind the network.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::clock;
use super::command::{Bootstrap, Command, Outcome, Policy, Refusal, RequestId, Time};
use super::local::{self, Local};
use super::metrics::IndexMetrics;
use super::query::{Cluster, GetStatus, Query};
use super::raft::transfer::{self, TransferError};
use super::raft::{Node, NodeError, NodeHealth, NodeOptions};
use super::remote::Remote;
use super::snapshot::Totals;
use super::space::Space;
use super::state::records::RecordsError;

/// How long the replay of the log may take at the start.
const REPLAY_DEADLINE: Duration = Duration::from_mins(5);

/// A handle to the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    way: Way,
    cluster: Cluster,
}

#[derive(Debug)]
enum Way {
    Local(Local),
    Remote(Remote),
}

/// Where the index of this process is, and what it may take.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    pub directory: PathBuf,
    /// Free bytes of the volume below which nothing is added.
    pub min_free_bytes: u64,
}

/// An answer, and whether it may be out of date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub answer: T,
    /// It was given without a quorum.
    pub stale: bool,
}

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The state machine decided against it: nothing was changed.
    #[error("the index refused {command}: {refusal}")]
    Refused { command: &'static str, refusal: Refusal },
    /// No quorum or no index node in time. A command that was sent may still happen.
    #[error("the index is not available: {reason}")]
    Unavailable { reason: String },
    /// The node has less free space than the floor, so nothing is added, or than its reserve, so nothing is written.
    #[error("the index has no space left for {command}")]
    Full { command: &'static str },
    /// The node that was asked is of an older version. Such a node takes part at the first feature level alone.
    #[error("the index node does not know the question {query}: it is of an older version")]
    Older { query: &'static str },
    /// The state cannot be read: the node must be looked after.
    #[error("the index could not read its state")]
    State(#[source] RecordsError),
}

/// Why the index could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("could not prepare the index")]
    Prepare(#[source] IndexError),
    #[error("no random numbers are to be had: {0}")]
    Random(crate::random::RandomError),
}

impl IndexError {
    /// Whether the command certainly did not happen and never will: then what it names is in nobody's way.
    pub const fn is_certain(&self) -> bool {
        match self {
            // It says that this try came too late, or to the wrong node, and nothing of those before it.
            Self::Refused { refusal: Refusal::RequestTooOld | Refusal::LevelNotInForce { .. }, .. }
            | Self::Unavailable { .. }
            | Self::Older { .. }
            | Self::State(_) => false,
            Self::Refused { .. } | Self::Full { .. } => true,
        }
    }
}

pub(super) fn unavailable(reason: impl ToString) -> IndexError {
    IndexError::Unavailable { reason: reason.to_string() }
}

impl Index {
    /// Starts the node of this process and makes it a cluster when it is new.
    pub async fn open(options: &IndexOptions, metrics: IndexMetrics) -> Result<Self, OpenError> {
        Self::open_ahead(options, metrics, 0).await
    }

    /// Opens the index with its clock set ahead, in milliseconds: tests do not wait for days.
    pub(crate) async fn open_ahead(
        options: &IndexOptions,
        metrics: IndexMetrics,
        ahead: u64,
    ) -> Result<Self, OpenError> {
        let node = Node::start(&NodeOptions::alone(&options.directory), &metrics).await?;
        // Everything that was acknowledged is applied before the clock is read from it.
        let late = || NodeError::NoLeader("the log was not applied in time".into());
        tokio::time::timeout(REPLAY_DEADLINE, node.read_barrier()).await.map_err(|_| late())??;
        let known = local::answer(&node, &GetStatus).map_err(OpenError::Prepare)?.cluster;
        let space = Space::new(&options.directory, options.min_free_bytes);
        let id = node.cluster().unwrap_or_default();
        let local = Local::new(node, metrics, space, true, clock::ahead(ahead)).map_err(OpenError::Prepare)?;
        let cluster = match known {
            Some(cluster) => cluster,
            None => found(&local, id).await?,
        };
        Ok(Self::of(local, cluster))
    }

    /// The index of a process whose node belongs to this cluster.
    pub fn of(local: Local, cluster: Cluster) -> Self {
        Self { inner: Arc::new(Inner { way: Way::Local(local), cluster }) }
    }

    /// The index behind the network.
    pub fn behind(remote: Remote, cluster: Cluster) -> Self {
        Self { inner: Arc::new(Inner { way: Way::Remote(remote), cluster }) }
    }

    /// Which cluster this is. Fixed since its first command.
    pub fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// The node of this process, if it has one.
    pub fn local(&self) -> Option<&Local> {
        match &self.inner.way {
            Way::Local(local) => Some(local),
            Way::Remote(_) => None,
        }
    }

    /// The index time now. The day of an object key and every expiry count by it.
    pub fn time(&self) -> Time {
        match &self.inner.way {
            Way::Local(local) => local.time(),
            Way::Remote(remote) => remote.time(),
        }
    }

    /// Whether the index can be asked at all. Behind the network one node is enough: without a quorum it still answers for
    /// what is named by its digest, and a process that does not pretend to be well would not be asked for it.
    pub async fn reach(&self) -> Result<(), IndexError> {
        match &self.inner.way {
            Way::Local(_) => self.query(GetStatus).await.map(drop),
            Way::Remote(remote) => remote.reach().await,
        }
    }

    /// Whether background work belongs to this process: its node leads.
    pub fn leads(&self) -> bool {
        self.local().is_some_and(|local| local.node().leads())
    }

    /// Whether what depends on the time of day must wait: the clocks of the members do not agree.
    pub fn time_is_doubtful(&self) -> bool {
        self.local().is_some_and(|local| local.clock().is_doubtful())
    }

    /// A new id for a request.
    pub fn request(&self) -> Result<RequestId, IndexError> {
        new_request(self.time())
    }

    /// Proposes a command and waits until it is applied.
    pub async fn submit(&self, who: Option<&str>, command: Command) -> Result<Outcome, IndexError> {
        let request = self.request()?;
        self.submit_as(request, who, command).await
    }

    /// Proposes a command under a request id that may have been used before: it is applied once.
    pub async fn submit_as(
        &self,
        request: RequestId,
        who: Option<&str>,
        command: Command,
    ) -> Result<Outcome, IndexError> {
        let name = command.name();
        let reply = match &self.inner.way {
            Way::Local(local) => local.submit(request, who, command).await?,
            Way::Remote(remote) => remote.submit(request, who, command).await?,
        };
        reply.map_err(|refusal| IndexError::Refused { command: name, refusal })
    }

    /// Answers a query, from a view that is at least as new as the moment of the call unless the answer is settled. An
    /// answer that may be out of date is none.
    pub async fn query<Q: Query>(&self, query: Q) -> Result<Q::Answer, IndexError> {
        let answer = self.query_any(query).await?;
        if answer.stale { Err(unavailable("there is no quorum")) } else { Ok(answer.answer) }
    }

    /// Answers a query; without a quorum, what is named by its digest and was found is answered too, and marked.
    pub async fn query_any<Q: Query>(&self, query: Q) -> Result<Answer<Q::Answer>, IndexError> {
        let (answer, stale) = match &self.inner.way {
            Way::Local(local) => local.query(query).await?,
            Way::Remote(remote) => remote.query(query).await?,
        };
        Ok(Answer { answer, stale })
    }

    /// The feature level in force.
    pub async fn level(&self) -> Result<u32, IndexError> {
        Ok(self.query(GetStatus).await?.level)
    }

    /// Puts the policy in force if another one is.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), IndexError> {
        let status = self.query(GetStatus).await?;
        if status.policy != policy {
            self.submit(None, Command::SetPolicy(policy)).await?;
        }
        // What a release with a higher level would do from then on: propose what the one before does not know.
        #[cfg(feature = "next-level")]
        if status.level > super::level::AUDIT {
            self.submit(None, Command::Note(super::command::Note { text: "here".into() })).await?;
        }
        Ok(())
    }

    /// Whether there is room for what adds to the index.
    pub fn has_space(&self) -> bool {
        self.local().is_none_or(Local::has_space)
    }

    /// Why this index can do nothing any more, and a new process may.
    pub fn stopped(&self) -> Option<String> {
        match &self.inner.way {
            Way::Local(local) => local.node().health().stopped,
            Way::Remote(remote) => remote.replaced().map(|now| {
                let (id, epoch) = (&now.id, now.epoch);
                format!("its nodes belong to another cluster now, or were restored: {id}, epoch {epoch}; start again to serve that")
            }),
        }
    }

    /// How the node of this process is; none when it has none.
    pub fn health(&self) -> Option<NodeHealth> {
        Some(self.local()?.node().health())
    }

    /// Writes the whole state, as it is now, as a snapshot (see [`super::snapshot`]). Blocks on the disk.
    ///
    /// # Errors
    /// When there is no state here, it cannot be read, or `output` takes no more.
    pub fn write_snapshot<W: std::io::Write>(&self, output: W) -> Result<(W, Totals), TransferError> {
        let local = self.local().ok_or(TransferError::NoState)?;
        transfer::send(&local.node().view(), &self.inner.cluster.id, output)
    }

    /// Bytes of the log and of the state on disk.
    pub fn disk_space(&self) -> (u64, u64) {
        self.local().map_or((0, 0), |local| local.node().disk_space())
    }

    /// Takes a snapshot, so that the log can be cut.
    pub async fn snapshot(&self) -> Result<(), IndexError> {
        match self.local() {
            Some(local) => local.node().snapshot().await.map_err(|error| unavailable(&error)),
            None => Err(unavailable("there is no node here")),
        }
    }

    /// Ends cleanly.
    pub async fn close(&self) -> Result<(), IndexError> {
        match &self.inner.way {
            Way::Local(local) => local.close().await,
            Way::Remote(_) => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl Index {
    pub(super) fn view(&self) -> super::state::store::View {
        self.local().unwrap().node().view()
    }

    pub(super) async fn cut(&self) -> Result<(), NodeError> {
        self.local().unwrap().node().cut().await
    }

    pub(super) async fn wait_for_purge(&self) {
        self.local().unwrap().node().wait_for_purge().await;
    }
}

/// A new id for a request whose sender last saw the index at `seen`.
pub(super) fn new_request(seen: Time) -> Result<RequestId, IndexError> {
    let mut random = [0; 16];
    crate::random::fill(&mut random).map_err(unavailable)?;
    Ok(RequestId::new(seen, u128::from_be_bytes(random)))
}

/// The first command of a new cluster. Somebody may have been first: then that cluster is the one.
pub async fn found(local: &Local, id: String) -> Result<Cluster, OpenError> {
    let mut key = [0; 32];
    crate::random::fill(&mut key).map_err(OpenError::Random)?;
    let upload_key = bytes::Bytes::copy_from_slice(&key);
    let bootstrap = Bootstrap { cluster: id, epoch: 1, upload_key };
    let request = new_request(local.time()).map_err(OpenError::Prepare)?;
    let reply = local.submit(request, None, Command::Bootstrap(bootstrap)).await.map_err(OpenError::Prepare)?;
    if let Err(refusal) = reply {
        return Err(OpenError::Prepare(IndexError::Refused { command: "bootstrap", refusal }));
    }
    // Nobody needs to follow from an older version yet.
    if let Err(fault) = super::raise::raise(local, Some(super::level::BEGIN)).await {
        tracing::warn!(%fault, "a new cluster begins at feature level 1; `roadstead index raise` raises it");
    }
    let (status, _) = local.query(GetStatus).await.map_err(OpenError::Prepare)?;
    status.cluster.ok_or_else(|| OpenError::Prepare(unavailable("the cluster was not founded")))
}
