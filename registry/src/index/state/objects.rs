//! Objects: what every object of the store is for. An object that is not here, in a closed day, is an orphan.

use serde::{Deserialize, Serialize};

use super::queue;
use super::records::{RecordsError, Table, Transaction, load};
use super::settings;
use crate::blobs::ObjectKey;
use crate::index::command::{CloseDay, ForgetObjects, Outcome, Place, Policy, Refusal, Reply, Segment, Time, UploadId};
use crate::oci::digest::Digest;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    Blob(Digest),
    Upload(UploadId),
    /// Nothing refers to it any more; it may be deleted from `due` on.
    Condemned {
        since: Time,
        due: Time,
    },
}

fn key_of(segment: &Segment) -> Option<&ObjectKey> {
    match &segment.place {
        Place::Object(key) => Some(key),
        Place::Inline(_) => None,
    }
}

/// The objects among `segments`.
pub fn keys(segments: &[Segment]) -> impl Iterator<Item = &ObjectKey> {
    segments.iter().filter_map(key_of)
}

/// Refuses a new object whose day is closed: the listing that looks for orphans may have passed it already. An object
/// that is known was taken before.
pub fn check_new(transaction: &Transaction<'_>, segment: &Segment) -> Result<Result<(), Refusal>, RecordsError> {
    let Some(key) = key_of(segment) else { return Ok(Ok(())) };
    let closed = settings::clock(transaction)?.closed_day;
    Ok(match key.day() {
        Some(day) if day > closed => Ok(()),
        day => Err(Refusal::DayClosed { day: day.unwrap_or_default() }),
    })
}

pub fn assign(transaction: &mut Transaction<'_>, segments: &[Segment], object: &Object) {
    for key in keys(segments) {
        transaction.save(Table::Objects, key.0.as_bytes(), object);
    }
}

/// Decides that these objects will be deleted. Their keys are never used again.
pub fn condemn(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    segments: &[Segment],
) -> Result<(), RecordsError> {
    let due = now.after(policy.reader_pause);
    for key in keys(segments) {
        let known: Option<Object> = load(transaction, Table::Objects, key.0.as_bytes())?;
        if matches!(known, Some(Object::Condemned { .. })) {
            continue;
        }
        transaction.save(Table::Objects, key.0.as_bytes(), &Object::Condemned { since: now, due });
        queue::condemn(transaction, due, key);
        settings::count(transaction, |counts| counts.condemned += 1)?;
    }
    Ok(())
}

/// The reclaimer deleted these. One that is not condemned is left alone: nobody may forget an object in use.
pub fn forget(transaction: &mut Transaction<'_>, forget: &ForgetObjects) -> Result<Reply, RecordsError> {
    for key in &forget.keys {
        if let Some(Object::Condemned { due, .. }) = load(transaction, Table::Objects, key.0.as_bytes())? {
            transaction.remove(Table::Objects, key.0.as_bytes());
            queue::forget(transaction, due, key);
            settings::count(transaction, |counts| counts.condemned -= 1)?;
        }
    }
    let mut clock = settings::clock(transaction)?;
    clock.forgotten_until = queue::next_condemned(transaction)?.map_or(clock.time, |head| head.min(clock.time));
    settings::save_clock(transaction, &clock);
    Ok(Ok(Outcome::Done))
}

/// Closes a day, and with it all before it.
pub fn close_day(transaction: &mut Transaction<'_>, close: &CloseDay) -> Result<Reply, RecordsError> {
    let mut clock = settings::clock(transaction)?;
    clock.closed_day = clock.closed_day.max(close.day);
    settings::save_clock(transaction, &clock);
    Ok(Ok(Outcome::Done))
}
