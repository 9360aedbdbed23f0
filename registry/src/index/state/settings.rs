//! Settings: what the index as a whole remembers. Which cluster it is, the policy in force, its time, its counters.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::records::{Records, RecordsError, Table, Transaction, load};
#[cfg(feature = "next-level")]
use crate::index::command::Note;
use crate::index::command::{Bootstrap, Outcome, Policy, RaiseLevel, Refusal, Reply, Time};
use crate::index::level::FIRST;
use crate::index::query::{Cluster, Counts};

const CLUSTER: &[u8] = b"cluster";
const POLICY: &[u8] = b"policy";
const CLOCK: &[u8] = b"clock";
const COUNTS: &[u8] = b"counts";
const LEVEL: &[u8] = b"level";

/// What moves with every entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    pub time: Time,
    /// The newest closed day, `yyyymmdd`; 0 when none is.
    #[serde(default)]
    pub closed_day: u32,
    /// Nothing in a lane of the queue is due before this: where scans begin.
    #[serde(default)]
    pub expired_until: Time,
    #[serde(default)]
    pub forgotten_until: Time,
    /// Requests that began before this are no longer known, so they are refused.
    #[serde(default)]
    pub requests_since: Time,
    /// Replies kept.
    #[serde(default)]
    pub requests: u64,
    /// The first event kept.
    #[serde(default)]
    pub events_since: u64,
}

pub fn cluster(records: &dyn Records) -> Result<Option<Cluster>, RecordsError> {
    load(records, Table::Settings, CLUSTER)
}

pub fn policy(records: &dyn Records) -> Result<Policy, RecordsError> {
    Ok(load(records, Table::Settings, POLICY)?.unwrap_or_default())
}

pub fn clock(records: &dyn Records) -> Result<Clock, RecordsError> {
    Ok(load(records, Table::Settings, CLOCK)?.unwrap_or_default())
}

pub fn counts(records: &dyn Records) -> Result<Counts, RecordsError> {
    Ok(load(records, Table::Settings, COUNTS)?.unwrap_or_default())
}

/// The feature level in force.
pub fn level(records: &dyn Records) -> Result<u32, RecordsError> {
    Ok(load(records, Table::Settings, LEVEL)?.unwrap_or(FIRST))
}

pub fn save_clock(transaction: &mut Transaction<'_>, clock: &Clock) {
    transaction.save(Table::Settings, CLOCK, clock);
}

/// Changes the counters of the whole index.
pub fn count(transaction: &mut Transaction<'_>, change: impl FnOnce(&mut Counts)) -> Result<(), RecordsError> {
    let mut counts = counts(transaction)?;
    change(&mut counts);
    transaction.save(Table::Settings, COUNTS, &counts);
    Ok(())
}

/// Adds `delta` to a number kept under [`Table::Counts`] and returns the new one; at zero the record goes.
pub fn add(transaction: &mut Transaction<'_>, key: &[u8], delta: i64) -> Result<u64, RecordsError> {
    let before: u64 = load(transaction, Table::Counts, key)?.unwrap_or_default();
    let after = before.saturating_add_signed(delta);
    if after == 0 {
        transaction.remove(Table::Counts, key);
    } else {
        transaction.save(Table::Counts, key, &after);
    }
    Ok(after)
}

pub fn bootstrap(transaction: &mut Transaction<'_>, bootstrap: &Bootstrap) -> Result<Reply, RecordsError> {
    if let Some(known) = cluster(transaction)? {
        let same = known.id == bootstrap.cluster && known.epoch == bootstrap.epoch;
        return Ok(if same {
            Ok(Outcome::Done)
        } else {
            Err(Refusal::OtherCluster { cluster: known.id, epoch: known.epoch })
        });
    }
    let new = Cluster {
        id: bootstrap.cluster.clone(),
        epoch: bootstrap.epoch,
        upload_key: Bytes::copy_from_slice(&bootstrap.upload_key),
        owned: Vec::new(),
        claim: None,
    };
    transaction.save(Table::Settings, CLUSTER, &new);
    Ok(Ok(Outcome::Done))
}

/// From now on the state belongs to another epoch: after a restore.
pub fn begin_epoch(transaction: &mut Transaction<'_>, cluster: &Cluster) {
    transaction.save(Table::Settings, CLUSTER, cluster);
}

/// Puts a feature level in force; it never goes back. That this member knows it was looked at before: see
/// `raft::machine`.
pub fn raise_level(transaction: &mut Transaction<'_>, raise: &RaiseLevel) -> Result<Reply, RecordsError> {
    if raise.level > level(transaction)? {
        transaction.save(Table::Settings, LEVEL, &raise.level);
    }
    Ok(Ok(Outcome::Done))
}

#[cfg(feature = "next-level")]
#[allow(clippy::unnecessary_wraps)] // a reply, as of every command
pub fn note(transaction: &mut Transaction<'_>, note: &Note) -> Reply {
    transaction.save(Table::Settings, b"note", &note.text);
    Ok(Outcome::Done)
}

/// Puts a policy in force. Turning on the removal of untagged manifests, or changing its age, starts a sweep.
pub fn set_policy(transaction: &mut Transaction<'_>, now: Time, new: &Policy) -> Result<Reply, RecordsError> {
    let before = policy(transaction)?;
    transaction.save(Table::Settings, POLICY, new);
    if new.untagged.is_some() && new.untagged != before.untagged {
        super::queue::push(transaction, now, &super::queue::Item::Sweep { after: Bytes::new() });
    }
    Ok(Ok(Outcome::Done))
}
