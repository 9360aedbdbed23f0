//! Records: the tables as ordered keys and values, and a transaction on top of them.
//!
//! [`Records`] is what queries read and what `store` implements over the database; [`Transaction`] is what commands
//! change. Values are MessagePack with field names, so that a field can be added and old records still be read.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::sums::Chain;
use crate::index::command::Refusal;

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
    TagsByDigest = 18,
    Backups = 19,
    Accounts = 20,
    Tokens = 21,
    Policies = 22,
    Keys = 23,
    Audit = 24,
    Quotas = 25,
    Usage = 26,
    Issuers = 27,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 27] = [
        Self::Settings,
        Self::Repositories,
        Self::Tags,
        Self::History,
        Self::Manifests,
        Self::ManifestBytes,
        Self::Blobs,
        Self::Counts,
        Self::Objects,
        Self::Links,
        Self::LinksByDigest,
        Self::Referrers,
        Self::Uploads,
        Self::Queue,
        Self::Events,
        Self::Requests,
        Self::Parents,
        Self::TagsByDigest,
        Self::Backups,
        Self::Accounts,
        Self::Tokens,
        Self::Policies,
        Self::Keys,
        Self::Audit,
        Self::Quotas,
        Self::Usage,
        Self::Issuers,
    ];
}

/// The records cannot be read or hold something that does not decode: the node must stop.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("could not read the state")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("a record of {table:?} does not decode: {reason}")]
    Damaged { table: Table, reason: String },
}

/// Sees one record of a scan and says whether to go on.
pub type Visit<'v> = dyn FnMut(&[u8], &Bytes) -> ControlFlow<()> + 'v;

/// A consistent view of the tables.
pub trait Records {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, RecordsError>;

    /// Visits the records of `table` with `from <= key < to` in the order of their keys, or in the opposite order, until
    /// told to stop. An empty `to` means the end of the table.
    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), RecordsError>;
}

/// Encodes a record.
pub fn encode<T: Serialize>(record: &T) -> Bytes {
    // Our records hold only maps with text keys, numbers, text and bytes, and a Vec takes all that is written to it.
    rmp_serde::to_vec_named(record).unwrap_or_default().into()
}

/// Decodes a record of `table`.
pub fn decode<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, RecordsError> {
    rmp_serde::from_slice(bytes).map_err(|error| RecordsError::Damaged { table, reason: error.to_string() })
}

/// Reads and decodes one record.
pub fn load<T: DeserializeOwned>(records: &dyn Records, table: Table, key: &[u8]) -> Result<Option<T>, RecordsError> {
    records.get(table, key)?.map(|bytes| decode(table, &bytes)).transpose()
}

/// Whether there is a record.
pub fn exists(records: &dyn Records, table: Table, key: &[u8]) -> Result<bool, RecordsError> {
    Ok(records.get(table, key)?.is_some())
}

