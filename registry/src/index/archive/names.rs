//! The names of what the archive keeps in the store: the only code that builds or reads them. Pure.
//!
//! ```text
//! index/<cluster>/<epoch>/log/<first>-<last>-<term>-<before>-<sum>-<length>        a segment of the log
//! index/<cluster>/<epoch>/snapshots/<position>-<term>-<id>.snapshot                a snapshot
//! index/<cluster>/<epoch>/snapshots/<position>-<term>-<id>-<length>-<sum>.whole    written after it: it is whole
//! index/<cluster>/<epoch>/backups/<name>/…                                         a backup: the same two
//! index/<cluster>/<epoch>/claims/<id>                                              the restore that took the epoch
//! ```
//! A name says all that is needed to find the newest position and to check what is read, so that a listing is enough.
//! Two writers never mean different things by one name: it holds positions, terms, check sums and lengths.

use std::fmt;

use crate::blobs::ObjectKey;
use crate::index::command::StoredSnapshot;

/// The end of the name of a snapshot, and of the mark that says that it is whole.
const SNAPSHOT: &str = ".snapshot";
const WHOLE: &str = ".whole";

/// What everything of a cluster begins with.
pub fn cluster_prefix(cluster: &str) -> String {
    format!("index/{cluster}/")
}

/// What everything of an epoch begins with.
pub fn epoch_prefix(cluster: &str, epoch: u64) -> String {
    format!("index/{cluster}/{epoch}/")
}

pub fn log_prefix(cluster: &str, epoch: u64) -> String {
    format!("index/{cluster}/{epoch}/log/")
}

pub fn snapshots_prefix(cluster: &str, epoch: u64) -> String {
    format!("index/{cluster}/{epoch}/snapshots/")
}

pub fn claims_prefix(cluster: &str, epoch: u64) -> String {
    format!("index/{cluster}/{epoch}/claims/")
}

/// The claim of a restore on its epoch.
pub fn claim(cluster: &str, epoch: u64, id: &str) -> ObjectKey {
    ObjectKey(format!("{}{id}", claims_prefix(cluster, epoch)))
}

pub fn backup_prefix(cluster: &str, epoch: u64, name: &str) -> String {
    format!("index/{cluster}/{epoch}/backups/{name}/")
}

/// The epoch that a key belongs to; none for keys of another form or cluster.
pub fn epoch_of(key: &ObjectKey, cluster: &str) -> Option<u64> {
    key.0.strip_prefix(&cluster_prefix(cluster))?.split_once('/')?.0.parse().ok()
}

/// The name of the backup that a key belongs to.
pub fn backup_of<'a>(key: &'a ObjectKey, cluster: &str) -> Option<&'a str> {
    let (_, rest) = key.0.strip_prefix("index/")?.strip_prefix(cluster)?.strip_prefix('/')?.split_once('/')?;
    Some(rest.strip_prefix("backups/")?.split_once('/')?.0)
}

/// Whether a person may call a backup so: it becomes a part of keys.
pub fn is_backup_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= 64 && name.as_bytes()[0].is_ascii_alphanumeric() && name.bytes().all(fits)
}

fn last_part(key: &ObjectKey) -> &str {
    key.0.rsplit('/').next().unwrap_or_default()
}

/// A segment: the entries from `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    pub first: u64,
    pub last: u64,
    /// The term of the last entry.
    pub term: u64,
    /// The check sum of the frame before the first; 0 where a chain begins.
    pub before: u32,
    /// The check sum of the last frame.
    pub sum: u32,
    /// Bytes of the object.
    pub length: u64,
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last, term, before, sum, length } = self;
        write!(f, "{first:020}-{last:020}-{term}-{before:08x}-{sum:08x}-{length}")
    }
}

impl SegmentName {
    pub fn key(&self, cluster: &str, epoch: u64) -> ObjectKey {
        ObjectKey(format!("{}{self}", log_prefix(cluster, epoch)))
    }

    /// Reads the name at the end of a key; none for another form.
    pub fn parse(key: &ObjectKey) -> Option<Self> {
        let mut parts = last_part(key).split('-');
        let name = Self {
            first: parts.next()?.parse().ok()?,
            last: parts.next()?.parse().ok()?,
            term: parts.next()?.parse().ok()?,
            before: u32::from_str_radix(parts.next()?, 16).ok()?,
            sum: u32::from_str_radix(parts.next()?, 16).ok()?,
            length: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && name.first <= name.last).then_some(name)
    }
}

