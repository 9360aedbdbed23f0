//! The tables in a fjall database, `state-<n>/` on the volume of the index.
//!
//! Written by `raft::machine` alone, one batch for many entries, without fsync: the log is what is durable, and it is
//! cut only behind what [`Store::sync`] has made durable. The applied position stands in the same batch as the data, so
//! that a restart replays exactly what is missing.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use fjall::config::PartitioningPolicy;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode, Readable, Snapshot,
};

use crate::index::crash;
use crate::index::journal::{self, Behind, JournalError};
#[cfg(feature = "mutants")]
use crate::index::mutants;

use super::records::{Change, Records, RecordsError, Table, Visit};

/// The longest key that is looked for, in bytes; the store takes 65,535 with the table's own.
const MOST_KEY: usize = 60_000;

/// The key, outside of all tables, under which the log position and membership are kept, in each keyspace.
const APPLIED: &[u8] = &[0];

/// Memory for what is read often, and for what is gathered before it is written in order; the journal holds the latter.
const CACHE_BYTES: u64 = 32 << 20;
const MEMTABLE_BYTES: u64 = 16 << 20;
/// The least that fjall takes: a start after a kill reads all of it again, and the journal being written.
const JOURNAL_BYTES: u64 = 64 << 20;

/// A state database, open.
#[derive(Clone)]
pub struct Store {
    database: Database,
    records: Keyspace,
    /// Manifests' bytes: large values, kept apart so that compaction does not move them again and again.
    bytes: Keyspace,
    /// The last one, so that the database is closed before its directory may go.
    place: Arc<Place>,
}

/// Where the database is. When it is not needed any more its directory goes with the last who reads it.
struct Place {
    directory: PathBuf,
    is_retired: AtomicBool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if *self.is_retired.get_mut()
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            tracing::warn!(directory = %self.directory.display(), %error, "could not remove a state that is not in force; the next start does");
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("directory", &self.place.directory).finish_non_exhaustive()
    }
}

