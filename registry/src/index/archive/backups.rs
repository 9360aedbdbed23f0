//! Backups: snapshots that are kept until they are deleted, with everything that they refer to.
//!
//! A pin is made by an entry before the snapshot is written, completed when it is whole, and removed when nothing of the
//! backup is left in the store: so at no moment is there a backup whose objects may be deleted. Called by the admin calls
//! of the process that leads, and by the task that removes backups whose time is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::chain::Listing;
use super::names::{SnapshotName, WholeSnapshot, backup_of, backup_prefix, cluster_prefix, epoch_of, is_backup_name};
use super::task::new_id;
use super::{ArchiveError, snapshots, stream};
use crate::blobs::Store;
use crate::index::command::{Command, ForgetBackup, PinBackup, Refusal, StoredSnapshot, Time};
use crate::index::query::{ListBackups, PinnedBackup};
use crate::index::raft::archive::position_of;
use crate::index::{Index, IndexError};
use crate::reclaim::owner;

/// A pin without a snapshot that is older than this was left by a process that died.
const ABANDONED: u64 = 24 * 3_600_000;

/// What makes and deletes backups.
#[derive(Clone, Debug)]
pub struct Backups {
    index: Index,
    store: Arc<dyn Store>,
    /// The backups that this process writes now.
    writing: Arc<Mutex<BTreeMap<String, JoinHandle<()>>>>,
}

/// A backup whose objects are kept, and whose snapshot is not written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub name: String,
    /// The position of its pin.
    pin: u64,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub name: String,
    pub position: u64,
    pub bytes: u64,
}

/// Why a backup was not made or deleted.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(
        "{name:?} is no name for a backup: use letters, digits, '-', '_' and '.', at most 64, a letter or digit first"
    )]
    Name { name: String },
    #[error("there is a backup {name} already; delete it first, or take another name")]
    Exists { name: String },
    #[error("there is no backup {name}")]
    Unknown { name: String },
    #[error(
        "the backup {name} is of epoch {epoch}, which is not of this index: it is that of its original, or of a copy. Delete it \
         where that one runs"
    )]
    Foreign { name: String, epoch: u64 },
    #[error("this process has no node of the index that leads")]
    NotLeading,
}

impl From<IndexError> for BackupError {
    fn from(error: IndexError) -> Self {
        Self::Archive(error.into())
    }
}

impl From<crate::blobs::StoreError> for BackupError {
    fn from(error: crate::blobs::StoreError) -> Self {
        Self::Archive(error.into())
    }
}

impl Backups {
    pub fn new(index: Index, store: Arc<dyn Store>) -> Self {
        Self { index, store, writing: Arc::default() }
    }

    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Makes a backup of what is acknowledged now. Without a name it is called by the time; `keep` is in milliseconds,
    /// and without it the backup stays until it is deleted.
    pub async fn now(&self, name: Option<String>, keep: Option<u64>) -> Result<Made, BackupError> {
        self.finish(self.begin(name, keep).await?).await
    }

    /// Pins what is there now: quick. What follows is [`Self::finish`].
    pub async fn begin(&self, name: Option<String>, keep: Option<u64>) -> Result<Begun, BackupError> {
        let time = self.index.time();
        let name = name.unwrap_or_else(|| format!("{}-{}", crate::blobs::key::day(time), time.0 % 86_400_000 / 1000));
        if !is_backup_name(&name) {
            return Err(BackupError::Name { name });
        }
        if !self.index.leads() {
            return Err(BackupError::NotLeading);
        }
        let keep_until = keep.map(|keep| time.after(keep));
        self.pin(PinBackup { name: name.clone(), keep_until, snapshot: None }).await?;
        match self.pinned(&name).await? {
            Some(PinnedBackup { position: pin, snapshot: None, .. }) => Ok(Begun { name, pin }),
            _ => Err(BackupError::Unknown { name }), // deleted at once
        }
    }

