//! [`Index`]: what handlers, the push path and the reclaimer hold. It submits commands and answers queries, and hides
//! whether the index is in this process or behind the network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::clock::Clock;
use super::command::{Bootstrap, Command, Outcome, Policy, Proposal, Refusal, Reply, RequestId, Time};
use super::metrics::IndexMetrics;
use super::query::{Cluster, GetStatus, Query};
use super::raft::transfer::{self, TransferError};
use super::raft::{Node, NodeError, NodeHealth};
use super::snapshot::Totals;
use super::state::records::RecordsError;
use super::weight;

/// Commands on their way at once, and their bytes, about; more wait.
const IN_FLIGHT: usize = 1024;
const IN_FLIGHT_BYTES: usize = 32 << 20;
/// How long to wait before a leader is asked for again.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(25);
/// How long a command or a read may take before the client hears that the index is not available.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long the replay of the log may take at the start.
const REPLAY_DEADLINE: Duration = Duration::from_mins(5);
/// How long a reading of the free space holds.
const SPACE_CHECK: Duration = Duration::from_secs(1);

/// A handle to the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Index {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    node: Node,
    clock: Clock,
    cluster: Cluster,
    metrics: IndexMetrics,
    in_flight: Semaphore,
    in_flight_bytes: Semaphore,
    barrier: mpsc::UnboundedSender<oneshot::Sender<Result<(), String>>>,
    space: Space,
}

/// Where the index of this process is, and what it may take.
#[derive(Clone, Debug)]
pub struct IndexOptions {
    pub directory: PathBuf,
    /// Free bytes of the volume below which nothing is added.
    pub min_free_bytes: u64,
}

/// How the node of this process is: for `/readyz` and for people.
#[derive(Clone, Debug)]
pub struct Health {
    pub node: NodeHealth,
    /// Without space only what frees some is taken.
    pub has_space: bool,
}

