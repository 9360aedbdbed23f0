//! The log on disk: entries, vote and what is committed, in a fjall database of their own.
//!
//! One thread writes. All that was appended while its last fsync ran goes into the next batch and the next fsync: group
//! commit. Entries are readable from memory at once and acknowledged when they are durable. What fsync left on disk
//! after an error is unknown, so an error ends the process; nothing is retried.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use futures::{Stream, StreamExt, stream};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, OptionalSend, RaftLogReader};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::frame::{self, FrameError};
use super::recent::{Durable, Recent};
use super::refused::{Halt, Reason};
use super::types::{Position, StoredEntry, StoredVote, Types};
use super::writer::{Job, Writer};
use crate::index::journal::{self, Behind, JournalError};
use crate::index::level::Newer;
use crate::index::metrics::IndexMetrics;
use crate::index::weight;

pub const VOTE: &[u8] = b"vote";
pub const COMMITTED: &[u8] = b"committed";
pub const PURGED: &[u8] = b"purged";

/// Bytes of entries gathered before they are written in order, and of the journal that holds them until then.
const MEMTABLE_BYTES: u64 = 16 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;

/// Entries read together when many are wanted: a replay must not hold the whole log in memory.
const READ_AHEAD: u64 = 32;

/// Bytes of entries sent to a member at once.
const LETTER_BYTES: usize = 8 << 20;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("could not open the log in {directory}")]
    Open {
        directory: PathBuf,
        #[source]
        source: fjall::Error,
    },
    #[error("could not read the log")]
    Read(#[source] fjall::Error),
    #[error("could not prepare the log in {directory}")]
    Prepare {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the log cannot be used: {0}. Do not start this node again: restore it from a backup, or remove its volume and let \
         it join as a new node"
    )]
    Journal(JournalError),
    #[error("entry {index} of the log cannot be read: {newer}")]
    Newer { index: u64, newer: Newer },
    #[error("could not start the thread that writes the log")]
    Thread(#[source] io::Error),
    #[error(
        "the log is damaged at entry {index}: {reason}. Do not start this node again: restore it from a backup, or remove \
         its volume and let it join as a new node"
    )]
    Damaged { index: u64, reason: String },
}

/// The log store. Clones share one log.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

/// What readers and the writing thread share.
pub struct Shared {
    pub database: Database,
    pub entries: Keyspace,
    pub meta: Keyspace,
    pub recent: Mutex<Recent>,
    /// What is durable.
    pub durable: watch::Sender<Durable>,
    halt: Halt,
    writer: Writer,
}

