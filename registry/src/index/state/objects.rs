//! Objects: what every object of the store is for. An object that is not here, in a closed day, is an orphan.

use serde::{Deserialize, Serialize};

use super::backups::Holds;
use super::queue;
use super::records::{Records, RecordsError, Table, Transaction, load};
use super::settings;
use crate::blobs::ObjectKey;
use crate::index::command::{CloseDay, ForgetObjects, Outcome, Place, Policy, Refusal, Reply, Segment, Time, UploadId};
use crate::oci::digest::Digest;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// Forms without a position are older; they count as older than all backups.
    Blob(Digest),
    Upload(UploadId),
    /// Nothing refers to it any more; it may be deleted from `due` on, unless a backup may refer to it.
    Condemned {
        since: Time,
        due: Time,
        /// Of the entry that condemned it, and of the one that brought it.
        #[serde(default)]
        position: u64,
        #[serde(default)]
        born: u64,
    },
    /// In use since the entry at `born`.
    OfBlob {
        digest: Digest,
        born: u64,
    },
    OfUpload {
        upload: UploadId,
        born: u64,
    },
}

impl Object {
    fn born(&self) -> u64 {
        match self {
            Self::Blob(_) | Self::Upload(_) => 0,
            Self::Condemned { born, .. } | Self::OfBlob { born, .. } | Self::OfUpload { born, .. } => *born,
        }
    }
}

/// Whose an object is.
#[derive(Clone, Copy, Debug)]
pub enum Of<'a> {
    Blob(&'a Digest),
    Upload(&'a UploadId),
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

/// Notes whose the objects of these segments are now.
pub fn assign(transaction: &mut Transaction<'_>, segments: &[Segment], of: Of<'_>) -> Result<(), RecordsError> {
    for key in keys(segments) {
        let known: Option<Object> = load(transaction, Table::Objects, key.0.as_bytes())?;
        let born = known.map_or(transaction.position(), |known| known.born());
        let object = match of {
            Of::Blob(digest) => Object::OfBlob { digest: *digest, born },
            Of::Upload(upload) => Object::OfUpload { upload: upload.clone(), born },
        };
        transaction.save(Table::Objects, key.0.as_bytes(), &object);
    }
    Ok(())
}

/// Condemned objects that may be deleted by `now`, at most `limit`, oldest first; those that `holds` holds are left out.
pub fn due(records: &dyn Records, now: Time, holds: &Holds, limit: usize) -> Result<Vec<ObjectKey>, RecordsError> {
    if holds.are_empty() {
        return queue::condemned(records, now, limit, &mut |_| Ok(true));
    }
    queue::condemned(records, now, limit, &mut |key| {
        let known: Option<Object> = load(records, Table::Objects, key.0.as_bytes())?;
        Ok(!known.is_some_and(|object| holds.hold(&object)))
    })
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
        let position = transaction.position();
        let born = known.map_or(position, |known| known.born());
        let condemned = Object::Condemned { since: now, due, position, born };
        transaction.save(Table::Objects, key.0.as_bytes(), &condemned);
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