impl Health {
    /// What keeps the node from serving; none when it can.
    pub fn fault(&self) -> Option<String> {
        match (&self.node.stopped, self.node.leader) {
            (Some(reason), _) => Some(format!("the index has stopped: {reason}")),
            (None, None) => Some("the index has no leader".into()),
            (None, Some(_)) => None,
        }
    }
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
    /// The node has less free space than the floor; deleting still works.
    #[error("the index has no space left for {command}")]
    Full { command: &'static str },
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
    Random(getrandom::Error),
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
        let node = Node::start(&options.directory, &metrics).await?;
        // Everything that was acknowledged is applied before the clock is read from it.
        let late = || NodeError::NoLeader("the log was not applied in time".into());
        tokio::time::timeout(REPLAY_DEADLINE, node.read_barrier()).await.map_err(|_| late())??;
        let status = answer(&node, &GetStatus).map_err(OpenError::Prepare)?;
        let clock = Clock::after(status.time, ahead);
        let cluster = if let Some(cluster) = status.cluster { cluster } else { found(&node, &clock).await? };
        let (barrier, waiting) = mpsc::unbounded_channel();
        tokio::spawn(rounds(node.clone(), waiting, metrics.clone()));
        let space = Space::new(&options.directory, options.min_free_bytes);
        let inner = Inner {
            node,
            clock,
            cluster,
            metrics,
            in_flight: Semaphore::new(IN_FLIGHT),
            in_flight_bytes: Semaphore::new(IN_FLIGHT_BYTES),
            barrier,
            space,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Which cluster this is. Fixed since its first command.
    pub fn cluster(&self) -> &Cluster {
        &self.inner.cluster
    }

    /// The index time now. The day of an object key and every expiry count by it.
    pub fn time(&self) -> Time {
        self.inner.clock.now()
    }

    /// A new id for a request.
    pub fn request(&self) -> Result<RequestId, IndexError> {
        request(&self.inner.clock)
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
        let inner = &self.inner;
        let name = command.name();
        if adds(&command) && !inner.space.is_enough() {
            return Err(IndexError::Full { command: name });
        }
        let bytes = weight::of(&command).min(IN_FLIGHT_BYTES) as u32;
        let room = async { (inner.in_flight.acquire().await, inner.in_flight_bytes.acquire_many(bytes).await) };
        let (_one, _bytes) = match tokio::time::timeout(DEADLINE, room).await {
            Ok((Ok(one), Ok(bytes))) => (one, bytes),
            Ok(_) => return Err(unavailable("it is closing")),
            Err(_) => return Err(unavailable("too many commands are on their way")),
        };
        let timer = inner.metrics.command_seconds.with_label_values(&[name]).start_timer();
        let proposal = Proposal { time: inner.clock.now(), request, who: who.map(str::to_owned), command };
        let reply = match tokio::time::timeout(DEADLINE, propose(&inner.node, proposal)).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => return Err(unavailable(&error)),
            Err(_) => return Err(unavailable("a command was not applied in time")),
        };
        timer.observe_duration();
        let outcome = if reply.is_ok() { "done" } else { "refused" };
        inner.metrics.commands.with_label_values(&[name, outcome]).inc();
        reply.map_err(|refusal| IndexError::Refused { command: name, refusal })
    }

    /// Answers a query, from a view that is at least as new as the moment of the call unless the answer is settled.
    pub async fn query<Q: Query>(&self, query: Q) -> Result<Q::Answer, IndexError> {
        self.inner.metrics.reads.inc();
        if query.may_settle() {
            let answer = answer(&self.inner.node, &query)?;
            if query.settled(&answer) {
                return Ok(answer);
            }
        }
        self.barrier().await?;
        if query.scans() {
            let node = self.inner.node.clone();
            let scan = tokio::task::spawn_blocking(move || answer(&node, &query));
            return scan.await.map_err(|error| unavailable(&error))?;
        }
        answer(&self.inner.node, &query)
    }

    /// Waits for the next round that makes reads linearizable; one round serves all who wait for it.
    async fn barrier(&self) -> Result<(), IndexError> {
        let (done, wait) = oneshot::channel();
        if self.inner.barrier.send(done).is_err() {
            return Err(unavailable("it is closing"));
        }
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(reason))) => Err(unavailable(&reason)),
            Ok(Err(_)) => Err(unavailable("it is closing")),
            Err(_) => Err(unavailable("no quorum answered in time")),
        }
    }

    /// Puts the policy in force if another one is.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), IndexError> {
        if self.query(GetStatus).await?.policy != policy {
            self.submit(None, Command::SetPolicy(policy)).await?;
        }
        Ok(())
    }

    /// Whether there is room for what adds to the index.
    pub fn has_space(&self) -> bool {
        self.inner.space.is_enough()
    }

    /// How the node of this process is.
    pub fn health(&self) -> Health {
        Health { node: self.inner.node.health(), has_space: self.inner.space.is_enough() }
    }

    /// Writes the whole state, as it is now, as a snapshot (see [`super::snapshot`]). Blocks on the disk.
    ///
    /// # Errors
    /// When the state cannot be read or `output` takes no more.
    pub fn write_snapshot<W: std::io::Write>(&self, output: W) -> Result<(W, Totals), TransferError> {
        transfer::send(&self.inner.node.view(), &self.inner.cluster.id, output)
    }

    /// Bytes of the log and of the state on disk.
    pub fn disk_space(&self) -> (u64, u64) {
        self.inner.node.disk_space()
    }

    /// The node of this process: for the archive.
    pub(super) fn node(&self) -> &Node {
        &self.inner.node
    }

    #[cfg(test)]
    pub(super) fn view(&self) -> super::state::store::View {
        self.inner.node.view()
    }

    /// Takes a snapshot, so that the log can be cut.
    pub async fn snapshot(&self) -> Result<(), IndexError> {
        self.inner.node.snapshot().await.map_err(|error| unavailable(&error))
    }

    #[cfg(test)]
    pub(super) async fn cut(&self) -> Result<(), NodeError> {
        self.inner.node.cut().await
    }

    #[cfg(test)]
    pub(super) async fn wait_for_purge(&self) {
        self.inner.node.wait_for_purge().await;
    }

    /// Ends cleanly.
    pub async fn close(&self) -> Result<(), IndexError> {
        self.inner.in_flight.close();
        self.inner.node.stop().await.map_err(|error| unavailable(&error))
    }
}

fn unavailable(reason: impl ToString) -> IndexError {
    IndexError::Unavailable { reason: reason.to_string() }
}

