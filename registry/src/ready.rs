//! Whether this process can serve: `/readyz` asks, and a load balancer acts on it.
//!
//! Ready means that sending clients here is right: the index answers a linearizable question, there is room to write, the
//! process is not ending, and the store has answered once since it started. A store that goes away later is told and takes
//! nobody out: all processes have the same one, and what the index holds is served without it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use serde::Serialize;

use crate::blobs::{ObjectKey, Store, StoreError};
use crate::index::local::Local;
use crate::index::query::GetStatus;
use crate::index::{Index, IndexError};
use crate::server::drain::Drain;

/// A dependency that does not answer in this time counts as gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Answers whether this process can serve, from its first moment to its last.
#[derive(Debug)]
pub struct Readiness {
    drain: Drain,
    needs: OnceLock<Needs>,
    /// The store has answered: what is configured of it is right.
    has_store: AtomicBool,
}

/// What readiness depends on.
#[derive(Debug)]
pub struct Needs {
    pub index: IndexNeed,
    pub store: Arc<dyn Store>,
    /// Where the index is kept, and the free bytes that it needs there; none when it is not kept here.
    pub volume: Option<(PathBuf, u64)>,
}

/// The index as this process has it.
#[derive(Debug)]
pub enum IndexNeed {
    /// Of a process that serves clients.
    Index(Index),
    /// Of an index node, which may not belong to a cluster yet.
    Local(Local),
}

/// The state of one thing that readiness depends on; `ok` or what is wrong, for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct State(String);

impl State {
    fn good() -> Self {
        Self("ok".into())
    }

    fn is_good(&self) -> bool {
        self.0 == "ok"
    }
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    ready: bool,
    index: State,
    store: State,
    space: State,
    process: State,
}

impl Report {
    fn new(index: State, store: State, has_store: bool, space: State, process: State) -> Self {
        let ready = has_store && [&index, &space, &process].into_iter().all(State::is_good);
        Self { ready, index, store, space, process }
    }

    pub fn ready(&self) -> bool {
        self.ready
    }
}

impl Readiness {
    /// Of a process that is starting.
    pub fn new(drain: Drain) -> Self {
        Self { drain, needs: OnceLock::new(), has_store: AtomicBool::new(false) }
    }

    /// The process has started; from here on it is what these are.
    pub fn started(&self, needs: Needs) {
        // Said twice it stays what it was.
        let _ = self.needs.set(needs);
    }

    /// Asks everything at once.
    pub async fn look(&self) -> Report {
        let process = if self.drain.is_begun() { State("ending".into()) } else { State::good() };
        let Some(needs) = self.needs.get() else {
            let starting = || State("starting".into());
            return Report::new(starting(), starting(), false, starting(), process);
        };
        let (index, store) = tokio::join!(needs.index(), needs.store());
        let has_store = store.is_good() || self.has_store.load(Ordering::Relaxed);
        self.has_store.store(has_store, Ordering::Relaxed);
        Report::new(index, store, has_store, needs.space(), process)
    }
}

impl Needs {
    async fn index(&self) -> State {
        let asked = async {
            match &self.index {
                IndexNeed::Index(index) => index.reach().await,
                IndexNeed::Local(local) if local.node().cluster().is_none() => {
                    Err(IndexError::Unavailable { reason: "this volume belongs to no cluster yet".into() })
                }
                IndexNeed::Local(local) => local.query(GetStatus).await.map(drop),
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(())) => State::good(),
            Ok(Err(error)) => State(error.to_string()),
            Err(_) => State("the index does not answer".into()),
        }
    }

    /// Reads an object that need not be there: an orderly "no" is as good as a byte.
    async fn store(&self) -> State {
        let probe = ObjectKey("OWNER".into());
        let read = async {
            match self.store.read(&probe, 0..1).await {
                Ok(mut bytes) => bytes.next().await.unwrap_or(Ok(bytes::Bytes::new())).map(drop),
                Err(error) => Err(error),
            }
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(()) | Err(StoreError::NotFound { .. })) => State::good(),
            Ok(Err(error)) => State(told(&error)),
            Err(_) => State("the store does not answer".into()),
        }
    }

    fn space(&self) -> State {
        let Some((data, floor)) = &self.volume else { return State::good() };
        match free_bytes(data) {
            Ok(free) if free < *floor => State(format!(
                "{free} bytes are free where the data is, and {floor} are needed: writes are refused until there is room, \
                 deleting works"
            )),
            Ok(_) => State::good(),
            Err(error) => State(format!("the free space cannot be asked for: {error}")),
        }
    }
}

/// An error with the first thing behind it that says why.
fn told(error: &StoreError) -> String {
    let StoreError::Unavailable { source, .. } = error else { return error.to_string() };
    let source: &(dyn std::error::Error + 'static) = &**source;
    let chain = std::iter::successors(Some(source), |error| error.source()).map(ToString::to_string);
    // What the client library says of every failure says nothing.
    let says_nothing = |why: &str| ["service error", "dispatch failure"].contains(&why) || why.starts_with("unhandled");
    let why = chain.filter(|why| !says_nothing(why));
    let why = why.take(2).collect::<Vec<_>>().join(": ");
    if why.is_empty() { error.to_string() } else { format!("{error}: {why}") }
}

/// The bytes that this process may still write on the volume of `path`.
pub fn free_bytes(path: &std::path::Path) -> std::io::Result<u64> {
    let volume = rustix::fs::statvfs(path)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}