/// A snapshot before it is whole: where it stands, and an id (a ULID with the index time) that makes its name its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName {
    pub position: u64,
    pub term: u64,
    pub id: String,
}

impl SnapshotName {
    pub fn key(&self, prefix: &str) -> ObjectKey {
        ObjectKey(format!("{prefix}{:020}-{}-{}{SNAPSHOT}", self.position, self.term, self.id))
    }

    pub fn parse(key: &ObjectKey) -> Option<Self> {
        let mut parts = last_part(key).strip_suffix(SNAPSHOT)?.split('-');
        let name = Self {
            position: parts.next()?.parse().ok()?,
            term: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        };
        parts.next().is_none().then_some(name)
    }
}

/// A snapshot that is whole, with the length and the check sum (CRC32C) of the object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WholeSnapshot {
    pub name: SnapshotName,
    pub length: u64,
    pub sum: u32,
}

impl From<&WholeSnapshot> for StoredSnapshot {
    fn from(whole: &WholeSnapshot) -> Self {
        let WholeSnapshot { name: SnapshotName { position, term, id }, length, sum } = whole.clone();
        Self { position, term, id, length, sum }
    }
}

impl WholeSnapshot {
    /// The mark that says so.
    pub fn mark(&self, prefix: &str) -> ObjectKey {
        let SnapshotName { position, term, id } = &self.name;
        ObjectKey(format!("{prefix}{position:020}-{term}-{id}-{}-{:08x}{WHOLE}", self.length, self.sum))
    }

    pub fn parse(key: &ObjectKey) -> Option<Self> {
        let mut parts = last_part(key).strip_suffix(WHOLE)?.split('-');
        let name = SnapshotName {
            position: parts.next()?.parse().ok()?,
            term: parts.next()?.parse().ok()?,
            id: parts.next()?.to_owned(),
        };
        let length = parts.next()?.parse().ok()?;
        let sum = u32::from_str_radix(parts.next()?, 16).ok()?;
        parts.next().is_none().then_some(Self { name, length, sum })
    }

    /// When it was made, by the index's time in milliseconds; 0 when the id does not tell.
    pub fn time(&self) -> u64 {
        self.name.id.parse::<ulid::Ulid>().map_or(0, |id| id.timestamp_ms())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        let segment = SegmentName { first: 7, last: 19, term: 3, before: 0, sum: 0xdead_beef, length: 4711 };
        let key = segment.key("c", 2);
        assert_eq!(key.0, "index/c/2/log/00000000000000000007-00000000000000000019-3-00000000-deadbeef-4711");
        assert_eq!(SegmentName::parse(&key), Some(segment));
        let name = SnapshotName { position: 19, term: 3, id: ulid::Ulid::from_parts(77, 5).to_string() };
        let key = name.key("index/c/2/snapshots/");
        assert_eq!(SnapshotName::parse(&key), Some(name.clone()));
        assert_eq!(WholeSnapshot::parse(&key), None);
        let whole = WholeSnapshot { name, length: 9, sum: 1 };
        let mark = whole.mark("index/c/2/backups/nightly/");
        assert_eq!(WholeSnapshot::parse(&mark), Some(whole.clone()));
        assert_eq!((whole.time(), SnapshotName::parse(&mark)), (77, None));
        assert_eq!((epoch_of(&mark, "c"), backup_of(&mark, "c")), (Some(2), Some("nightly")));
        assert_eq!((epoch_of(&mark, "d"), backup_of(&key, "c")), (None, None));
    }

    #[test]
    fn other_names_are_not_taken_for_ours() {
        for other in ["", "1-2", "2-1-1-00000000-00000000-5", "1-2-1-0-0-5-6", "x-2-1-0-0-5", "OWNER"] {
            assert_eq!(SegmentName::parse(&ObjectKey(other.into())), None, "{other}");
        }
        for (name, good) in
            [("nightly-1", true), ("2026.01.01", true), ("", false), (".x", false), ("a/b", false), ("ä", false)]
        {
            assert_eq!(is_backup_name(name), good, "{name}");
        }
    }
}