/// The first key past every key that begins with `prefix`; empty when there is none.
pub fn past(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// The records whose keys begin with `prefix`, at most `limit`, in order.
pub fn collect(
    records: &dyn Records,
    table: Table,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, Bytes)>, RecordsError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    records.scan(table, prefix, &past(prefix), false, &mut |key, value| {
        found.push((key.to_vec(), value.clone()));
        if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// The same, decoded.
pub fn collect_decoded<T: DeserializeOwned>(
    records: &dyn Records,
    table: Table,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(Vec<u8>, T)>, RecordsError> {
    let found = collect(records, table, prefix, limit)?;
    found.into_iter().map(|(key, value)| Ok((key, decode(table, &value)?))).collect()
}

/// Where a record is.
type Place = (Table, Vec<u8>);

/// A record as it will be written: the new value, or none when it is removed.
pub type Change = (Place, Option<Bytes>);

/// What `changes` held at a place: nothing, or a change.
enum Before {
    Untouched,
    Changed(Option<Bytes>),
}

/// Changes on top of a view, seen by its own reads, to be written in one batch. What one entry changed can be taken
/// back: [`Transaction::savepoint`], then [`Transaction::rollback`].
pub struct Transaction<'a> {
    base: &'a dyn Records,
    changes: BTreeMap<Place, Option<Bytes>>,
    /// The log position of the entry that is being applied.
    position: u64,
    /// What stood in `changes` before each change since the savepoint.
    undo: Vec<(Place, Before)>,
    /// The check sum over everything that is final.
    chain: Chain,
    /// Why the entry that is being applied must be refused after all.
    objection: Option<Refusal>,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("changes", &self.changes.len()).finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub fn new(base: &'a dyn Records) -> Self {
        Self::after(base, Chain::default())
    }

    /// On top of a state whose check sum is `chain`.
    pub fn after(base: &'a dyn Records, chain: Chain) -> Self {
        Self { base, changes: BTreeMap::new(), position: 0, undo: Vec::new(), chain, objection: None }
    }

    /// The entry that is being applied must be refused, whatever else it does; the first objection counts.
    pub fn object(&mut self, refusal: Refusal) {
        self.objection.get_or_insert(refusal);
    }

    /// Why the entry must be refused.
    pub fn objection(&mut self) -> Option<Refusal> {
        self.objection.take()
    }

    /// From now on changes belong to the entry at this position.
    pub fn at(&mut self, position: u64) {
        self.position = position;
    }

    /// The log position of the entry that is being applied.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn put(&mut self, table: Table, key: &[u8], value: Bytes) {
        self.change(table, key, Some(value));
    }

    /// Encodes and puts a record.
    pub fn save<T: Serialize>(&mut self, table: Table, key: &[u8], record: &T) {
        self.put(table, key, encode(record));
    }

    pub fn remove(&mut self, table: Table, key: &[u8]) {
        self.change(table, key, None);
    }

    fn change(&mut self, table: Table, key: &[u8], value: Option<Bytes>) {
        let place = (table, key.to_vec());
        let before = self.changes.insert(place.clone(), value);
        self.undo.push((place, before.map_or(Before::Untouched, Before::Changed)));
    }

    /// Changes since the last savepoint.
    pub fn changed(&self) -> usize {
        self.undo.len()
    }

    /// Records that will be written.
    pub fn count(&self) -> usize {
        self.changes.len()
    }

    /// What came before is final: it can no longer be taken back.
    pub fn savepoint(&mut self) {
        let changed = self.undo.iter().map(|(place, _)| {
            let value = self.changes.get(place).and_then(Option::as_ref);
            (place.0, place.1.as_slice(), value)
        });
        self.chain.records(changed);
        self.undo.clear();
    }

    /// Ends the entry at `position` of the log: a savepoint. Returns the check sum of all that is final.
    pub fn end_entry(&mut self, position: u64) -> Chain {
        self.savepoint();
        self.chain.position(position);
        self.chain
    }

    /// Begins another check sum.
    pub fn sum_from(&mut self, chain: Chain) {
        self.chain = chain;
    }

    /// Takes back every change since the last savepoint.
    pub fn rollback(&mut self) {
        while let Some((place, before)) = self.undo.pop() {
            match before {
                Before::Changed(value) => self.changes.insert(place, value),
                Before::Untouched => self.changes.remove(&place),
            };
        }
    }

    /// Everything that changed, in the order of the keys.
    pub fn into_changes(self) -> impl Iterator<Item = Change> {
        self.changes.into_iter()
    }
}

impl Records for Transaction<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, RecordsError> {
        // A map of owned keys is asked with an owned key: short ones, and rarely more than a dozen per entry.
        match self.changes.get(&(table, key.to_vec())) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(table, key),
        }
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        descending: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), RecordsError> {
        let lower = Bound::Included((table, from.to_vec()));
        let upper = if to.is_empty() {
            Bound::Included((table, vec![u8::MAX; 1024]))
        } else if to <= from {
            return Ok(());
        } else {
            Bound::Excluded((table, to.to_vec()))
        };
        let range = self.changes.range((lower, upper));
        if descending {
            merge(self.base, table, from, to, true, range.rev().peekable(), |ours, base| ours > base, visit)
        } else {
            merge(self.base, table, from, to, false, range.peekable(), |ours, base| ours < base, visit)
        }
    }
}

/// Visits the changes and the records of `base` as one ordered sequence, in which a change hides the record below it.
#[allow(clippy::too_many_arguments)] // the arguments of a scan, and the two things that differ with its direction
fn merge<'c>(
    base: &dyn Records,
    table: Table,
    from: &[u8],
    to: &[u8],
    descending: bool,
    mut changes: Peekable<impl Iterator<Item = (&'c Place, &'c Option<Bytes>)>>,
    comes_first: impl Fn(&[u8], &[u8]) -> bool,
    visit: &mut Visit<'_>,
) -> Result<(), RecordsError> {
    let mut stopped = false;
    base.scan(table, from, to, descending, &mut |key, value| {
        while let Some(((_, ours), change)) = changes.next_if(|((_, ours), _)| comes_first(ours, key)) {
            if let Some(value) = change
                && visit(ours, value).is_break()
            {
                stopped = true;
                return ControlFlow::Break(());
            }
        }
        let flow = match changes.next_if(|((_, ours), _)| ours == key) {
            Some((_, Some(value))) => visit(key, value),
            Some((_, None)) => ControlFlow::Continue(()),
            None => visit(key, value),
        };
        stopped = flow.is_break();
        flow
    })?;
    if !stopped {
        for ((_, key), change) in changes {
            if let Some(value) = change
                && visit(key, value).is_break()
            {
                break;
            }
        }
    }
    Ok(())
}

/// Records in memory: for tests of the state machine, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRecords(BTreeMap<Place, Bytes>);

impl MemoryRecords {
    /// Writes what a transaction changed.
    pub fn write(&mut self, changes: impl IntoIterator<Item = Change>) {
        for (place, value) in changes {
            match value {
                Some(value) => self.0.insert(place, value),
                None => self.0.remove(&place),
            };
        }
    }

    /// Every record, in order.
    pub fn all(&self) -> impl Iterator<Item = (&Place, &Bytes)> {
        self.0.iter()
    }
}

impl Records for MemoryRecords {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, RecordsError> {
        Ok(self.0.get(&(table, key.to_vec())).cloned())
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
        let mut inside = self
            .0
            .range((table, from.to_vec())..)
            .take_while(|((t, key), _)| *t == table && (to.is_empty() || key.as_slice() < to));
        let found: Vec<_> =
            if descending { inside.by_ref().collect::<Vec<_>>().into_iter().rev().collect() } else { inside.collect() };
        for ((_, key), value) in found {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}
