//! Orphans: objects that no entry of the index names, because a process died between the object and its entry.
//!
//! A day is closed by an entry two days after its end, longer than any request may take; from then on the index refuses
//! its objects. So what a listing of a closed day finds, and the index, asked after the closing, does not know, can be
//! deleted: nothing will ever name it. Only the present epoch is looked at: what a cluster before a restore wrote behind
//! the restored position is unknown here, and a backup may still refer to it.

use std::time::Duration;

use futures::StreamExt;

use super::{ReclaimError, Reclaimer, owner};
use crate::blobs::ObjectKey;
use crate::blobs::key::{DAY, day, day_prefix, epoch_prefix, start_of};
use crate::index::archive::names::cluster_prefix;
use crate::index::archive::restore::backups;
use crate::index::archive::stream;
use crate::index::command::{CloseDay, Command, Time};
use crate::index::local::Local;
use crate::index::query::{GetStatus, KnownObjects, ListBackups};

/// How long after its end a day is closed, and again as long until it is listed a second time.
const PAUSE: u64 = 2 * DAY;
/// How long after the start of the process, and how often, everything is listed.
const FULL_FIRST: u64 = 3_600_000;
const FULL_EVERY: u64 = 30 * DAY;
/// Unfinished writes older than this are removed.
const STALE: Duration = Duration::from_hours(48);
/// How far the clock of a machine may be off before nothing is judged by it.
const DOUBTFUL: u64 = 3_600_000;
/// Keys asked for at once.
const STEP: usize = 500;

/// What this process has done so far; after a restart some of it is done again, which harms nobody.
#[derive(Debug, Default)]
pub struct Orphans {
    /// The newest day that was listed, and when.
    listed: Option<u32>,
    /// When everything is listed next.
    full: Option<Time>,
    /// Whether it was said that there are unknown backups.
    said: bool,
}

/// The newest day that may be closed at `now`.
pub fn closable(now: Time) -> u32 {
    day(now.before(PAUSE + DAY))
}

/// The days to list when `closed` is the newest closed day and `listed` was the newest when days were listed last: each
/// day that was closed since, and each of those whose second listing has come since.
pub fn to_list(listed: Option<u32>, closed: u32) -> Vec<u32> {
    let pause = (PAUSE / DAY) as i64;
    let Some(end) = number(closed) else { return Vec::new() };
    let begin = match listed.and_then(number) {
        Some(listed) => listed + 1,
        None => end - pause, // after a restart: the days whose listings may have been missed
    };
    let mut days: Vec<_> = (begin - pause..=end).filter(|day| *day > end - 400).filter_map(from_number).collect();
    if begin > end {
        days.clear();
    }
    days
}

fn number(day: u32) -> Option<i64> {
    start_of(day).map(|time| (time.0 / DAY) as i64)
}

fn from_number(number: i64) -> Option<u32> {
    u64::try_from(number).ok().map(|number| day(Time(number * DAY)))
}

impl Orphans {
    /// Whether this index certainly knows all that the store has for it. One that was put back to an older copy does not, and
    /// would take for orphans what the archive and the backups need: its archiver has not found its way then, or there are
    /// backups of its own that it does not know.
    async fn may_delete(&mut self, reclaimer: &Reclaimer) -> Result<bool, ReclaimError> {
        if reclaimer.archived.as_ref().is_some_and(|archived| archived.position() == 0) {
            return Ok(false);
        }
        let now = reclaimer.index.time();
        let due = self.listed.is_none_or(|listed| listed < closable(now)) || self.full.is_none_or(|full| full <= now);
        if !due {
            return Ok(true);
        }
        let cluster = reclaimer.cluster();
        let keys =
            stream::list(reclaimer.store.as_ref(), &cluster_prefix(&cluster.id)).await.map_err(ReclaimError::from)?;
        let pins = reclaimer.index.query(ListBackups).await?;
        let unknown = backups(&keys, &cluster.id).into_iter().find(|backup| {
            cluster.owns(backup.epoch) && !pins.iter().any(|pin| pin.name == backup.name && pin.epoch == backup.epoch)
        });
        if let Some(backup) = &unknown
            && !std::mem::replace(&mut self.said, true)
        {
            tracing::error!(
                name = backup.name,
                "the store has a backup of this cluster that its index does not know: the volume of the index is an older copy, or \
                 the backup's removal was cut short. What nothing refers to is not deleted until `roadstead backup delete` removes it"
            );
        }
        Ok(unknown.is_none())
    }

    /// Closes what days may be closed, and deletes the orphans of days that are due for it.
    pub async fn run(&mut self, reclaimer: &Reclaimer) -> Result<(), ReclaimError> {
        if !self.may_delete(reclaimer).await? {
            return Ok(());
        }
        let now = reclaimer.index.time();
        let closable = closable(now);
        if self.listed.is_none_or(|listed| listed < closable) {
            if reclaimer.index.query(GetStatus).await?.closed_day < closable {
                reclaimer.index.submit(None, Command::CloseDay(CloseDay { day: closable })).await?;
            }
            let cluster = reclaimer.cluster();
            for day in to_list(self.listed, closable) {
                delete_unknown(reclaimer, &day_prefix(&cluster.id, cluster.epoch, day), closable).await?;
            }
            self.listed = Some(closable);
            // The store tells the age of what is unfinished by the clock of this machine.
            let wall = reclaimer.index.local().map_or(now, Local::wall);
            for epoch in cluster.epochs().filter(|_| wall.0.abs_diff(now.0) < DOUBTFUL) {
                match reclaimer.store.abort_stale(&epoch_prefix(&cluster.id, epoch), STALE).await {
                    Ok(aborted) => reclaimer.metrics.aborted.inc_by(aborted),
                    Err(error) => {
                        reclaimer.metrics.failures.inc();
                        let error = anyhow::Error::from(error);
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "unfinished writes were not removed; the next day tries again"
                        );
                    }
                }
            }
        }
        let full = *self.full.get_or_insert(now.after(FULL_FIRST));
        if full <= now {
            let cluster = reclaimer.cluster();
            delete_unknown(reclaimer, &epoch_prefix(&cluster.id, cluster.epoch), closable).await?;
            self.full = Some(now.after(FULL_EVERY));
        }
        Ok(())
    }
}

/// Deletes the objects under `prefix`, of days up to `closed`, that the index does not know.
async fn delete_unknown(reclaimer: &Reclaimer, prefix: &str, closed: u32) -> Result<(), ReclaimError> {
    let listed = reclaimer.store.list(prefix).await?;
    let mut batches = listed.ready_chunks(STEP);
    while let Some(batch) = batches.next().await {
        let mut keys = Vec::with_capacity(batch.len());
        for key in batch {
            let key: ObjectKey = key?;
            if key.day().is_some_and(|day| day <= closed) {
                keys.push(key);
            }
        }
        let known = reclaimer.index.query(KnownObjects { keys: keys.clone() }).await?;
        let unknown: Vec<_> = keys.into_iter().filter(|key| !known.contains(key)).collect();
        if unknown.is_empty() {
            continue;
        }
        owner::check(reclaimer.store.as_ref(), reclaimer.cluster()).await?;
        for key in unknown {
            reclaimer.store.delete(&key).await?;
            reclaimer.metrics.orphans.inc();
            tracing::info!(%key, "deleted an object that nothing refers to");
        }
    }
    Ok(())
}
