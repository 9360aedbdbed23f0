//! Backups: what is kept outside the index and must not lose its objects. A record is a pin: it is made before the snapshot
//! of the backup, completed when that is whole, and goes only when the backup is gone from the store.
//!
//! An object that is condemned behind a pin may be referred to by the backup, and is held back until the pin goes. One that
//! was given to the index after the snapshot is not in it, and is not held.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::objects::Object;
use super::records::{Records, RecordsError, Table, Transaction, collect_decoded, decode, load};
use super::{Entry, settings};
use crate::index::archive::restore::FoundBackup;
use crate::index::command::{ForgetBackup, Outcome, PinBackup, Refusal, Reply, StoredSnapshot, Time};
use crate::index::query::PinnedBackup;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The position of the pin.
    pub position: u64,
    pub time: Time,
    /// The epoch under which the backup is stored.
    pub epoch: u64,
    /// When it may be deleted by itself; none: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_until: Option<Time>,
    /// None while it is being written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<StoredSnapshot>,
}

impl Backup {
    /// Whether the backup may refer to an object.
    fn may_refer_to(&self, born: u64, condemned: u64) -> bool {
        let until = self.snapshot.as_ref().map_or(u64::MAX, |snapshot| snapshot.position);
        condemned > self.position && born <= until
    }
}

pub(super) fn pin(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    pin: &PinBackup,
) -> Result<Reply, RecordsError> {
    let key = pin.name.as_bytes();
    let known: Option<Backup> = load(transaction, Table::Backups, key)?;
    let backup = match (known, &pin.snapshot) {
        (None, None) => Backup {
            position: entry.position,
            time: entry.time,
            epoch: settings::cluster(transaction)?.map_or(1, |cluster| cluster.epoch),
            keep_until: pin.keep_until,
            snapshot: None,
        },
        (Some(backup), Some(snapshot)) if backup.snapshot.is_none() && snapshot.position >= backup.position => {
            Backup { snapshot: Some(snapshot.clone()), ..backup }
        }
        (Some(_), _) => return Ok(Err(Refusal::BackupExists)),
        (None, Some(_)) => return Ok(Err(Refusal::BackupUnknown)),
    };
    transaction.save(Table::Backups, key, &backup);
    Ok(Ok(Outcome::Done))
}

pub(super) fn forget(transaction: &mut Transaction<'_>, forget: &ForgetBackup) -> Result<Reply, RecordsError> {
    let key = forget.name.as_bytes();
    match load::<Backup>(transaction, Table::Backups, key)? {
        Some(backup) if forget.position.is_none_or(|position| position == backup.position) => {}
        _ => return Ok(Err(Refusal::BackupUnknown)),
    }
    transaction.remove(Table::Backups, key);
    Ok(Ok(Outcome::Done))
}

/// All pins, in the order of their names.
pub fn all(records: &dyn Records) -> Result<Vec<PinnedBackup>, RecordsError> {
    let mut found = Vec::new();
    let mut result = Ok(());
    records.scan(Table::Backups, &[], &[], false, &mut |key, value| match decode::<Backup>(Table::Backups, value) {
        Ok(Backup { position, time, epoch, keep_until, snapshot }) => {
            let name = String::from_utf8_lossy(key).into_owned();
            found.push(PinnedBackup { name, position, time, epoch, keep_until, snapshot });
            ControlFlow::Continue(())
        }
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result.map(|()| found)
}

/// What keeps objects from being deleted.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    pins: Vec<Backup>,
    /// What was condemned behind this position is held as well.
    archived: Option<u64>,
}

/// What holds objects now, when the archive leads to `archived` (none: there is no archive).
pub fn holds(records: &dyn Records, archived: Option<u64>) -> Result<Holds, RecordsError> {
    let pins = collect_decoded(records, Table::Backups, &[], usize::MAX)?;
    Ok(Holds { pins: pins.into_iter().map(|(_, pin)| pin).collect(), archived })
}

impl Holds {
    pub fn are_empty(&self) -> bool {
        self.pins.is_empty() && self.archived.is_none()
    }

    /// Whether a condemned object must stay.
    pub(super) fn hold(&self, object: &Object) -> bool {
        let Object::Condemned { position, born, .. } = object else { return false };
        self.archived.is_some_and(|archived| *position > archived)
            || self.pins.iter().any(|pin| pin.may_refer_to(*born, *position))
    }
}

/// Records a backup that a restored cluster finds in its store. What the restored state knows of that name may be older: the
/// pin before its snapshot was whole, or another backup that was deleted since. Only what is in the store counts.
pub fn adopt(transaction: &mut Transaction<'_>, found: &FoundBackup) -> Result<(), RecordsError> {
    let FoundBackup { name, epoch, snapshot } = found;
    let snapshot = StoredSnapshot::from(snapshot);
    let known: Option<Backup> = load(transaction, Table::Backups, name.as_bytes())?;
    let known = known.filter(|known| known.epoch == *epoch && known.position <= snapshot.position);
    let backup = match known {
        Some(known) if known.snapshot.as_ref() == Some(&snapshot) => return Ok(()),
        // Until when it is kept may have been said of another one.
        Some(known) if known.snapshot.is_none() => Backup { keep_until: None, snapshot: Some(snapshot), ..known },
        _ => {
            let time = settings::clock(transaction)?.time;
            // Where its pin was is not known: it holds all that is condemned from now on.
            Backup { position: 0, time, epoch: *epoch, keep_until: None, snapshot: Some(snapshot) }
        }
    };
    transaction.save(Table::Backups, name.as_bytes(), &backup);
    Ok(())
}

/// Forgets those that a restored cluster does not find in its store: they were deleted since, and nothing of them is left that
/// could be deleted again.
pub fn forget_lost(transaction: &mut Transaction<'_>, found: &[FoundBackup]) -> Result<(), RecordsError> {
    for backup in all(transaction)? {
        if !found.iter().any(|found| found.name == backup.name) {
            transaction.remove(Table::Backups, backup.name.as_bytes());
        }
    }
    Ok(())
}

/// Forgets all: they belong to the cluster that this one is a copy of.
pub fn disown(transaction: &mut Transaction<'_>) -> Result<(), RecordsError> {
    for backup in all(transaction)? {
        transaction.remove(Table::Backups, backup.name.as_bytes());
    }
    Ok(())
}
