//! The state machine as openraft sees it: applies committed entries in batches, hands out snapshots, installs them.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use futures::{FutureExt, Stream, StreamExt};
use openraft::alias::{EntryOf, LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta};
use tokio::sync::watch;

use super::log::Log;
use super::recent::Durable;
use super::refused::Halt;
use super::states::States;
use super::transfer;
use super::types::{Applied, Members, NodeId, Types};
use crate::index::command::{Outcome, Reply, Time};
use crate::index::crash::{self, disk_failed};
use crate::index::level::{self, Newer};
use crate::index::metrics::IndexMetrics;
use crate::index::state;
use crate::index::state::records::{RecordsError, Transaction};
use crate::index::state::store::{Store, View};
use crate::index::state::sums::{EVERY, Sums};
use crate::index::threads;
use crate::index::weight;

/// Entries applied as one batch at most, and their bytes, about.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// Records changed by one write of the state, about: what entries do is not bounded by what they weigh.
const WRITE_RECORDS: usize = 1 << 16;

/// The state machine. Clones share one state.
#[derive(Clone, Debug)]
pub struct Machine {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    states: States,
    /// The state in force; replaced when a snapshot is installed.
    store: RwLock<Store>,
    metrics: IndexMetrics,
    /// Bytes of commands applied since the start, about.
    applied_bytes: AtomicU64,
    /// Nodes that were members once.
    removed: RwLock<BTreeSet<NodeId>>,
    /// The index time of the last entry.
    time: AtomicU64,
    /// How the node is told that it must not go on.
    halt: OnceLock<Halt>,
    /// What this node's own log has for good; none: nothing is waited for.
    durable: OnceLock<watch::Receiver<Durable>>,
}

/// A state on its way: a view of this member's, or one received from another member.
#[derive(Debug)]
pub enum StateSnapshot {
    View(View),
    /// A whole state in a directory of its own, not yet in force.
    Received(Store),
}

