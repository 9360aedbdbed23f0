//! The task that archives: on the member that leads, it follows the applied entries, closes a segment when it is old or
//! large enough, and writes a snapshot from time to time. Whoever begins to lead finds by a listing where to go on.
//!
//! After a failure it begins again from a listing, so that it never has to know whether something that failed happened.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::chain::{Listing, Reach};
use super::names::{SnapshotName, WholeSnapshot, epoch_prefix, log_prefix, snapshots_prefix};
use super::restore::read_segment;
use super::segment::Builder;
use super::{ArchiveError, ArchiveMetrics, Archived, astray, snapshots, stream};
use crate::blobs::Store;
use crate::index::Index;
use crate::index::command::Time;
use crate::index::query::Cluster;
use crate::index::raft::archive::{Tail, position_of};
use crate::index::raft::types::StoredEntry;
use crate::index::raft::{Node, NodeError};
use crate::reclaim::owner;

/// How often new entries are looked for: often, so that they are in memory before the log is cut.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of entries read at once, and bytes after which a segment is closed at once.
const READ_BYTES: usize = 1 << 20;
const SEGMENT_BYTES: usize = 4 << 20;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the lag is measured.
const MEASURE: Duration = Duration::from_secs(1);
/// So many looks in a row, a second apart, make it certain that a log does not lead to where the archive stands.
const CERTAIN: u32 = 3;
/// Deletions on their way at once.
const AT_ONCE: usize = 8;
/// Unfinished writes older than this are removed.
const STALE: Duration = Duration::from_hours(48);

/// When to write what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The longest time that an entry waits to be archived while the store is well.
    pub close_after: Duration,
    /// Entries, bytes of entries, and time since the last snapshot after which there is a new one.
    pub snapshot_entries: u64,
    pub snapshot_bytes: u64,
    pub snapshot_age: Duration,
    /// Snapshots kept, with all entries behind the oldest of them.
    pub keep: usize,
}

/// Archives the index of this process.
#[derive(Debug)]
pub struct Archiver {
    index: Index,
    store: Arc<dyn Store>,
    options: Options,
    metrics: ArchiveMetrics,
    archived: Archived,
    /// Since when there is something that is not archived.
    behind: Mutex<Option<Instant>>,
    /// How often in a row our log did not lead to where the archive stands.
    strayed: AtomicU32,
}

/// A snapshot on its way, and the entries and bytes since.
type OnTheWay = (SnapshotName, JoinSet<Result<WholeSnapshot, ArchiveError>>);

/// The work of one leadership, from one listing on.
struct Work {
    builder: Builder,
    /// Since when there are entries in it.
    opened: Option<Instant>,
    /// Where the chain in the store ends.
    position: u64,
    /// Whether a whole snapshot leads to that chain.
    has_base: bool,
    snapshot: Option<OnTheWay>,
    /// Removes what is no longer needed: thousands of objects, which must not keep entries waiting.
    tidying: JoinSet<Result<(), ArchiveError>>,
    /// Since the last snapshot.
    entries: u64,
    bytes: u64,
    time: Instant,
}

impl Archiver {
    pub fn new(index: Index, store: Arc<dyn Store>, options: Options, metrics: ArchiveMetrics) -> Self {
        Self {
            index,
            store,
            options,
            metrics,
            archived: Archived::default(),
            behind: Mutex::default(),
            strayed: AtomicU32::new(0),
        }
    }

    /// How far the archive is.
    pub fn archived(&self) -> Archived {
        self.archived.clone()
    }

    /// Starts the work; it ends when `stop` is cancelled, after a last segment.
    pub fn start(self, stop: &CancellationToken) -> JoinHandle<()> {
        let stop = stop.clone();
        tokio::spawn(async move { self.run(&stop).await })
    }