    /// Writes the snapshot of a backup that was begun beside what this process does; [`Self::writing`] names it until then.
    pub fn write(&self, begun: Begun) {
        let (backups, name) = (self.clone(), begun.name.clone());
        let mut writing = self.lock_writing();
        writing.retain(|_, task| !task.is_finished());
        let task = tokio::spawn(async move {
            let name = begun.name.clone();
            match backups.finish(begun).await {
                Ok(made) => tracing::info!(name, position = made.position, bytes = made.bytes, "made a backup"),
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(name, error = format!("{error:#}"), "a backup was not made");
                }
            }
        });
        writing.insert(name, task);
    }

    /// The backups that this process writes now.
    pub fn writing(&self) -> Vec<String> {
        let writing = self.lock_writing();
        writing.iter().filter(|(_, task)| !task.is_finished()).map(|(name, _)| name.clone()).collect()
    }

    fn lock_writing(&self) -> MutexGuard<'_, BTreeMap<String, JoinHandle<()>>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the snapshot of a backup that was begun. When that fails, the backup is removed, unless it is whole all the same.
    pub async fn finish(&self, begun: Begun) -> Result<Made, BackupError> {
        let Begun { name, pin } = begun;
        let node = self.index.local().ok_or(BackupError::NotLeading)?.node().clone();
        // It was applied here, so nothing that this view refers to is deleted.
        let view = node.view();
        let stands = position_of(&view).map_err(ArchiveError::from)?.ok_or(BackupError::NotLeading)?;
        let id = new_id(self.index.time())?;
        let snapshot = SnapshotName { position: stands.index, term: stands.term, id };
        let cluster = self.index.cluster();
        let prefix = backup_prefix(&cluster.id, cluster.epoch, &name);
        let whole = match snapshots::write(self.store.as_ref(), &prefix, &cluster.id, snapshot, view).await {
            Ok(whole) => whole,
            Err(error) => {
                if let Err(error) = self.give_up(&name, pin).await {
                    tracing::warn!(name, %error, "a backup that was not finished is left; it goes by itself in a day, or is whole");
                }
                return Err(error.into());
            }
        };
        self.complete(&name, &whole).await.inspect_err(|error| {
            if matches!(error, BackupError::Archive(_)) {
                tracing::warn!(name, "the backup is whole, and whoever leads records that within a minute");
            }
        })?;
        Ok(Made { name, position: whole.name.position, bytes: whole.length })
    }

    /// Removes what was not written to its end. Only the answer of the last call may have been lost: then the backup is whole,
    /// somebody may have seen that and said so, and it stays.
    pub(super) async fn give_up(&self, name: &str, pin: u64) -> Result<(), BackupError> {
        match self.pinned(name).await? {
            Some(backup) if backup.position == pin && backup.snapshot.is_none() => {
                if self.whole(name, backup.epoch).await?.is_some() {
                    return Ok(()); // whoever looks after backups completes it
                }
                self.remove(name, Some(pin)).await
            }
            _ => Ok(()),
        }
    }

    /// Records that the snapshot of a backup is whole. One that was deleted meanwhile, or that somebody else completed with
    /// another snapshot, leaves nothing in the store.
    async fn complete(&self, name: &str, whole: &WholeSnapshot) -> Result<(), BackupError> {
        let snapshot = StoredSnapshot::from(whole);
        let pin = PinBackup { name: name.to_owned(), keep_until: None, snapshot: Some(snapshot.clone()) };
        let error = match self.pin(pin).await {
            Err(error @ (BackupError::Unknown { .. } | BackupError::Exists { .. })) => error,
            other => return other,
        };
        if self.list().await?.iter().any(|pin| pin.name == name && pin.snapshot.as_ref() == Some(&snapshot)) {
            return Ok(()); // whoever leads was first
        }
        let cluster = self.index.cluster();
        let prefix = backup_prefix(&cluster.id, cluster.epoch, name);
        self.store.delete(&whole.mark(&prefix)).await?;
        self.store.delete(&whole.name.key(&prefix)).await?;
        Err(error)
    }

    /// The whole snapshot of a backup in the store.
    async fn whole(&self, name: &str, epoch: u64) -> Result<Option<WholeSnapshot>, BackupError> {
        let prefix = backup_prefix(&self.index.cluster().id, epoch, name);
        Ok(Listing::of(stream::list(self.store.as_ref(), &prefix).await?).newest().cloned())
    }

    async fn pin(&self, pin: PinBackup) -> Result<(), BackupError> {
        let name = pin.name.clone();
        match self.index.submit(None, Command::PinBackup(pin)).await {
            Ok(_) => Ok(()),
            Err(IndexError::Refused { refusal: Refusal::BackupExists, .. }) => Err(BackupError::Exists { name }),
            Err(IndexError::Refused { refusal: Refusal::BackupUnknown, .. }) => Err(BackupError::Unknown { name }),
            Err(error) => Err(error.into()),
        }
    }

    /// The backups that are kept.
    pub async fn list(&self) -> Result<Vec<PinnedBackup>, BackupError> {
        Ok(self.index.query(ListBackups).await?)
    }

    async fn pinned(&self, name: &str) -> Result<Option<PinnedBackup>, BackupError> {
        Ok(self.list().await?.into_iter().find(|backup| backup.name == name))
    }

    /// Deletes a backup, also one that this process writes.
    pub async fn delete(&self, name: &str) -> Result<(), BackupError> {
        let written_here = self.lock_writing().remove(name);
        if let Some(task) = written_here {
            task.abort();
            let _ = task.await; // it was told to end
        }
        self.remove(name, None).await
    }

    /// Removes what there is of a backup: first what is in the store, then the pin. One that nothing pins is removed as well,
    /// so that none is left that looks whole and is not kept. `only`: the position of the pin that is meant; a backup that has
    /// got the name since stays.
    async fn remove(&self, name: &str, only: Option<u64>) -> Result<(), BackupError> {
        let unknown = || BackupError::Unknown { name: name.to_owned() };
        if !is_backup_name(name) {
            return Err(unknown());
        }
        let cluster = self.index.cluster();
        // Listed before the pin is asked for: what somebody makes under this name from then on is not among them.
        let of_name = stream::list(self.store.as_ref(), &cluster_prefix(&cluster.id)).await?.into_iter();
        let of_name = of_name.filter(|key| backup_of(key, &cluster.id) == Some(name));
        let pin = self.pinned(name).await?;
        if only.is_some_and(|only| pin.as_ref().is_none_or(|pin| pin.position != only)) {
            return Ok(());
        }
        // Those of other epochs are of a copy, or of the original.
        let ours = |epoch: u64| match &pin {
            Some(pin) => epoch == pin.epoch && (cluster.claim.is_none() || cluster.owns(epoch)),
            None => cluster.owns(epoch),
        };
        let (mut keys, foreign): (Vec<_>, Vec<_>) =
            of_name.partition(|key| epoch_of(key, &cluster.id).is_some_and(ours));
        if pin.is_none() && keys.is_empty() {
            let epoch = foreign.iter().find_map(|key| epoch_of(key, &cluster.id));
            return Err(epoch.map_or_else(unknown, |epoch| BackupError::Foreign { name: name.to_owned(), epoch }));
        }
        if !keys.is_empty() {
            owner::check(self.store.as_ref(), cluster).await.map_err(ArchiveError::from)?;
        }
        keys.sort_by_key(|key| WholeSnapshot::parse(key).is_none()); // the mark first
        for key in keys {
            self.store.delete(&key).await?;
        }
        let Some(pin) = pin else { return Ok(()) };
        let forget = ForgetBackup { name: name.to_owned(), position: Some(pin.position) };
        match self.index.submit(None, Command::ForgetBackup(forget)).await {
            Ok(_) | Err(IndexError::Refused { refusal: Refusal::BackupUnknown, .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Completes the backups that are whole and whose writer could not say so, and deletes those whose time is over, and what
    /// is left of those whose writer died.
    pub async fn look_after(&self) -> Result<(), BackupError> {
        let now = self.index.time();
        for mut backup in self.list().await? {
            if backup.snapshot.is_none()
                && let Some(whole) = self.whole(&backup.name, backup.epoch).await?
            {
                let snapshot = Some(StoredSnapshot::from(&whole));
                let pin = PinBackup { name: backup.name.clone(), keep_until: None, snapshot: snapshot.clone() };
                match self.pin(pin).await {
                    Ok(()) => tracing::info!(name = backup.name, "completed a backup whose writer could not say so"),
                    // Its writer was first, or it is being deleted: the next look tells.
                    Err(BackupError::Exists { .. } | BackupError::Unknown { .. }) => continue,
                    Err(error) => return Err(error),
                }
                backup.snapshot = snapshot;
            }
            if is_over(&backup, now) {
                tracing::info!(name = backup.name, "deleting a backup whose time is over");
                self.remove(&backup.name, Some(backup.position)).await?;
            }
        }
        Ok(())
    }
}

/// Whether a backup may go by itself.
fn is_over(backup: &PinnedBackup, now: Time) -> bool {
    let abandoned = backup.snapshot.is_none() && backup.time.after(ABANDONED) < now;
    abandoned || backup.keep_until.is_some_and(|until| until <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_goes_by_itself_when_its_time_is_over_or_its_writer_died_a_day_ago() {
        let snapshot = StoredSnapshot { position: 5, term: 1, id: "x".into(), length: 1, sum: 1 };
        let made = |keep_until, snapshot| PinnedBackup {
            name: "n".into(),
            position: 3,
            time: Time(1000),
            epoch: 1,
            keep_until,
            snapshot,
        };
        let (kept, dying) = (made(None, Some(snapshot.clone())), made(Some(Time(2000)), Some(snapshot)));
        assert!(!is_over(&kept, Time(u64::MAX)));
        assert!(!is_over(&dying, Time(1999)) && is_over(&dying, Time(2000)));
        let begun = made(None, None);
        assert!(!is_over(&begun, Time(1000 + ABANDONED)) && is_over(&begun, Time(1001 + ABANDONED)));
    }
}