impl Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log and checks what will be replayed onto a state that has applied `applied`.
    ///
    /// # Errors
    /// [`LogError::Journal`] and [`LogError::Damaged`] when an entry is not what was written: the node must be rebuilt.
    /// An append that a crash cut short was never acknowledged: it is removed as a whole, and the log says so.
    pub fn open(directory: &Path, applied: u64, metrics: &IndexMetrics) -> Result<Self, LogError> {
        journal::remove_unfinished(directory)
            .map_err(|source| LogError::Prepare { directory: directory.to_owned(), source })?;
        if let Some(cut) = journal::mend(directory, Behind::Refuse).map_err(LogError::Journal)? {
            tracing::warn!(file = %cut.file.display(), at = cut.at, "removed an append that a crash had cut short");
        }
        let open = || {
            let database = Database::builder(directory)
                .cache_size(4 << 20)
                .worker_threads(1)
                .max_journaling_size(JOURNAL_BYTES)
                .open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
            let entries = database.keyspace("entries", options)?;
            let meta = database.keyspace("meta", options)?;
            Ok((database, entries, meta))
        };
        let (database, entries, meta) =
            open().map_err(|source| LogError::Open { directory: directory.to_owned(), source })?;
        let mut recent = Recent::default();
        if let Some((position, sum)) = check(&entries, applied)? {
            recent.last = Some(position.into());
            recent.last_sum = sum;
        }
        let volume = directory.parent().unwrap_or(directory);
        let writer = Writer::start(database.clone(), entries.clone(), meta.clone(), metrics.clone(), volume.to_owned())
            .map_err(LogError::Thread)?;
        let halt = Halt::new(volume);
        let vote = meta.get(VOTE).map_err(LogError::Read)?;
        let vote: Option<StoredVote> = vote.and_then(|bytes| rmp_serde::from_slice(&bytes).ok());
        let end = recent.last.as_ref().map(Position::from);
        let durable = watch::Sender::new(Durable { end, term: vote.map_or(0, |vote| vote.term) });
        let recent = Mutex::new(recent);
        let shared = Arc::new(Shared { database, entries, meta, recent, durable, halt, writer });
        shared.writer.attach(&shared);
        Ok(Self { shared })
    }

    /// How this node is told that it must not go on.
    pub fn halt(&self) -> &Halt {
        &self.shared.halt
    }

    /// Follows what is durable. The rest may be gone after a crash.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.shared.durable.subscribe()
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // Nothing that holds this lock can panic half-way through a change.
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meta<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, io::Error> {
        let value = self.shared.meta.get(key).map_err(io::Error::other)?;
        value.map(|bytes| rmp_serde::from_slice(&bytes).map_err(io::Error::other)).transpose()
    }

    /// Hands a job to the writing thread and waits until it is done.
    async fn write(&self, job: impl FnOnce(tokio::sync::oneshot::Sender<()>) -> Job) -> Result<(), io::Error> {
        let (done, wait) = tokio::sync::oneshot::channel();
        self.shared.writer.send(job(done))?;
        wait.await.map_err(|_| io::Error::other("the thread that writes the log has ended"))
    }

    /// The position up to which the log was cut.
    pub fn purged(&self) -> Result<Option<Position>, io::Error> {
        self.meta(PURGED)
    }

    /// The vote that stands in it.
    pub fn vote(&self) -> Result<Option<StoredVote>, io::Error> {
        self.meta(VOTE)
    }

    /// Ends the thread that writes. Everything that was acknowledged is durable.
    pub async fn close(&self) -> Result<(), io::Error> {
        self.write(|done| Job::End { done }).await
    }

    /// The last entry of the log.
    pub fn last(&self) -> Option<Position> {
        self.recent().last.as_ref().map(Position::from)
    }

    /// Bytes on disk, about.
    pub fn disk_space(&self) -> u64 {
        self.shared.database.disk_space().unwrap_or_default()
    }

    /// The part of a range that the log may hold.
    fn bounds(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let first = match range.start_bound() {
            Bound::Included(first) => *first,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => 0,
        };
        let end = self.recent().last.as_ref().map_or(0, |id| id.index + 1);
        let end = match range.end_bound() {
            Bound::Included(last) => end.min(last + 1),
            Bound::Excluded(past) => end.min(*past),
            Bound::Unbounded => end,
        };
        first..end
    }

    /// The entries of a range; those at its beginning that were purged are left out.
    fn entries(&self, range: Range<u64>) -> Result<Vec<EntryOf<Types>>, io::Error> {
        let mut found = Vec::with_capacity(range.end.saturating_sub(range.start).min(READ_AHEAD) as usize);
        for index in range {
            let recent = self.recent().entries.get(&index).map(|(entry, _)| entry.clone());
            match recent.map_or_else(|| self.read(index), |entry| Ok(Some(entry)))? {
                Some(entry) => found.push(entry),
                None if found.is_empty() => {}
                None => return Err(io::Error::other(format!("entry {index} is missing from the log"))),
            }
        }
        Ok(found)
    }

    /// The entries of a range from its first on, until they are about `bytes`; none when the first was purged.
    pub fn stored(&self, range: Range<u64>, bytes: usize) -> Result<Option<Vec<StoredEntry>>, io::Error> {
        let mut found = Vec::new();
        let mut taken = 0;
        for index in self.bounds(&range) {
            let recent = self.recent().entries.get(&index).map(|(entry, length)| (StoredEntry::from(entry), *length));
            let entry = match recent {
                Some(recent) => Some(recent),
                None => self.frame(index)?,
            };
            match entry {
                Some((entry, length)) => {
                    found.push(entry);
                    taken += length;
                }
                None if found.is_empty() => return Ok(None),
                None => return Err(io::Error::other(format!("entry {index} is missing from the log"))),
            }
            if taken >= bytes {
                break;
            }
        }
        Ok(Some(found))
    }

    fn read(&self, index: u64) -> Result<Option<EntryOf<Types>>, io::Error> {
        Ok(self.frame(index)?.map(|(entry, _)| entry.into()))
    }

    /// An entry from the disk, with its length there. What is not as it was written ends this node: whoever reads would only
    /// read it again.
    fn frame(&self, index: u64) -> Result<Option<(StoredEntry, usize)>, io::Error> {
        let halt = self.halt();
        let read = self.shared.entries.get(index.to_be_bytes());
        let Some(bytes) = read.inspect_err(|error| halt.database(error)).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let frame = frame::decode(&bytes).inspect_err(|error| match error {
            FrameError::Newer(newer) => halt.newer(*newer),
            error => halt.refuse(Reason::Damaged, format!("entry {index} of the log: {error}")),
        });
        Ok(Some((frame.map_err(io::Error::other)?.entry, bytes.len())))
    }
}