    async fn run(&self, stop: &CancellationToken) {
        let mut measure = tokio::time::interval(MEASURE);
        while !stop.is_cancelled() {
            let mut work = Box::pin(self.lead(stop));
            let result = loop {
                tokio::select! {
                    result = &mut work => break result,
                    _ = measure.tick() => self.measure(),
                }
            };
            drop(work);
            self.measure();
            if let Err(error) = result {
                self.set_behind(true);
                self.metrics.failures.inc();
                let error = anyhow::Error::from(error);
                tracing::warn!(error = format!("{error:#}"), "the index could not be archived; trying again");
                let _ = stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
            }
        }
    }

    fn measure(&self) {
        let behind = *self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.lag_seconds.set(behind.map_or(0.0, |since| since.elapsed().as_secs_f64()));
        self.metrics.position.set(self.archived.position() as i64);
    }

    fn set_behind(&self, behind: bool) {
        let mut since = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        *since = if behind { since.or_else(|| Some(Instant::now())) } else { None };
    }

    fn cluster(&self) -> &Cluster {
        self.index.cluster()
    }

    fn snapshots(&self) -> String {
        snapshots_prefix(&self.cluster().id, self.cluster().epoch)
    }

    /// Archives while this node leads; returns when it does no longer, or has to begin again.
    async fn lead(&self, stop: &CancellationToken) -> Result<(), ArchiveError> {
        let node = self.index.local().map(|local| local.node().clone());
        let Some((node, term)) = node.and_then(|node| node.term_led().map(|term| (node, term))) else {
            self.set_behind(false);
            let _ = stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
            return Ok(());
        };
        let mut work = self.begin(&node).await?;
        loop {
            let last = stop.is_cancelled();
            if node.term_led() != Some(term) {
                self.set_behind(false);
                return Ok(());
            }
            let more = self.gather(&node, &mut work).await?;
            let old = work.opened.is_some_and(|opened| opened.elapsed() >= self.options.close_after)
                || work.builder.bytes() >= SEGMENT_BYTES;
            if !work.builder.is_empty() && (old || last) {
                self.flush(&mut work).await?;
            }
            if last {
                return Ok(());
            }
            self.snapshot(&node, &mut work)?;
            if !more {
                let _ = stop.run_until_cancelled(tokio::time::sleep(LOOK)).await;
            }
        }
    }

    /// Finds where to go on.
    async fn begin(&self, node: &Node) -> Result<Work, ArchiveError> {
        if let Some(archived) = astray::noted(node.directory())? {
            return Err(ArchiveError::Ahead { archived });
        }
        let listing = listing(self.store.as_ref(), self.cluster()).await?;
        let Some(newest) = listing.newest() else {
            return self.begin_anew(node);
        };
        let mut reach = listing.reach(newest.name.position);
        // The newest snapshot may be ahead of the entries before it, when a leader died between the two: they are archived
        // as well, if our log still has them, so that every position since the oldest snapshot can be restored.
        let oldest = listing.whole.first().map_or(0, |whole| whole.name.position);
        let older = listing.reach(oldest);
        for reach in [&reach, &older] {
            if let Some(archived) = self.astray(node, newest, reach).await? {
                // Once its log is cut nothing could be compared any more. A note is for good, so it is not made at first sight.
                if self.strayed.fetch_add(1, Ordering::Relaxed) + 1 >= CERTAIN {
                    astray::note(node.directory(), archived)?;
                }
                return Err(ArchiveError::Ahead { archived });
            }
        }
        self.strayed.store(0, Ordering::Relaxed);
        self.archived.reached(reach.position);
        if older.position < reach.position && entry_at(node, older.position + 1).await?.is_some() {
            reach = older;
        }
        let bytes = reach.segments.iter().map(|segment| segment.length).sum();
        let age = Duration::from_millis(self.index.time().0.saturating_sub(newest.time()));
        Ok(Work {
            builder: Builder::new(reach.position + 1, reach.sum),
            opened: None,
            position: reach.position,
            has_base: true,
            snapshot: None,
            tidying: JoinSet::new(),
            entries: reach.position.saturating_sub(newest.name.position),
            bytes,
            time: Instant::now().checked_sub(age).unwrap_or_else(Instant::now),
        })
    }

