//! The index of this process: a node, its clock, and the rounds that make reads linearizable.
//!
//! Held by [`super::Index`] in processes that have a node, and by [`super::answer`], which speaks for it to others.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::clock::{Clock, Wall};
use super::command::{Command, Proposal, Reply, RequestId, Time};
use super::metrics::IndexMetrics;
use super::query::{GetStatus, Query};
use super::raft::{Node, NodeError};
use super::space::{Space, adds};
use super::{IndexError, threads, unavailable, weight};

/// Commands on their way at once, and their bytes, about; more wait.
const IN_FLIGHT: usize = 1024;
const IN_FLIGHT_BYTES: usize = 32 << 20;
/// How long to wait before a leader is asked for again.
const NO_LEADER_PAUSE: Duration = Duration::from_millis(25);
/// How long a command or a read may take before the client hears that the index is not available.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Said instead of "full" when an earlier try of the command may be in the log: whoever hears "full" may count on it that
/// nothing happened, and delete what the command names.
pub const FULL_NOW: &str = "it has no space left, and whether an earlier try was taken is not known yet";
/// Without a word of a leader for so long there is no quorum, and nobody is kept waiting for one.
const LOST: Duration = Duration::from_secs(3);

/// The index of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Local {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    clock: Clock,
    metrics: IndexMetrics,
    in_flight: Arc<Semaphore>,
    in_flight_bytes: Arc<Semaphore>,
    barrier: mpsc::UnboundedSender<oneshot::Sender<Result<(), String>>>,
    space: Space,
    /// The only voter for good.
    alone: bool,
    wall: Wall,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Local {
    pub fn new(node: Node, metrics: IndexMetrics, space: Space, alone: bool, wall: Wall) -> Result<Self, IndexError> {
        let last = answer(&node, &GetStatus)?.time;
        let (barrier, waiting) = mpsc::unbounded_channel();
        let inner = Inner {
            node,
            clock: Clock::from(last),
            metrics,
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT)),
            in_flight_bytes: Arc::new(Semaphore::new(IN_FLIGHT_BYTES)),
            barrier,
            space,
            alone,
            wall,
        };
        let local = Self { inner: Arc::new(inner) };
        tokio::spawn(rounds(local.clone_weak(), waiting));
        Ok(local)
    }

    fn clone_weak(&self) -> std::sync::Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub fn node(&self) -> &Node {
        &self.inner.node
    }

    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    pub fn has_space(&self) -> bool {
        self.inner.space.is_enough()
    }

    /// Whether the log may grow at all.
    pub fn has_reserve(&self) -> bool {
        self.inner.space.has_reserve()
    }

    /// The index time now: on the leader that of its clock, elsewhere what was heard of it.
    pub fn time(&self) -> Time {
        let inner = &self.inner;
        if inner.node.leads() {
            let term = inner.node.health().term;
            return inner.clock.stamp(term, || inner.node.last_time(), inner.alone, (inner.wall)());
        }
        inner.clock.note(inner.node.last_time());
        inner.clock.now()
    }

    /// What this machine's clock says.
    pub fn wall(&self) -> Time {
        (self.inner.wall)()
    }

    /// No leader was heard of for so long that there is no quorum.
    pub fn is_lost(&self) -> bool {
        !self.inner.alone && self.inner.node.contact().is_none_or(|ago| ago > LOST) && self.inner.node.age() > LOST
    }

    /// Proposes a command under its request id, and waits until it is applied. Fails at once when this node does not lead.
    pub async fn propose(
        &self,
        request: RequestId,
        who: Option<String>,
        command: Command,
    ) -> Result<Result<Reply, NodeError>, IndexError> {
        let inner = &self.inner;
        let name = command.name();
        if (adds(&command) && !inner.space.is_enough()) || !inner.space.has_reserve() {
            return Err(IndexError::Full { command: name });
        }
        // The log of a leader that was cut off must not grow by what cannot be committed, for as long as that lasts.
        if self.is_lost() {
            return Ok(Err(NodeError::NoLeader("no majority answers".into())));
        }
        if let Some(refusal) = inner.node.forbids(&command).map_err(IndexError::State)? {
            return Ok(Ok(Err(refusal)));
        }
        let bytes = weight::of(&command).min(IN_FLIGHT_BYTES) as u32;
        let (number, size) = (Arc::clone(&inner.in_flight), Arc::clone(&inner.in_flight_bytes));
        let room = async { (number.acquire_owned().await, size.acquire_many_owned(bytes).await) };
        let room = match tokio::time::timeout(DEADLINE, room).await {
            Ok((Ok(one), Ok(bytes))) => (one, bytes),
            Ok(_) => return Err(unavailable("it is closing")),
            Err(_) => return Err(unavailable("too many commands are on their way")),
        };
        let timer = inner.metrics.command_seconds.with_label_values(&[name]).start_timer();
        let proposal = Proposal { time: self.time(), request, who, command };
        // Whoever waits may go; the command is in memory, and takes its room, until it is known what became of it.
        let node = inner.node.clone();
        let written = tokio::spawn(async move {
            let written = node.write(proposal).await;
            drop(room);
            written
        });
        let written = async { written.await.unwrap_or_else(|error| Err(NodeError::Stopped(error.to_string()))) };
        match tokio::time::timeout(DEADLINE, written).await {
            Ok(Ok(reply)) => {
                timer.observe_duration();
                let outcome = if reply.is_ok() { "done" } else { "refused" };
                inner.metrics.commands.with_label_values(&[name, outcome]).inc();
                Ok(Ok(reply))
            }
            Ok(Err(error)) => {
                timer.stop_and_discard();
                Ok(Err(error))
            }
            Err(_) => Err(unavailable("a command was not applied in time")),
        }
    }

    /// Proposes a command until there is a leader to take it. Its id stays the same, so that it is applied once.
    pub async fn submit(&self, request: RequestId, who: Option<&str>, command: Command) -> Result<Reply, IndexError> {
        let work = async {
            let mut may_happen = false;
            loop {
                match self.propose(request, who.map(str::to_owned), command.clone()).await {
                    Ok(Ok(reply)) => return Ok(reply),
                    Ok(Err(NodeError::NoLeader(_))) if !self.is_lost() => {}
                    Ok(Err(NodeError::Discarded(_))) if !self.is_lost() => may_happen = true,
                    Ok(Err(error)) => return Err(unavailable(&error)),
                    Err(IndexError::Full { .. }) if may_happen => return Err(unavailable(FULL_NOW)),
                    Err(error) => return Err(error),
                }
                tokio::time::sleep(NO_LEADER_PAUSE).await;
            }
        };
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(result) => result,
            Err(_) => Err(unavailable("a command was not applied in time")),
        }
    }

    /// Answers a query from a view that is at least as new as the moment of the call, unless the answer is settled; true
    /// beside it: it was given without a quorum, and may be out of date.
    pub async fn query<Q: Query>(&self, query: Q) -> Result<(Q::Answer, bool), IndexError> {
        let inner = &self.inner;
        inner.metrics.reads.inc();
        if query.as_it_stands() {
            return Ok((answer(&inner.node, &query)?, true));
        }
        if query.may_settle() && (inner.alone || (!query.decides() && inner.node.is_fresh())) {
            let answer = answer(&inner.node, &query)?;
            if query.settled(&answer) {
                return Ok((answer, false));
            }
        }
        #[cfg(feature = "mutants")]
        if super::mutants::is(super::mutants::Mutant::StaleRead) {
            return Ok((answer(&inner.node, &query)?, false));
        }
        if let Err(error) = self.barrier().await {
            if query.may_settle() {
                let answer = answer(&inner.node, &query)?;
                if query.settled(&answer) {
                    return Ok((answer, true));
                }
            }
            return Err(error);
        }
        if query.scans() {
            let node = inner.node.clone();
            let scan = threads::blocking(move || answer(&node, &query));
            return Ok((scan.await.map_err(|error| unavailable(&error))??, false));
        }
        Ok((answer(&inner.node, &query)?, false))
    }

    /// Waits for the next round that makes reads linearizable; one round serves all who wait for it.
    async fn barrier(&self) -> Result<(), IndexError> {
        #[cfg(feature = "mutants")]
        if super::mutants::has_lease() && self.inner.node.leads() {
            return Ok(());
        }
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

    /// Takes nothing more, and ends the node.
    pub async fn close(&self) -> Result<(), IndexError> {
        self.inner.in_flight.close();
        self.inner.node.stop().await.map_err(|error| unavailable(&error))
    }
}

