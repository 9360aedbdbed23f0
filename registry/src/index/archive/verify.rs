//! Reads backups and the archive whole and says what is wrong with them; keeps nothing and changes nothing.

use std::sync::Arc;

use futures::StreamExt;
use serde::Serialize;

use super::chain::Listing;
use super::names::{backup_prefix, log_prefix, snapshots_prefix};
use super::restore::{FoundBackup, read_segment};
use super::{ArchiveError, snapshots, stream};
use crate::blobs::{ObjectKey, Store, StoreError};

/// Objects asked for at once.
const AT_ONCE: usize = 16;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The position it leads to.
    pub position: u64,
    pub snapshots: u64,
    pub segments: u64,
    pub entries: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Objects of blobs that it refers to, when they were looked for.
    pub objects: Option<u64>,
    /// What is wrong, as sentences; empty: all is well.
    pub problems: Vec<String>,
}

/// Reads a backup; with `objects` also looks for every object that it refers to.
pub async fn backup(
    store: &Arc<dyn Store>,
    cluster: &str,
    found: &FoundBackup,
    objects: bool,
) -> Result<Report, ArchiveError> {
    let prefix = backup_prefix(cluster, found.epoch, &found.name);
    let mut report = Report { position: found.snapshot.name.position, snapshots: 1, ..Report::default() };
    match snapshots::verify(store, &prefix, cluster, &found.snapshot, objects).await {
        Ok(contents) => {
            report.bytes = found.snapshot.length;
            if objects {
                report.objects = Some(contents.objects.len() as u64);
                report.problems = missing(store, contents.objects).await?;
            }
        }
        Err(error) => report.problems.push(damage(error)?),
    }
    Ok(report)
}

/// Reads the archive of an epoch: every snapshot, and all entries behind the oldest of them. What whoever archives removes while
/// we read is no damage.
pub async fn archive(store: &Arc<dyn Store>, cluster: &str, epoch: u64) -> Result<Report, ArchiveError> {
    let prefix = snapshots_prefix(cluster, epoch);
    let list = async || -> Result<Vec<ObjectKey>, ArchiveError> {
        let mut keys = stream::list(store.as_ref(), &prefix).await?;
        keys.extend(stream::list(store.as_ref(), &log_prefix(cluster, epoch)).await?);
        Ok(keys)
    };
    let listing = Listing::of(list().await?);
    let mut report = Report::default();
    let mut wrong = Vec::new();
    match listing.plan(None, 0) {
        Ok(plan) => report.position = plan.position,
        Err(error) => report.problems.push(error.to_string()),
    }
    for whole in &listing.whole {
        match snapshots::verify(store, &prefix, cluster, whole, false).await {
            Ok(_) => {
                report.snapshots += 1;
                report.bytes += whole.length;
            }
            Err(error) => wrong.push((whole.name.key(&prefix), damage(error)?)),
        }
    }
    for name in &listing.segments {
        match read_segment(store.as_ref(), cluster, epoch, name).await {
            Ok(entries) => {
                report.segments += 1;
                report.entries += entries.len() as u64;
                report.bytes += name.length;
            }
            Err(error) => wrong.push((name.key(cluster, epoch), damage(error)?)),
        }
    }
    if !wrong.is_empty() {
        let there = list().await?;
        report.problems.extend(wrong.into_iter().filter(|(key, _)| there.contains(key)).map(|(_, text)| text));
    }
    Ok(report)
}

/// Damage as a sentence; a store that does not answer says nothing about damage.
fn damage(error: ArchiveError) -> Result<String, ArchiveError> {
    if matches!(error, ArchiveError::Store(StoreError::Unavailable { .. } | StoreError::Full)) {
        return Err(error);
    }
    Ok(format!("{:#}", anyhow::Error::from(error)))
}

/// The objects that are not there with their length.
async fn missing(store: &Arc<dyn Store>, objects: Vec<(ObjectKey, u64)>) -> Result<Vec<String>, ArchiveError> {
    let looks = futures::stream::iter(objects).map(|(key, length)| async move {
        let last = length.saturating_sub(1)..length;
        match stream::get(store.as_ref(), &key, last).await {
            Ok(_) => Ok(None),
            Err(StoreError::NotFound { key }) => Ok(Some(format!("object {key} is missing"))),
            Err(StoreError::Truncated { key }) => Ok(Some(format!("object {key} is shorter than {length} bytes"))),
            Err(error) => Err(ArchiveError::from(error)),
        }
    });
    let found: Vec<_> = looks.buffer_unordered(AT_ONCE).collect().await;
    found.into_iter().filter_map(Result::transpose).collect()
}
