//! The index nodes that a process without one knows, and which of them it asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::Instant;

use super::{PAUSE, QUERY_ATTEMPT, RESOLVE_EVERY, RemoteOptions, WELCOME};
use crate::index::peers::connection::{CallError, Peer};
use crate::index::peers::dial::{Dial, resolve};
use crate::index::peers::wire::Welcome;
use crate::index::query::Cluster;

/// How long a node may take to say that it is there.
const REACH: Duration = Duration::from_millis(500);

/// The index nodes that are known, and which of them to ask.
#[derive(Debug)]
pub(super) struct Nodes {
    names: Vec<String>,
    addresses: BTreeMap<String, SocketAddr>,
    dialer: Arc<dyn Dial>,
    peers: Mutex<BTreeMap<String, Peer>>,
    known: Mutex<Vec<String>>,
    leader: Mutex<Option<String>>,
    next: AtomicUsize,
}

impl Nodes {
    pub(super) fn new(options: &RemoteOptions) -> Self {
        Self {
            names: options.index.clone(),
            addresses: options.addresses.clone(),
            dialer: Arc::clone(&options.dialer),
            peers: Mutex::default(),
            known: Mutex::new(options.index.clone()),
            leader: Mutex::default(),
            next: AtomicUsize::new(options.first),
        }
    }

    fn peer(&self, address: &str) -> Peer {
        let mut peers = lock(&self.peers);
        peers.entry(address.to_owned()).or_insert_with(|| Peer::new(address, Arc::clone(&self.dialer))).clone()
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.known).len()
    }

    /// The leader as far as it is known, or the node that answered last.
    pub(super) fn pick(&self, leader: bool) -> Option<Peer> {
        if leader && let Some(address) = lock(&self.leader).clone() {
            return Some(self.peer(&address));
        }
        let known = lock(&self.known);
        let at = self.next.load(Ordering::Relaxed);
        let address = known.get(at % known.len().max(1))?.clone();
        drop(known);
        Some(self.peer(&address))
    }

    /// Who leads, as `peer` says; if it does not know, the next node is asked.
    pub(super) fn lead(&self, leader: Option<String>, peer: &Peer) {
        let mut now = lock(&self.leader);
        match leader {
            Some(leader) if leader != peer.address() => *now = Some(leader),
            _ => {
                *now = None;
                drop(now);
                self.pass_over(peer);
            }
        }
    }

    /// Another node is asked next.
    pub(super) fn avoid(&self, peer: &Peer) {
        let mut leader = lock(&self.leader);
        if leader.as_deref() == Some(peer.address()) {
            *leader = None;
        }
        drop(leader);
        self.pass_over(peer);
    }

    /// Goes on to the next node, if this one is the one that is asked now: many may find out at once that it is silent.
    fn pass_over(&self, peer: &Peer) {
        let known = lock(&self.known);
        let at = self.next.load(Ordering::Relaxed);
        if known.get(at % known.len().max(1)).is_some_and(|address| address == peer.address()) {
            let _ = self.next.compare_exchange(at, at + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether any node of the cluster answers at all.
    pub(super) async fn reach(&self, cluster: &Cluster) -> Result<(), String> {
        let mut reason = "no name of an index node is known".to_owned();
        for address in self.all() {
            match self.ask_whose(&address).await {
                Ok(whose) if whose == *cluster => return Ok(()),
                Ok(_) => reason = format!("{address} is a node of another cluster, or of this one restored"),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(reason)
    }

    /// The cluster that these are the nodes of, if it is not this one: all that answer say so.
    pub(super) async fn other_than(&self, cluster: &Cluster) -> Option<Cluster> {
        let mut other = None;
        for address in self.all() {
            match self.ask_whose(&address).await {
                Ok(whose) if whose == *cluster => return None,
                Ok(whose) => other = Some(whose),
                Err(_) => {} // says nothing
            }
        }
        other
    }

    fn all(&self) -> Vec<String> {
        lock(&self.known).clone()
    }

    async fn ask_whose(&self, address: &str) -> Result<Cluster, CallError> {
        Ok(self.peer(address).call::<(), Welcome>(WELCOME, &(), REACH).await?.cluster)
    }

    /// Looks the names up again.
    pub(super) async fn look_up(&self) {
        let found = resolve(&self.names, &self.addresses).await;
        if !found.is_empty() {
            *lock(&self.known) = found;
        }
    }

    /// Asks all nodes until one says which cluster this is. When they do not agree, one is at the wrong place, and most are right.
    pub(super) async fn welcome(&self) -> Welcome {
        let mut said: Option<Instant> = None;
        loop {
            self.look_up().await;
            let asked = self.all().into_iter().map(|address| async move {
                self.peer(&address).call::<(), Welcome>(WELCOME, &(), QUERY_ATTEMPT).await
            });
            let (answers, errors): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().partition(Result::is_ok);
            let answers: Vec<Welcome> = answers.into_iter().filter_map(Result::ok).collect();
            let alike = |welcome: &Welcome| answers.iter().filter(|other| other.cluster == welcome.cluster).count();
            if let Some(welcome) = answers.iter().max_by_key(|welcome| alike(welcome)) {
                return welcome.clone();
            }
            if let Some(Err(error)) = errors.first()
                && said.is_none_or(|at| at.elapsed() > RESOLVE_EVERY)
            {
                tracing::warn!(%error, "waiting for the index");
                said = Some(Instant::now());
            }
            tokio::time::sleep(PAUSE * 4).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing that holds these locks can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