impl Machine {
    pub fn new(states: States, store: Store, metrics: IndexMetrics) -> Self {
        let shared = Shared {
            states,
            store: RwLock::new(store),
            metrics,
            applied_bytes: AtomicU64::new(0),
            removed: RwLock::default(),
            time: AtomicU64::new(0),
            halt: OnceLock::new(),
            durable: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// From now on what cannot be applied ends the node, and only what is durable in its log is applied.
    pub fn attach(&self, log: &Log) {
        let _ = self.shared.halt.set(log.halt().clone()); // there is one node
        let _ = self.shared.durable.set(log.durable());
    }

    /// Waits until the log has an entry for good. It may be committed before, by the disks of the others; but a state ahead
    /// of its own log looks after a crash like one whose log has lost something, and is refused.
    async fn durable(&self, index: u64) -> Result<(), io::Error> {
        let Some(durable) = self.shared.durable.get() else { return Ok(()) };
        let waited = durable.clone().wait_for(|durable| durable.has(index)).await.map(|_| ());
        waited.map_err(|_| io::Error::other("the log was closed"))
    }

    fn volume(&self) -> &Path {
        self.shared.states.volume()
    }

    /// Says that the records cannot be read.
    fn unreadable(&self, error: RecordsError) -> io::Error {
        if let Some(halt) = self.shared.halt.get() {
            halt.records(&error);
        }
        io::Error::other(error)
    }

    /// Says that an entry needs a newer roadstead.
    fn newer(&self, newer: Newer) -> io::Error {
        if let Some(halt) = self.shared.halt.get() {
            halt.newer(newer);
        }
        io::Error::other(newer)
    }

    /// Whether the node was a member once and is none any more.
    pub fn has_removed(&self, node: NodeId) -> bool {
        self.shared.removed.read().unwrap_or_else(PoisonError::into_inner).contains(&node)
    }

    /// The index time of the last entry applied since the start.
    pub fn last_time(&self) -> Time {
        Time(self.shared.time.load(Ordering::Relaxed))
    }

    /// Remembers who was removed, as a state says it.
    fn note_removed(&self, applied: &Applied) {
        let mut removed = self.shared.removed.write().unwrap_or_else(PoisonError::into_inner);
        if *removed != applied.removed {
            removed.clone_from(&applied.removed);
        }
    }

    /// The state in force.
    pub fn store(&self) -> Store {
        self.shared.store.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes of commands applied since the start, about.
    pub fn applied_bytes(&self) -> u64 {
        self.shared.applied_bytes.load(Ordering::Relaxed)
    }

    fn meta(applied: Applied) -> SnapshotMetaOf<Types> {
        SnapshotMeta { last_log_id: applied.position.map(Into::into), last_membership: (&applied.members).into() }
    }

    /// A consistent view, made durable up to where it stands, so that the log may be cut behind it.
    fn snapshot(&self) -> Result<SnapshotOf<Types, StateSnapshot>, io::Error> {
        let store = self.store();
        let view = store.view();
        crash::point("index::snapshot::before_sync");
        if let Err(error) = store.sync() {
            disk_failed(self.volume(), "could not make the state durable", &error);
        }
        crash::point("index::snapshot::after_sync");
        let applied = decode_applied(view.applied().map_err(io::Error::other)?.as_deref())?;
        Ok(Snapshot { meta: Self::meta(applied), snapshot: StateSnapshot::View(view) })
    }

    /// Applies a batch and tells all who wait.
    async fn apply_and_answer(&self, batch: Batch) -> Result<(), io::Error> {
        let Batch { entries, responders, bytes } = batch;
        self.shared.applied_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let last = entries.last().map_or(0, |entry| entry.log_id.index);
        self.durable(last).await?;
        let machine = self.clone();
        let replies = blocking(move || machine.apply_batch(&entries)).await.inspect_err(|error| {
            tracing::error!(%error, "could not apply entries: this node stops");
        })?;
        self.shared.metrics.apply_entries.observe(replies.len() as f64);
        self.shared.metrics.entries_applied.inc_by(replies.len() as u64);
        self.shared.metrics.applied_position.set(last as i64);
        for (responder, reply) in responders.into_iter().zip(replies) {
            if let Some(responder) = responder {
                responder.send(reply);
            }
        }
        Ok(())
    }

    /// Applies entries, in as few writes as memory allows, and returns the replies in their order.
    pub(super) fn apply_batch(&self, entries: &[EntryOf<Types>]) -> Result<Vec<Reply>, io::Error> {
        let mut replies = Vec::with_capacity(entries.len());
        while let Some(rest) = entries.get(replies.len()..).filter(|rest| !rest.is_empty()) {
            self.apply_first(rest, WRITE_RECORDS, &mut replies)?;
        }
        Ok(replies)
    }

    /// Applies entries in one write, until it has about `records` records, and adds their replies.
    pub(super) fn apply_first(
        &self,
        entries: &[EntryOf<Types>],
        records: usize,
        replies: &mut Vec<Reply>,
    ) -> Result<(), io::Error> {
        let store = self.store();
        let view = store.view();
        let mut applied = decode_applied(view.applied().map_err(io::Error::other)?.as_deref())?;
        if applied.position.is_none() {
            applied.sums = Sums::beginning();
        }
        let mut transaction = Transaction::after(&view, applied.sums.chain());
        for entry in entries {
            let index = entry.log_id.index;
            applied.position = Some((&entry.log_id).into());
            replies.push(match &entry.payload {
                EntryPayload::Blank => Ok(Outcome::Done),
                EntryPayload::Normal(proposal) => {
                    // What one cannot read must not be left out: an entry that raises the level says what comes after it.
                    level::check("an entry", proposal.command.reader()).map_err(|newer| self.newer(newer))?;
                    self.shared.time.fetch_max(proposal.time.0, Ordering::Relaxed);
                    state::apply(&mut transaction, index, proposal).map_err(|error| self.unreadable(error))?
                }
                EntryPayload::Membership(membership) => {
                    let since = Some(entry.log_id);
                    let stored = StoredMembershipOf::<Types>::new(since, membership.clone());
                    applied.change(Members::from(&stored));
                    Ok(Outcome::Done)
                }
            });
            applied.sums.applied(index, transaction.end_entry(index), EVERY);
            if matches!(entry.payload, EntryPayload::Membership(_)) {
                applied.sums.begin_again(index);
                transaction.sum_from(applied.sums.chain());
            }
            if transaction.count() >= records {
                break;
            }
        }
        self.note_removed(&applied);
        let applied = rmp_serde::to_vec_named(&applied).map_err(io::Error::other)?;
        crash::point("index::state::before_commit");
        if let Err(error) = store.write(transaction.into_changes(), &applied) {
            disk_failed(self.volume(), "could not write the state", &error);
        }
        crash::point("index::state::after_commit");
        Ok(())
    }
}

/// Decodes what a state says of its position; that of a new state is the beginning.
pub fn decode_applied(bytes: Option<&[u8]>) -> Result<Applied, io::Error> {
    bytes.map_or_else(|| Ok(Applied::default()), |bytes| rmp_serde::from_slice(bytes).map_err(io::Error::other))
}

/// Reads where a state stands.
pub fn applied_of(store: &Store) -> Result<Applied, io::Error> {
    decode_applied(store.applied().map_err(io::Error::other)?.as_deref())
}

/// Entries to be applied together, and who waits for their replies.
#[derive(Default)]
struct Batch {
    entries: Vec<EntryOf<Types>>,
    responders: Vec<Option<ApplyResponder<Types>>>,
    bytes: usize,
}

impl Batch {
    #[cfg_attr(not(feature = "mutants"), allow(unused_mut))]
    fn push(&mut self, (mut entry, responder): EntryResponder<Types>) {
        if let EntryPayload::Normal(proposal) = &entry.payload {
            self.bytes += weight::of(&proposal.command);
        }
        #[cfg(feature = "mutants")]
        if responder.is_none() && crate::index::mutants::skips(entry.log_id.index) {
            entry.payload = EntryPayload::Blank;
        }
        self.entries.push(entry);
        self.responders.push(responder);
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, io::Error> + Send + 'static,
) -> Result<T, io::Error> {
    threads::blocking(work).await?
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = StateSnapshot;
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>), io::Error> {
        let applied = applied_of(&self.store())?;
        self.note_removed(&applied);
        Ok((applied.position.map(Into::into), (&applied.members).into()))
    }

    async fn apply<S>(&mut self, entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        // It is asked again after its end.
        let mut entries = entries.fuse();
        let mut batch = Batch::default();
        while let Some(item) = entries.next().await {
            batch.push(item?);
            // What is ready goes into the same batch, as far as it may grow.
            while !batch.is_full()
                && let Some(Some(item)) = entries.next().now_or_never()
            {
                batch.push(item?);
            }
            self.apply_and_answer(std::mem::take(&mut batch)).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: StateSnapshot,
    ) -> Result<(), io::Error> {
        let position = meta.last_log_id.as_ref().map(super::types::Position::from);
        let (machine, shared) = (self.clone(), self.shared.clone());
        blocking(move || {
            let received = match snapshot {
                StateSnapshot::Received(store) => store,
                StateSnapshot::View(view) => transfer::copy(&view, &shared.states).map_err(io::Error::other)?,
            };
            let stands = applied_of(&received)?;
            if stands.position != position {
                return Err(io::Error::other("the received state does not stand where its sender said"));
            }
            if let Err(error) = received.sync() {
                disk_failed(machine.volume(), "could not make the received state durable", &error);
            }
            let time = state::time(&received.view()).map_err(|error| machine.unreadable(error))?;
            shared.time.fetch_max(time.0, Ordering::Relaxed);
            received.keep();
            shared.states.switch_to(received.directory()).map_err(io::Error::other)?;
            let mut store = shared.store.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *store, received);
            drop(store);
            before.retire();
            machine.note_removed(&stands);
            Ok(())
        })
        .await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, StateSnapshot>>, io::Error> {
        let machine = self.clone();
        let snapshot = blocking(move || machine.snapshot()).await?;
        Ok(snapshot.meta.last_log_id.is_some().then_some(snapshot))
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    type SnapshotData = StateSnapshot;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, StateSnapshot>, io::Error> {
        let machine = self.clone();
        blocking(move || machine.snapshot()).await
    }
}