/// Reads what comes after `applied`: every frame whole, no gap, each naming its predecessor. What is older is checked when
/// it is read. Returns the last entry.
fn check(entries: &Keyspace, applied: u64) -> Result<Option<(Position, u32)>, LogError> {
    let mut last: Option<(Position, u32)> = None;
    let begin = match entries.last_key_value() {
        Some(guard) => applied.min(index_of(&guard.key().map_err(LogError::Read)?)),
        None => return Ok(None),
    };
    for guard in entries.range(begin.to_be_bytes()..) {
        let (key, value) = guard.into_inner().map_err(LogError::Read)?;
        let index = index_of(&key);
        let damaged = |reason: &str| LogError::Damaged { index, reason: reason.to_owned() };
        let frame = frame::decode(&value).map_err(|error| match error {
            FrameError::Newer(newer) => LogError::Newer { index, newer },
            error => damaged(&error.to_string()),
        })?;
        if frame.entry.position.index != index {
            return Err(damaged("the entry belongs elsewhere"));
        }
        if let Some((before, sum)) = last {
            if before.index + 1 != index {
                return Err(damaged("the entry before it is missing"));
            }
            if frame.before != sum {
                return Err(damaged("the entry before it is not the one that it was written after"));
            }
        }
        last = Some((frame.entry.position, frame.sum));
    }
    Ok(last)
}

fn index_of(key: &[u8]) -> u64 {
    key.try_into().map_or(0, u64::from_be_bytes)
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, io::Error> {
    rmp_serde::to_vec_named(value).map_err(io::Error::other)
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<EntryOf<Types>>, io::Error> {
        self.entries(self.bounds(&range))
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<EntryOf<Types>, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let range = self.bounds(&range);
        let log = self.clone();
        stream::unfold(range, move |range| {
            let read = if range.is_empty() {
                None
            } else {
                let middle = range.end.min(range.start + READ_AHEAD);
                let items = match log.entries(range.start..middle) {
                    Ok(entries) => entries.into_iter().map(Ok).collect(),
                    Err(error) => vec![Err(error)],
                };
                Some((stream::iter(items), middle..range.end))
            };
            std::future::ready(read)
        })
        .flatten()
    }

    /// At most what fits into one letter: entries may be as large as a manifest.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<EntryOf<Types>>, io::Error> {
        let mut found = Vec::new();
        let mut bytes = 0;
        for index in start..end {
            let entry = self.entries(index..index + 1)?;
            bytes += entry.iter().map(weight_of).sum::<usize>();
            if bytes > LETTER_BYTES && !found.is_empty() {
                break;
            }
            found.extend(entry);
        }
        Ok(found)
    }

    async fn read_vote(&mut self) -> Result<Option<VoteOf<Types>>, io::Error> {
        Ok(self.meta::<StoredVote>(VOTE)?.map(Into::into))
    }
}