/// Answers from the state as it is applied here now.
pub fn answer<Q: Query>(node: &Node, query: &Q) -> Result<Q::Answer, IndexError> {
    query.answer(&node.view()).inspect_err(|error| node.halt().records(error)).map_err(IndexError::State)
}

/// Serves read barriers: whoever asks while a round runs is served by the next, since the one under way may have begun
/// before he asked.
async fn rounds(
    index: std::sync::Weak<Inner>,
    mut waiting: mpsc::UnboundedReceiver<oneshot::Sender<Result<(), String>>>,
) {
    let mut round = Vec::new();
    while waiting.recv_many(&mut round, usize::MAX).await > 0 {
        let Some(inner) = index.upgrade() else { return };
        let local = Local { inner };
        local.inner.metrics.read_rounds.inc();
        let result = loop {
            match tokio::time::timeout(DEADLINE, local.inner.node.read_barrier()).await {
                Ok(Ok(time)) => {
                    if let Some(time) = time {
                        local.inner.clock.note(time);
                    }
                    #[cfg(feature = "mutants")]
                    super::mutants::renew_lease();
                    break Ok(());
                }
                // They would only ask again; each of them has a deadline of its own.
                Ok(Err(NodeError::NoLeader(_)))
                    if !local.is_lost() && round.iter().any(|waiter: &oneshot::Sender<_>| !waiter.is_closed()) =>
                {
                    tokio::time::sleep(NO_LEADER_PAUSE).await;
                }
                Ok(Err(error)) => break Err(error.to_string()),
                Err(_) => break Err("no quorum answered in time".to_owned()),
            }
        };
        for waiter in round.drain(..) {
            let _ = waiter.send(result.clone()); // whoever asked may have gone
        }
    }
}
