//! The queue: what comes due when. Two lanes: what [`super::expiry`] does in an entry of its own, and condemned objects,
//! which wait for the reclaimer.
//!
//! The key is lane, time, item; the value is empty. Whoever puts an item in remembers its time, and takes it out again
//! when it is no longer wanted, so that the queue holds one item for one thing.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::keys;
use super::records::{Records, RecordsError, Table, Transaction, decode, encode};
use super::settings;
use crate::blobs::ObjectKey;
use crate::index::command::{LinkName, Time, UploadId};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

const EXPIRY: u8 = 0;
const CONDEMNED: u8 = 1;

/// Something that is to be done by [`super::expiry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// An upload whose time is over.
    Upload(UploadId),
    /// A link that nothing references, past its grace.
    Link(LinkName),
    /// A manifest that had no tag and no parent.
    Untagged { repository: RepositoryName, digest: Digest },
    /// The referrers of a manifest that was removed, after this one.
    Referrers { repository: RepositoryName, subject: Digest, after: Option<Digest> },
    /// The history of a deleted tag.
    History { repository: RepositoryName, tag: Tag },
    /// Look for untagged manifests after this key of the table of manifests.
    Sweep { after: Bytes },
    /// Count what the shares of a new quota hold already.
    CountQuota { name: String, id: u64 },
    /// Forget what was counted for a quota that is gone.
    ForgetQuota { id: u64 },
}

fn key(lane: u8, time: Time, item: &[u8]) -> Vec<u8> {
    let mut key = keys::due(lane, time);
    key.extend_from_slice(item);
    key
}

pub fn push(transaction: &mut Transaction<'_>, due: Time, item: &Item) {
    transaction.put(Table::Queue, &key(EXPIRY, due, &encode(item)), Bytes::new());
}

pub fn take_out(transaction: &mut Transaction<'_>, due: Time, item: &Item) {
    transaction.remove(Table::Queue, &key(EXPIRY, due, &encode(item)));
}

/// The items due by `now`, at most `limit`, oldest first.
pub fn due(records: &dyn Records, now: Time, limit: usize) -> Result<Vec<(Time, Item)>, RecordsError> {
    let since = settings::clock(records)?.expired_until;
    let mut items = Vec::new();
    scan(records, EXPIRY, since, now, limit, &mut |time, payload| {
        items.push((time, decode(Table::Queue, payload)?));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(items)
}

/// When the head of the expiry lane is due.
pub fn next_due(records: &dyn Records) -> Result<Option<Time>, RecordsError> {
    let since = settings::clock(records)?.expired_until;
    let mut head = None;
    scan(records, EXPIRY, since, Time(u64::MAX - 1), 1, &mut |time, _| {
        head = Some(time);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(head)
}

/// Condemns an object: from `due` on, the reclaimer may delete it.
pub fn condemn(transaction: &mut Transaction<'_>, due: Time, object: &ObjectKey) {
    transaction.put(Table::Queue, &key(CONDEMNED, due, object.0.as_bytes()), Bytes::new());
}

/// The object is gone.
pub fn forget(transaction: &mut Transaction<'_>, due: Time, object: &ObjectKey) {
    transaction.remove(Table::Queue, &key(CONDEMNED, due, object.0.as_bytes()));
}

/// Says whether an object is wanted.
type Wanted<'w> = dyn FnMut(&ObjectKey) -> Result<bool, RecordsError> + 'w;

/// Condemned objects whose pause is over by `now` and that are `wanted`, at most `limit`, oldest first.
pub fn condemned(
    records: &dyn Records,
    now: Time,
    limit: usize,
    wanted: &mut Wanted<'_>,
) -> Result<Vec<ObjectKey>, RecordsError> {
    let since = settings::clock(records)?.forgotten_until;
    let mut objects = Vec::new();
    scan(records, CONDEMNED, since, now, usize::MAX, &mut |_, payload| {
        let text = std::str::from_utf8(payload)
            .map_err(|error| RecordsError::Damaged { table: Table::Queue, reason: error.to_string() })?;
        let key = ObjectKey(text.to_owned());
        if wanted(&key)? {
            objects.push(key);
        }
        Ok(if objects.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(objects)
}

/// When the oldest condemned object may be deleted.
pub fn next_condemned(records: &dyn Records) -> Result<Option<Time>, RecordsError> {
    let since = settings::clock(records)?.forgotten_until;
    let mut head = None;
    scan(records, CONDEMNED, since, Time(u64::MAX - 1), 1, &mut |time, _| {
        head = Some(time);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(head)
}

/// Takes one item: when it is due, and what follows in its key; says whether to go on.
type Take<'t> = dyn FnMut(Time, &[u8]) -> Result<ControlFlow<()>, RecordsError> + 't;

fn scan(
    records: &dyn Records,
    lane: u8,
    from: Time,
    to: Time,
    limit: usize,
    found: &mut Take<'_>,
) -> Result<(), RecordsError> {
    let mut left = limit;
    let mut result = Ok(());
    if left == 0 {
        return result;
    }
    records.scan(Table::Queue, &keys::due(lane, from), &keys::due(lane, to.after(1)), false, &mut |key, _| {
        let Some((time, payload)) = key.get(1..).and_then(|rest| rest.split_first_chunk::<8>()) else {
            result = Err(RecordsError::Damaged { table: Table::Queue, reason: "short key".into() });
            return ControlFlow::Break(());
        };
        left -= 1;
        match found(Time(u64::from_be_bytes(*time)), payload) {
            Ok(ControlFlow::Continue(())) if left > 0 => ControlFlow::Continue(()),
            Ok(_) => ControlFlow::Break(()),
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        }
    })?;
    result
}
