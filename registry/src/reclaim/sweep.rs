//! Expiry, and the deletion of condemned objects.

use futures::StreamExt;

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

/// Does everything that is due now.
pub async fn run(reclaimer: &Reclaimer) -> Result<(), ReclaimError> {
    let index = &reclaimer.index;
    let status = index.query(GetStatus).await?;
    reclaimer.metrics.condemned.set(status.counts.condemned as i64);
    let now = index.time();
    let is_due = |time: Option<_>| time.is_some_and(|time| time <= now);
    if !is_due(status.next_due) && !is_due(status.next_condemned) {
        return Ok(());
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
    loop {
        let archived = reclaimer.archived.as_ref().map(Archived::position);
        let keys = index.query(DueObjects { limit: STEP, archived }).await?;
        if keys.is_empty() {
            return Ok(());
        }
        owner::check(reclaimer.store.as_ref(), reclaimer.cluster()).await?;
        // What a copy has from its original belongs to the original: the copy only forgets it.
        let (ours, theirs): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| is_ours(reclaimer.cluster(), key));
        let wanted = ours.len();
        let mut deleted = delete(reclaimer, ours).await;
        reclaimer.metrics.reclaimed.inc_by(deleted.len() as u64);
        let all = deleted.len() == wanted;
        deleted.extend(theirs);
        index.submit(None, Command::ForgetObjects(ForgetObjects { keys: deleted })).await?;
        if !all {
            return Ok(()); // the store is in trouble: the rest waits for the next turn
        }
    }
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
