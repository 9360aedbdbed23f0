//! Expiry, and the deletion of condemned objects.

use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::{ReclaimError, Reclaimer, owner};
use crate::blobs::ObjectKey;
use crate::blobs::key::epoch_prefix;
use crate::index::archive::Archived;
use crate::index::command::{Command, Expire, ForgetObjects, Outcome};
use crate::index::query::{Cluster, DueObjects, GetStatus};

/// Things done by one entry, and objects deleted between two entries.
const STEP: usize = 200;
/// Deletions on their way at once.
const AT_ONCE: usize = 8;
/// Objects asked for at once. Those that backups hold come before them, and are looked through each time.
const ASKED: usize = 5000;
/// What backups hold is looked through for one part in so many of the time, and at least this often.
const HELD_SHARE: u32 = 20;
const HELD_MOST: Duration = Duration::from_mins(10);

/// Expiry and deletion, from turn to turn.
#[derive(Debug, Default)]
pub struct Sweep {
    /// All condemned objects were looked through, and none could go: they are not looked through again before this.
    rests_until: Option<Instant>,
}

impl Sweep {
    /// Does everything that is due now.
    pub async fn run(&mut self, reclaimer: &Reclaimer) -> Result<(), ReclaimError> {
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        if let Some(took) = run(reclaimer, rests).await? {
            self.rests_until = Some(Instant::now() + rest(took));
        }
        Ok(())
    }
}

/// How long to leave those alone that could not go, when it took so long to look through them.
pub(super) fn rest(took: Duration) -> Duration {
    took.saturating_mul(HELD_SHARE).min(HELD_MOST)
}

/// Does everything that is due now; when `rests`, only what expires. Gives how long it took to see that no object is left
/// that may be deleted.
pub(super) async fn run(reclaimer: &Reclaimer, rests: bool) -> Result<Option<Duration>, ReclaimError> {
    let index = &reclaimer.index;
    let status = index.query(GetStatus).await?;
    reclaimer.metrics.condemned.set(status.counts.condemned as i64);
    let now = index.time();
    let is_due = |time: Option<_>| time.is_some_and(|time| time <= now);
    let may_delete = is_due(status.next_condemned) && !rests;
    if !is_due(status.next_due) && !may_delete {
        return Ok(None);
    }
    // The entry also brings the index's time forward, by which objects become due.
    while let Outcome::Expired { done, more } =
        index.submit(None, Command::Expire(Expire { limit: STEP as u32 })).await?
    {
        reclaimer.metrics.expired.inc_by(u64::from(done));
        if !more {
            break;
        }
    }
    if rests {
        return Ok(None);
    }
    loop {
        let archived = reclaimer.archived.as_ref().map(Archived::position);
        let began = Instant::now();
        let keys = index.query(DueObjects { limit: ASKED, archived }).await?;
        if keys.is_empty() {
            return Ok(Some(began.elapsed()));
        }
        for keys in keys.chunks(STEP) {
            if !remove(reclaimer, keys.to_vec()).await? {
                return Ok(None); // the store is in trouble: the rest waits for the next turn
            }
        }
    }
}

/// Deletes condemned objects and forgets those that are gone. Says whether all are.
async fn remove(reclaimer: &Reclaimer, keys: Vec<ObjectKey>) -> Result<bool, ReclaimError> {
    owner::check(reclaimer.store.as_ref(), reclaimer.cluster()).await?;
    // What a copy has from its original belongs to the original: the copy only forgets it.
    let (ours, theirs): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| is_ours(reclaimer.cluster(), key));
    let wanted = ours.len();
    let mut deleted = delete(reclaimer, ours).await;
    reclaimer.metrics.reclaimed.inc_by(deleted.len() as u64);
    let all = deleted.len() == wanted;
    deleted.extend(theirs);
    reclaimer.index.submit(None, Command::ForgetObjects(ForgetObjects { keys: deleted })).await?;
    Ok(all)
}

/// Whether this cluster may delete an object.
fn is_ours(cluster: &Cluster, key: &ObjectKey) -> bool {
    cluster.epochs().any(|epoch| key.0.starts_with(&epoch_prefix(&cluster.id, epoch)))
}

/// Deletes objects and returns those that are gone.
async fn delete(reclaimer: &Reclaimer, keys: Vec<ObjectKey>) -> Vec<ObjectKey> {
    let deletions = futures::stream::iter(keys).map(|key| async move {
        match reclaimer.store.delete(&key).await {
            Ok(()) => Some(key),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(%key, error = format!("{error:#}"), "could not delete a condemned object");
                None
            }
        }
    });
    deletions.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await
}