/// The state database could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not open the state in {directory}")]
    Open {
        directory: PathBuf,
        #[source]
        source: fjall::Error,
    },
    #[error("could not prepare the state in {directory}")]
    Prepare {
        directory: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the state cannot be used: restore this node from a backup, or remove its volume and let it join as a new node"
    )]
    Journal(#[source] JournalError),
    #[error("could not read the state")]
    Read(#[source] fjall::Error),
    #[error(
        "the state in {directory} is damaged: its records and its manifests stand at different positions. Restore this \
         node from a backup, or remove its volume and let it join as a new node"
    )]
    Halves { directory: PathBuf },
    #[error("could not write to the state")]
    Write(#[source] fjall::Error),
    #[error("could not make the state durable")]
    Sync(#[source] fjall::Error),
}

impl Store {
    /// Opens the database in `directory`, or makes it. What a crash left incomplete is cut: the log still has it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        journal::remove_unfinished(directory)
            .map_err(|source| StoreError::Prepare { directory: directory.to_owned(), source })?;
        if let Some(cut) = journal::mend(directory, Behind::Cut).map_err(StoreError::Journal)? {
            tracing::warn!(file = %cut.file.display(), at = cut.at, "cut the end of the state, it is made again from the log");
        }
        let open = || {
            let database = Database::builder(directory)
                .cache_size(CACHE_BYTES)
                .worker_threads(2)
                .max_journaling_size(JOURNAL_BYTES);
            // Else the state would remember what the log has lost.
            #[cfg(feature = "mutants")]
            let database = database.manual_journal_persist(mutants::is(mutants::Mutant::AckBeforeFsync));
            let database = database.open()?;
            // Whole, the index and the filter of a table are megabytes: once those of all tables are more than the cache,
            // each read of what is not cached would read them anew, a hundred times what a page of each is.
            let options = || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(MEMTABLE_BYTES)
                    .index_block_partitioning_policy(PartitioningPolicy::all(true))
                    .filter_block_partitioning_policy(PartitioningPolicy::all(true))
            };
            let large = || options().with_kv_separation(Some(KvSeparationOptions::default()));
            let records = database.keyspace("records", options)?;
            let bytes = database.keyspace("bytes", large)?;
            let place = Place { directory: directory.to_owned(), is_retired: AtomicBool::new(false) };
            Ok(Self { database, records, bytes, place: Arc::new(place) })
        };
        let store: Self = open().map_err(|source| StoreError::Open { directory: directory.to_owned(), source })?;
        let stands = |keyspace: &Keyspace| keyspace.get(APPLIED).map_err(StoreError::Read);
        if stands(&store.records)? != stands(&store.bytes)? {
            return Err(StoreError::Halves { directory: directory.to_owned() });
        }
        Ok(store)
    }

    pub fn directory(&self) -> &Path {
        &self.place.directory
    }

    /// Another state is in force: this one is removed when nobody reads it any more.
    pub fn retire(&self) {
        self.place.is_retired.store(true, Ordering::Relaxed);
    }

    /// It is not removed after all.
    pub fn keep(&self) {
        self.place.is_retired.store(false, Ordering::Relaxed);
    }

    fn keyspace(&self, table: Table) -> &Keyspace {
        if table == Table::ManifestBytes { &self.bytes } else { &self.records }
    }

    /// Writes changes, and the position they lead to, as one.
    pub fn write(&self, changes: impl IntoIterator<Item = Change>, applied: &[u8]) -> Result<(), StoreError> {
        let mut batch = self.batch(changes);
        // In both, so that they can be told to stand at the same position.
        batch.insert(&self.records, APPLIED, applied);
        batch.insert(&self.bytes, APPLIED, applied);
        crash::disk("index::state::write_fails").map_err(StoreError::Write)?;
        batch.commit().map_err(StoreError::Write)
    }

    /// Writes records of a state that stands nowhere yet, since more of it is to come.
    pub fn fill(&self, changes: impl IntoIterator<Item = Change>) -> Result<(), StoreError> {
        self.batch(changes).commit().map_err(StoreError::Write)
    }

    fn batch(&self, changes: impl IntoIterator<Item = Change>) -> OwnedWriteBatch {
        let mut batch = self.database.batch();
        for ((table, key), value) in changes {
            let keyspace = self.keyspace(table);
            let key = place(table, &key);
            match value {
                Some(value) => batch.insert(keyspace, key, value),
                None => batch.remove(keyspace, key),
            }
        }
        batch
    }

    /// What the last [`Store::write`] said of its position; none for a new state.
    pub fn applied(&self) -> Result<Option<Bytes>, RecordsError> {
        self.view().applied()
    }

    /// Makes everything written so far durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        crash::disk("index::state::sync_fails").map_err(StoreError::Sync)?;
        self.database.persist(PersistMode::SyncAll).map_err(StoreError::Sync)
    }

    /// A consistent view of the present state; writing goes on beside it.
    pub fn view(&self) -> View {
        View { store: self.clone(), snapshot: self.database.snapshot() }
    }

    /// Bytes on disk, about.
    pub fn disk_space(&self) -> u64 {
        self.database.disk_space().unwrap_or_default()
    }
}

fn place(table: Table, key: &[u8]) -> Vec<u8> {
    let mut place = Vec::with_capacity(1 + key.len());
    place.push(table as u8);
    place.extend_from_slice(key);
    place
}

/// A consistent view of a [`Store`].
pub struct View {
    store: Store,
    snapshot: Snapshot,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("store", &self.store).finish_non_exhaustive()
    }
}

impl View {
    /// The position that this view stands at, as it was written.
    pub fn applied(&self) -> Result<Option<Bytes>, RecordsError> {
        Ok(self.snapshot.get(&self.store.records, APPLIED).map_err(read)?.map(Bytes::from))
    }
}

fn read(error: fjall::Error) -> RecordsError {
    RecordsError::Read(Box::new(error))
}

impl Records for View {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, RecordsError> {
        // The store has no such keys, and does not like to be asked for them.
        if key.len() > MOST_KEY {
            return Ok(None);
        }
        let value = self.snapshot.get(self.store.keyspace(table), place(table, key)).map_err(read)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), RecordsError> {
        if !to.is_empty() && to <= from {
            return Ok(());
        }
        let end = if to.is_empty() { vec![table as u8 + 1] } else { place(table, to) };
        let mut range = self.snapshot.range(self.store.keyspace(table), place(table, from)..end);
        loop {
            let next = if descending { range.next_back() } else { range.next() };
            let Some(guard) = next else { return Ok(()) };
            let (key, value) = guard.into_inner().map_err(read)?;
            if visit(&key[1..], &Bytes::from(value)) == ControlFlow::Break(()) {
                return Ok(());
            }
        }
    }
}