    /// Begins a new chain behind a new snapshot: nothing is archived yet, or the log no longer holds what comes next.
    fn begin_anew(&self, node: &Node) -> Result<Work, ArchiveError> {
        self.set_behind(true);
        let mut work = Work {
            builder: Builder::new(1, 0),
            opened: None,
            position: 0,
            has_base: false,
            snapshot: None,
            tidying: JoinSet::new(),
            entries: 0,
            bytes: 0,
            time: Instant::now(),
        };
        let position = self.write_snapshot(node, &mut work)?;
        work.builder = Builder::new(position + 1, 0);
        work.position = position;
        Ok(work)
    }

    /// Takes new entries into the segment; whether there may be more at once.
    async fn gather(&self, node: &Node, work: &mut Work) -> Result<bool, ArchiveError> {
        let (reader, behind) = (node.clone(), work.builder.next() - 1);
        let tail = tokio::task::spawn_blocking(move || reader.tail(behind, READ_BYTES));
        let entries = match tail.await.map_err(|_| ArchiveError::Ended)?? {
            Tail::Entries(entries) => entries,
            Tail::Cut => {
                tracing::warn!(position = behind, "the log was cut before it was archived: archiving a new snapshot");
                *work = self.begin_anew(node)?;
                return Ok(true);
            }
        };
        if entries.is_empty() {
            return Ok(false);
        }
        let before = work.builder.bytes();
        for entry in &entries {
            work.builder.push(entry).map_err(ArchiveError::Encode)?;
        }
        work.opened.get_or_insert_with(Instant::now);
        self.set_behind(true);
        let bytes = work.builder.bytes() - before;
        work.entries += entries.len() as u64;
        work.bytes += bytes as u64;
        Ok(bytes >= READ_BYTES)
    }

    /// Writes the segment and begins the next.
    async fn flush(&self, work: &mut Work) -> Result<(), ArchiveError> {
        let Cluster { id, epoch, .. } = self.cluster();
        let Some((name, bytes)) = work.builder.finish(id, *epoch) else { return Ok(()) };
        stream::put(self.store.as_ref(), &name.key(id, *epoch), bytes.into()).await?;
        self.metrics.segments.inc();
        self.metrics.bytes.inc_by(name.length);
        work.builder = Builder::new(name.last + 1, name.sum);
        work.position = name.last;
        work.opened = None;
        if work.has_base {
            self.archived.reached(work.position);
            self.set_behind(false);
        }
        Ok(())
    }