fn weight_of(entry: &EntryOf<Types>) -> usize {
    match &entry.payload {
        EntryPayload::Normal(proposal) => weight::of(&proposal.command),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let purged: Option<LogIdOf<Types>> = self.meta::<Position>(PURGED)?.map(Into::into);
        let last = self.recent().last.or(purged);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &VoteOf<Types>) -> Result<(), io::Error> {
        let vote = StoredVote::from(vote);
        let term = vote.term;
        let value = encode(&vote)?;
        self.write(|done| Job::Vote { vote: value, done }).await?;
        self.shared.durable.send_modify(|durable| durable.term = term);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        // Not awaited and not durable: it only spares work after a restart.
        let Some(committed) = committed else { return Ok(()) };
        let position = Position::from(&committed);
        self.recent().committed = Some(position);
        let value = encode(&position)?;
        self.shared.writer.send(Job::Committed(value))
    }

    async fn read_committed(&mut self) -> Result<Option<LogIdOf<Types>>, io::Error> {
        let recent = self.recent().committed;
        let committed = recent.map_or_else(|| self.meta::<Position>(COMMITTED), |position| Ok(Some(position)))?;
        // It may be ahead of a log that lost its undurable end.
        let last = self.last();
        Ok(committed.filter(|position| last.is_some_and(|last| position.index <= last.index)).map(Into::into))
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = EntryOf<Types>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut frames = Vec::new();
        let mut last = None;
        {
            let mut recent = self.recent();
            for entry in entries {
                let index = entry.log_id.index;
                let (frame, sum) =
                    frame::encode(&StoredEntry::from(&entry), recent.last_sum).map_err(io::Error::other)?;
                recent.last = Some(entry.log_id);
                last = Some(Position::from(&entry.log_id));
                recent.last_sum = sum;
                recent.bytes += frame.len();
                recent.entries.insert(index, (entry, frame.len()));
                frames.push((index, frame));
            }
        }
        self.shared.writer.send(Job::Append { frames, last, flushed })
    }

    async fn truncate_after(&mut self, last: Option<LogIdOf<Types>>) -> Result<(), io::Error> {
        let from = last.as_ref().map_or(0, |id| id.index + 1);
        let end = self.recent().last.as_ref().map_or(0, |id| id.index + 1);
        if from >= end {
            return Ok(());
        }
        self.write(|done| Job::Remove { range: from..end, purged: None, done }).await?;
        self.shared.durable.send_modify(|durable| durable.cut(last.as_ref().map(Position::from)));
        let sum = match &last {
            Some(id) => match self.shared.entries.get(id.index.to_be_bytes()).map_err(io::Error::other)? {
                Some(bytes) => frame::sums(&bytes).map_err(io::Error::other)?.0,
                None => 0,
            },
            None => 0,
        };
        let mut recent = self.recent();
        for (_, (_, bytes)) in recent.entries.split_off(&from) {
            recent.bytes -= bytes;
        }
        recent.last = last;
        recent.last_sum = sum;
        Ok(())
    }

    async fn purge(&mut self, upto: LogIdOf<Types>) -> Result<(), io::Error> {
        let first = match self.shared.entries.first_key_value() {
            Some(guard) => index_of(&guard.key().map_err(io::Error::other)?),
            None => upto.index + 1,
        };
        let purged = Some(encode(&Position::from(&upto))?);
        // Behind an installed snapshot most of what is purged was never here.
        let end = self.recent().last.as_ref().map_or(0, |last| last.index).min(upto.index) + 1;
        self.write(|done| Job::Remove { range: first..end.max(first), purged, done }).await?;
        let mut recent = self.recent();
        while recent.entries.first_key_value().is_some_and(|(index, _)| *index <= upto.index) {
            recent.remove_first();
        }
        if recent.last.as_ref().is_none_or(|last| last.index <= upto.index) {
            // The whole log is gone, behind an installed snapshot: what comes next has no predecessor here.
            if recent.last.as_ref().is_none_or(|last| last.index < upto.index) {
                recent.last_sum = 0;
            }
            recent.last = Some(upto);
        }
        self.shared.durable.send_modify(|durable| durable.reach(Position::from(&upto)));
        Ok(())
    }
}
