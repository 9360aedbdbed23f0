//! The index behind the network: commands go to the leader in batches, queries to any node in batches, and what was not
//! answered is asked again, under the same request id, of the next node.

mod nodes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use nodes::Nodes;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use super::clock::Clock;
use super::command::{Command, Reply, RequestId, Time};
use super::held::HeldManifests;
use super::local::{DEADLINE, FULL_NOW};
use super::metrics::IndexMetrics;
use super::peers::connection::{CallError, Peer};
use super::peers::dial::Dial;
use super::peers::wire::{
    Answered, Asked, CommandReplies, Commands, Fault, Queries, QueryReplies, Submitted, decode, encode,
};
use super::query::{Cluster, Query};
use super::{IndexError, unavailable, weight};

pub const COMMANDS: &str = "/index/commands";
pub const QUERIES: &str = "/index/queries";
pub const WELCOME: &str = "/index/welcome";

/// Batches on their way at once, of each kind, and what one holds at most.
const BATCHES: usize = 8;
const BATCH: usize = 512;
const BATCH_BYTES: usize = 8 << 20;
/// Commands and queries that wait for a batch; more are refused.
const WAITING: usize = 8192;
/// How long one node may take before the next is asked.
const COMMAND_ATTEMPT: Duration = Duration::from_secs(2);
const QUERY_ATTEMPT: Duration = Duration::from_millis(1500);
/// Lists may be long.
const SCAN_ATTEMPT: Duration = Duration::from_secs(5);
/// Between two rounds in which no node could help.
const PAUSE: Duration = Duration::from_millis(50);
/// How long names of index nodes hold before they are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// Where the index nodes are.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    pub index: Vec<String>,
    pub addresses: BTreeMap<String, SocketAddr>,
    pub dialer: Arc<dyn Dial>,
    /// Bytes of manifests held.
    pub held_bytes: u64,
    /// The node to begin with: processes do not all begin with the same one.
    pub first: usize,
}

/// The index behind the network. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    inner: Arc<Inner>,
    commands: mpsc::Sender<Waiting<Submitted, Reply>>,
    queries: mpsc::Sender<Waiting<Asked, Answered>>,
}

#[derive(Debug)]
struct Inner {
    cluster: Cluster,
    /// The cluster that has taken its place.
    replaced: OnceLock<Cluster>,
    nodes: Nodes,
    clock: Clock,
    metrics: IndexMetrics,
    held: HeldManifests,
}

/// Something to be asked, and who waits for the answer.
#[derive(Debug)]
struct Waiting<Q, A> {
    question: Q,
    bytes: usize,
    until: Instant,
    /// Whether a try that was not answered may have been taken.
    may_happen: bool,
    done: oneshot::Sender<Result<A, Trouble>>,
}

impl<Q, A> Waiting<Q, A> {
    fn new(question: Q, bytes: usize, done: oneshot::Sender<Result<A, Trouble>>) -> Self {
        Self { question, bytes, until: Instant::now() + DEADLINE, may_happen: false, done }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    Unavailable(String),
    Full,
    /// The node does not know the question.
    Older,
}

impl Remote {
    /// Waits until an index node says to which cluster it belongs.
    pub async fn connect(options: RemoteOptions, metrics: IndexMetrics) -> (Self, Cluster) {
        let nodes = Nodes::new(&options);
        let welcome = nodes.welcome().await;
        let cluster = welcome.cluster.clone();
        let clock = Clock::from(welcome.time);
        let held = HeldManifests::new(options.held_bytes);
        let replaced = OnceLock::new();
        let inner = Arc::new(Inner { cluster: cluster.clone(), replaced, nodes, clock, metrics, held });
        let (commands, waiting_commands) = mpsc::channel(WAITING);
        let (queries, waiting_queries) = mpsc::channel(WAITING);
        tokio::spawn(follow_names(Arc::downgrade(&inner)));
        tokio::spawn(batches(Arc::clone(&inner), waiting_commands, send_commands));
        tokio::spawn(batches(Arc::clone(&inner), waiting_queries, send_queries));
        (Self { inner, commands, queries }, cluster)
    }

    pub fn time(&self) -> Time {
        self.inner.clock.now()
    }

    /// Whether any index node answers at all, with a quorum or without.
    pub async fn reach(&self) -> Result<(), IndexError> {
        self.inner.nodes.reach(&self.inner.cluster).await.map_err(unavailable)
    }

    /// The cluster that the index nodes belong to now, if it is another one than when this process began: that is what a
    /// restore makes. For it this process would write under names that are no longer right.
    pub fn replaced(&self) -> Option<&Cluster> {
        self.inner.replaced.get()
    }

