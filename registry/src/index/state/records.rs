//! Records: the tables as ordered keys and values, and a transaction on top of them.

use std::ops::ControlFlow;

use bytes::Bytes;

/// One table; the number is on disk and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    Settings = 1,
    Repositories = 2,
    Tags = 3,
    History = 4,
    Manifests = 5,
    ManifestBytes = 6,
    Blobs = 7,
    Counts = 8,
    Objects = 9,
    Links = 10,
    LinksByDigest = 11,
    Referrers = 12,
    Uploads = 13,
    Queue = 14,
    Events = 15,
    Requests = 16,
    Parents = 17,
}

/// The records cannot be read or hold something that does not decode.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("could not read the state")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("a record of {table:?} does not decode: {reason}")]
    Damaged { table: Table, reason: String },
}

/// A consistent view of the tables.
pub trait Records {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, RecordsError>;

    /// Visits the records of `table` with `from <= key < to` in ascending (or descending) order until told to stop. An empty `to` means the end.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), RecordsError>;
}

/// A record as it will be written: the new value, or none when it is removed.
pub type Change = ((Table, Vec<u8>), Option<Bytes>);

/// Changes on top of a view, seen by its own reads, to be written in one batch. What one command changed can be taken
/// back with [`Transaction::rollback`] to a [`Transaction::savepoint`].
pub struct Transaction<'a> {
    base: &'a dyn Records,
    changes: std::collections::BTreeMap<(Table, Vec<u8>), Option<Bytes>>,
    undo: Vec<((Table, Vec<u8>), Option<Option<Bytes>>)>,
}

impl<'a> Transaction<'a> {
    pub fn new(base: &'a dyn Records) -> Self {
        Self { base, changes: std::collections::BTreeMap::new(), undo: Vec::new() }
    }

    pub fn put(&mut self, table: Table, key: &[u8], value: Bytes) {
        self.change(table, key, Some(value));
    }

    pub fn remove(&mut self, table: Table, key: &[u8]) {
        self.change(table, key, None);
    }

    fn change(&mut self, table: Table, key: &[u8], value: Option<Bytes>) {
        let key = (table, key.to_vec());
        let before = self.changes.insert(key.clone(), value);
        self.undo.push((key, before));
    }

    /// Forgets how to undo what came before: what one entry did is final once it is applied.
    pub fn savepoint(&mut self) {
        self.undo.clear();
    }

    /// Undoes every change since the last savepoint.
    pub fn rollback(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => {
                    self.changes.insert(key, value);
                }
                None => {
                    self.changes.remove(&key);
                }
            }
        }
    }

    /// Everything that changed, in the order of the keys.
    pub fn into_changes(self) -> impl Iterator<Item = Change> {
        self.changes.into_iter()
    }
}