fn request(clock: &Clock) -> Result<RequestId, IndexError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(unavailable)?;
    Ok(RequestId::new(clock.now(), u128::from_be_bytes(random)))
}

/// Proposes until there is a leader to take it: a command that found none was not proposed, and its id stays the same.
async fn propose(node: &Node, proposal: Proposal) -> Result<Reply, NodeError> {
    loop {
        match node.write(proposal.clone()).await {
            Err(NodeError::NoLeader(_)) => tokio::time::sleep(NO_LEADER_PAUSE).await,
            result => return result,
        }
    }
}

fn answer<Q: Query>(node: &Node, query: &Q) -> Result<Q::Answer, IndexError> {
    query.answer(&node.view()).map_err(IndexError::State)
}

/// Whether a command makes the index larger: those are refused when space runs out, the others must still pass.
fn adds(command: &Command) -> bool {
    match command {
        Command::RecordUpload(_)
        | Command::CommitBlob(_)
        | Command::MountBlob(_)
        | Command::PutManifest(_)
        | Command::ReplaceSegments(_) => true,
        Command::Bootstrap(_)
        | Command::SetPolicy(_)
        | Command::CancelUpload(_)
        | Command::RenewLink(_)
        | Command::DeleteBlob(_)
        | Command::DeleteTag(_)
        | Command::DeleteManifest(_)
        | Command::Expire(_)
        | Command::CloseDay(_)
        | Command::ForgetObjects(_)
        | Command::MarkDamaged(_) => false,
    }
}

/// The first command of a new cluster.
async fn found(node: &Node, clock: &Clock) -> Result<Cluster, OpenError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(OpenError::Random)?;
    let upload_key = bytes::Bytes::copy_from_slice(&key);
    let id = node.identity().cluster.clone();
    let bootstrap = Bootstrap { cluster: id.clone(), epoch: 1, upload_key: upload_key.clone() };
    let proposal = Proposal {
        time: clock.now(),
        request: request(clock).map_err(OpenError::Prepare)?,
        who: None,
        command: Command::Bootstrap(bootstrap),
    };
    match node.write(proposal).await? {
        Ok(_) => Ok(Cluster { id, epoch: 1, upload_key }),
        Err(refusal) => Err(OpenError::Prepare(IndexError::Refused { command: "bootstrap", refusal })),
    }
}

/// Serves read barriers: whoever asks while a round runs is served by the next, since the one under way may have begun
/// before he asked.
async fn rounds(
    node: Node,
    mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<Result<(), String>>>,
    metrics: IndexMetrics,
) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, usize::MAX).await > 0 {
        metrics.read_rounds.inc();
        let result = loop {
            match tokio::time::timeout(DEADLINE, node.read_barrier()).await {
                // They would only ask again; each of them has a deadline of its own.
                Ok(Err(NodeError::NoLeader(_))) if round.iter().any(|waiter| !waiter.is_closed()) => {
                    tokio::time::sleep(NO_LEADER_PAUSE).await;
                }
                Ok(result) => break result.map_err(|error| error.to_string()),
                Err(_) => break Err("no quorum answered in time".to_owned()),
            }
        };
        for waiter in round.drain(..) {
            let _ = waiter.send(result.clone()); // whoever asked may have gone
        }
    }
}

/// The free space of the volume, read at most once a second.
#[derive(Debug)]
struct Space {
    directory: PathBuf,
    floor: u64,
    began: Instant,
    /// Milliseconds since `began` at which it was read last, times two, plus one when there was enough.
    seen: AtomicU64,
}

impl Space {
    fn new(directory: &Path, floor: u64) -> Self {
        Self { directory: directory.to_owned(), floor, began: Instant::now(), seen: AtomicU64::new(u64::MAX) }
    }

    fn is_enough(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX) / 2;
        let seen = self.seen.load(Ordering::Relaxed);
        if seen != u64::MAX && now.saturating_sub(seen >> 1) * 2 < SPACE_CHECK.as_millis() as u64 {
            return seen & 1 == 1;
        }
        let enough = match rustix::fs::statvfs(&self.directory) {
            Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize) >= self.floor,
            Err(error) => {
                tracing::warn!(%error, "could not read the free space of the index's volume");
                true
            }
        };
        self.seen.store((now << 1) | u64::from(enough), Ordering::Relaxed);
        enough
    }
}