    pub async fn submit(&self, request: RequestId, who: Option<&str>, command: Command) -> Result<Reply, IndexError> {
        let name = command.name();
        let timer = self.inner.metrics.command_seconds.with_label_values(&[name]).start_timer();
        let bytes = weight::of(&command);
        let submitted = Submitted { request, who: who.map(str::to_owned), command };
        match ask(&self.commands, submitted, bytes).await {
            Ok(reply) => {
                timer.observe_duration();
                let outcome = if reply.is_ok() { "done" } else { "refused" };
                self.inner.metrics.commands.with_label_values(&[name, outcome]).inc();
                Ok(reply)
            }
            Err(trouble) => {
                timer.stop_and_discard();
                Err(match trouble {
                    Trouble::Full => IndexError::Full { command: name },
                    Trouble::Older => IndexError::Older { query: name },
                    Trouble::Unavailable(reason) => unavailable(reason),
                })
            }
        }
    }

    pub async fn query<Q: Query>(&self, mut query: Q) -> Result<(Q::Answer, bool), IndexError> {
        self.inner.metrics.reads.inc();
        let left_out = query.leave_out(&self.inner.held);
        let asked = Asked { name: Q::NAME.to_owned(), query: encode(&query).map_err(unavailable)? };
        let answered = if query.scans() {
            // Not with others: a long list must not hold up a pull.
            let (done, wait) = oneshot::channel();
            let waiting = Waiting::new(asked, 0, done);
            send_scan(&self.inner, waiting).await;
            wait.await.unwrap_or_else(|_| Err(Trouble::Unavailable("it is closing".into())))
        } else {
            ask(&self.queries, asked, 0).await
        };
        let answered = answered.map_err(|trouble| match trouble {
            Trouble::Full => unavailable("the index is full"),
            Trouble::Older => IndexError::Older { query: Q::NAME },
            Trouble::Unavailable(reason) => unavailable(reason),
        })?;
        let mut answer: Q::Answer = decode(&answered.answer).map_err(unavailable)?;
        query.fill_in(&mut answer, left_out, &self.inner.held);
        Ok((answer, answered.stale))
    }
}

/// Puts a question where the next batch takes it, and waits for its answer.
async fn ask<Q, A>(way: &mpsc::Sender<Waiting<Q, A>>, question: Q, bytes: usize) -> Result<A, Trouble> {
    let (done, wait) = oneshot::channel();
    let waiting = Waiting::new(question, bytes, done);
    let trouble = |reason: &str| Trouble::Unavailable(reason.to_owned());
    way.try_send(waiting).map_err(|_| trouble("too many questions wait for the index"))?;
    wait.await.unwrap_or_else(|_| Err(trouble("it is closing")))
}

/// Takes what waits into batches: the first goes at once, and what comes while all batches are on their way goes into
/// the next.
async fn batches<Q, A, F>(
    inner: Arc<Inner>,
    mut waiting: mpsc::Receiver<Waiting<Q, A>>,
    send: fn(Arc<Inner>, Vec<Waiting<Q, A>>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
    Q: Send + 'static,
    A: Send + 'static,
{
    let places = Arc::new(Semaphore::new(BATCHES));
    let mut first = None;
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(next) = (match first.take() {
            Some(held) => Some(held),
            None => waiting.recv().await,
        }) else {
            return;
        };
        let mut bytes = next.bytes;
        let mut batch = vec![next];
        while batch.len() < BATCH {
            match waiting.try_recv() {
                Ok(next) if bytes + next.bytes > BATCH_BYTES => {
                    first = Some(next);
                    break;
                }
                Ok(next) => {
                    bytes += next.bytes;
                    batch.push(next);
                }
                Err(_) => break,
            }
        }
        let sending = send(Arc::clone(&inner), batch);
        tokio::spawn(async move {
            sending.await;
            drop(place);
        });
    }
}

/// What became of one question in one attempt.
enum Fate<A> {
    Done(Result<A, Trouble>),
    Again(String),
}

/// Asks until every question has its answer or its time is over. `attempt` asks one node once.
async fn until_answered<Q, A, F>(
    inner: &Inner,
    mut batch: Vec<Waiting<Q, A>>,
    leader_only: bool,
    attempt: impl Fn(Peer, Vec<Q>) -> F,
) where
    Q: Clone,
    F: Future<Output = Result<Vec<Result<A, Fault>>, CallError>>,
{
    // How many nodes in a row could not help at all: when that is all of them, nobody is kept waiting.
    let mut helpless = 0;
    loop {
        let Some(peer) = inner.nodes.pick(leader_only) else {
            finish(batch, "no name of an index node is known");
            return;
        };
        let questions = batch.iter().map(|waiting| waiting.question.clone()).collect();
        let (mut reason, mut later) = (String::new(), Vec::new());
        match attempt(peer.clone(), questions).await {
            Ok(answers) => {
                for (mut waiting, answer) in batch.into_iter().zip(answers) {
                    waiting.may_happen |= matches!(&answer, Err(Fault::Unavailable { .. }));
                    match fate(answer, inner, &peer) {
                        Fate::Done(Err(Trouble::Full)) if waiting.may_happen => {
                            let _ = waiting.done.send(Err(Trouble::Unavailable(FULL_NOW.to_owned()))); // may have gone
                        }
                        Fate::Done(result) => {
                            helpless = 0;
                            let _ = waiting.done.send(result); // whoever asked may have gone
                        }
                        Fate::Again(why) => {
                            reason = why;
                            later.push(waiting);
                        }
                    }
                }
                batch = later;
                if batch.is_empty() {
                    return;
                }
                if reason == NO_QUORUM {
                    helpless += 1;
                    inner.nodes.avoid(&peer);
                } else {
                    helpless = 0; // who has just lost a leader will have another soon
                }
            }
            Err(error) => {
                reason = error.to_string();
                inner.nodes.avoid(&peer);
                helpless += usize::from(matches!(error, CallError::Unreachable { .. }));
                // A fault of the whole batch may come from one that broke off in the middle.
                let may_happen = !matches!(error, CallError::Unreachable { .. });
                for waiting in &mut batch {
                    waiting.may_happen |= may_happen;
                }
            }
        }
        let now = Instant::now();
        let (over, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|waiting| waiting.until <= now);
        finish(over, &reason);
        if rest.is_empty() {
            return;
        }
        if helpless >= inner.nodes.count().max(1) * 2 {
            finish(rest, &reason);
            return;
        }
        batch = rest;
        if helpless == 0 || helpless % inner.nodes.count().max(1) == 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What a node says when it knows of no quorum.
pub const NO_QUORUM: &str = "there is no quorum";

fn fate<A>(answer: Result<A, Fault>, inner: &Inner, peer: &Peer) -> Fate<A> {
    match answer {
        Ok(answer) => Fate::Done(Ok(answer)),
        Err(Fault::Full) => Fate::Done(Err(Trouble::Full)),
        Err(Fault::NotLeader { leader }) => {
            inner.nodes.lead(leader, peer);
            Fate::Again("no leader is known".into())
        }
        Err(Fault::Unavailable { reason }) => Fate::Again(reason),
        Err(fault @ (Fault::Empty | Fault::OtherCluster { .. })) => {
            inner.nodes.avoid(peer);
            Fate::Again(fault.to_string())
        }
        Err(Fault::NoSuchCall) => Fate::Done(Err(Trouble::Older)),
        Err(fault) => Fate::Done(Err(Trouble::Unavailable(fault.to_string()))),
    }
}

fn finish<Q, A>(batch: Vec<Waiting<Q, A>>, reason: &str) {
    for waiting in batch {
        let _ = waiting.done.send(Err(Trouble::Unavailable(reason.to_owned()))); // whoever asked may have gone
    }
}

async fn send_commands(inner: Arc<Inner>, batch: Vec<Waiting<Submitted, Reply>>) {
    let attempt = |peer: Peer, commands: Vec<Submitted>| {
        let inner = &inner;
        async move {
            let message = Commands { cluster: inner.cluster.id.clone(), epoch: Some(inner.cluster.epoch), commands };
            let replies: CommandReplies = peer.call(COMMANDS, &message, COMMAND_ATTEMPT).await?;
            inner.clock.note(replies.time);
            Ok(replies.replies)
        }
    };
    until_answered(&inner, batch, true, attempt).await;
}

async fn query_once(
    inner: &Inner,
    peer: Peer,
    queries: Vec<Asked>,
    deadline: Duration,
) -> Result<Vec<Result<Answered, Fault>>, CallError> {
    let message = Queries { cluster: inner.cluster.id.clone(), epoch: Some(inner.cluster.epoch), queries };
    let replies: QueryReplies = peer.call(QUERIES, &message, deadline).await?;
    inner.clock.note(replies.time);
    Ok(replies.replies)
}

async fn send_queries(inner: Arc<Inner>, batch: Vec<Waiting<Asked, Answered>>) {
    let attempt = |peer: Peer, queries: Vec<Asked>| query_once(&inner, peer, queries, QUERY_ATTEMPT);
    until_answered(&inner, batch, false, attempt).await;
}

async fn send_scan(inner: &Inner, waiting: Waiting<Asked, Answered>) {
    let attempt = |peer: Peer, queries: Vec<Asked>| query_once(inner, peer, queries, SCAN_ATTEMPT);
    until_answered(inner, vec![waiting], false, attempt).await;
}

/// Looks names up again and again, as long as somebody needs them, and asks whose nodes they lead to.
async fn follow_names(inner: Weak<Inner>) {
    let mut before = None;
    while let Some(inner) = inner.upgrade() {
        inner.nodes.look_up().await;
        let other = inner.nodes.other_than(&inner.cluster).await;
        // Said twice, for a node may be on its way from one cluster to the other.
        if let (Some(now), true) = (&other, before == other) {
            let _ = inner.replaced.set(now.clone());
        }
        before = other;
        drop(inner);
        tokio::time::sleep(RESOLVE_EVERY).await;
    }
}