    /// Looks after the snapshot on its way, or begins one when it is time.
    fn snapshot(&self, node: &Node, work: &mut Work) -> Result<(), ArchiveError> {
        while let Some(done) = work.tidying.try_join_next() {
            if let Err(error) = done.map_err(|_| ArchiveError::Ended).flatten() {
                self.metrics.failures.inc();
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "what the archive needs no longer was not removed; the next snapshot tries again"
                );
            }
        }
        if let Some((_, task)) = &mut work.snapshot {
            let Some(done) = task.try_join_next() else { return Ok(()) };
            let whole = done.map_err(|_| ArchiveError::Ended)??;
            work.snapshot = None;
            work.has_base = true;
            self.metrics.snapshots.inc();
            self.metrics.bytes.inc_by(whole.length);
            self.archived.reached(work.position.max(whole.name.position));
            self.set_behind(!work.builder.is_empty());
            tracing::info!(position = whole.name.position, bytes = whole.length, "archived a snapshot");
            let (store, cluster, keep) = (Arc::clone(&self.store), self.cluster().clone(), self.options.keep.max(2));
            work.tidying.spawn(async move { tidy(store.as_ref(), &cluster, keep).await });
            return Ok(());
        }
        let options = &self.options;
        let due = work.entries >= options.snapshot_entries
            || work.bytes >= options.snapshot_bytes
            || (work.entries > 0 && work.time.elapsed() >= options.snapshot_age);
        if due {
            self.write_snapshot(node, work)?;
        }
        Ok(())
    }

    /// Begins to write a snapshot, and returns where it stands.
    fn write_snapshot(&self, node: &Node, work: &mut Work) -> Result<u64, ArchiveError> {
        let view = node.view();
        let stands = position_of(&view)?.ok_or_else(|| NodeError::NoLeader("nothing is applied yet".into()))?;
        let id = new_id(self.index.time())?;
        let name = SnapshotName { position: stands.index, term: stands.term, id };
        let (store, prefix, cluster) = (Arc::clone(&self.store), self.snapshots(), self.cluster().id.clone());
        let mut task = JoinSet::new();
        let written = name.clone();
        task.spawn(async move { snapshots::write(store.as_ref(), &prefix, &cluster, written, view).await });
        work.snapshot = Some((name, task));
        (work.entries, work.bytes, work.time) = (0, 0, Instant::now());
        Ok(stands.index)
    }

    /// The position at which the archive stands, if our log does not lead there: that of an older copy of a volume does not,
    /// also when it has become as long since.
    async fn astray(&self, node: &Node, newest: &WholeSnapshot, reach: &Reach) -> Result<Option<u64>, ArchiveError> {
        let position = reach.position;
        if position.max(newest.name.position) > node.health().end {
            return Ok(Some(position.max(newest.name.position)));
        }
        // What our log no longer holds was compared when it did.
        if let Some(ours) = entry_at(node, newest.name.position).await?
            && ours.position.term != newest.name.term
        {
            return Ok(Some(newest.name.position));
        }
        let (Some(segment), Some(ours)) = (reach.segments.last(), entry_at(node, position).await?) else {
            return Ok(None);
        };
        let Cluster { id, epoch, .. } = self.cluster();
        let archived = read_segment(self.store.as_ref(), id, *epoch, segment).await?;
        Ok((archived.last() != Some(&ours)).then_some(position))
    }
}

async fn listing(store: &dyn Store, Cluster { id, epoch, .. }: &Cluster) -> Result<Listing, ArchiveError> {
    let mut keys = stream::list(store, &snapshots_prefix(id, *epoch)).await?;
    // After the snapshots: so that a segment that follows one of them is seen as well.
    keys.extend(stream::list(store, &log_prefix(id, *epoch)).await?);
    Ok(Listing::of(keys))
}

/// Removes what is no longer needed, if the store is still ours.
async fn tidy(store: &dyn Store, cluster: &Cluster, keep: usize) -> Result<(), ArchiveError> {
    let Cluster { id, epoch, .. } = cluster;
    let outdated = listing(store, cluster).await?.outdated(keep, id, *epoch, None);
    if outdated.is_empty() {
        return Ok(());
    }
    owner::check(store, cluster).await?;
    // The marks first, as the listing has them: what they spoke of is never half there.
    let (marks, others): (Vec<_>, Vec<_>) = outdated.into_iter().partition(|key| WholeSnapshot::parse(key).is_some());
    for keys in [marks, others] {
        let deletions = futures::stream::iter(keys).map(|key| async move { store.delete(&key).await });
        deletions.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    }
    store.abort_stale(&epoch_prefix(id, *epoch), STALE).await?;
    Ok(())
}

/// A new id, which tells the index time.
pub(super) fn new_id(time: Time) -> Result<String, ArchiveError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(ArchiveError::Random)?;
    Ok(ulid::Ulid::from_parts(time.0, u128::from_le_bytes(random)).to_string().to_lowercase())
}

/// The entry at a position, while the log still holds it.
async fn entry_at(node: &Node, position: u64) -> Result<Option<StoredEntry>, ArchiveError> {
    let node = node.clone();
    let read = tokio::task::spawn_blocking(move || node.entry(position));
    Ok(read.await.map_err(|_| ArchiveError::Ended)??)
}
