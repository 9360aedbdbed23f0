//! Makes an index again from what was archived: a snapshot, and the entries behind it up to a position. Offline, into a
//! volume that holds no index.
//!
//! The restored cluster has the id of the old one and a new epoch, under which it writes and deletes. What the old one
//! wrote it only reads, unless it is told that the old one is gone for good (`take_over`).

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::chain::{Listing, Plan, PlanError};
use super::names::{self, SnapshotName, WholeSnapshot};
use super::task::new_id;
use super::{ArchiveError, segment, snapshots, stream};
use crate::blobs::{ObjectKey, Store};
use crate::index::crash;
use crate::index::metrics::IndexMetrics;
use crate::index::query::{Cluster, GetStatus, Query};
use crate::index::raft::restore::{Restoring, VolumeError, begin_anew, occupied};
use crate::index::state;
use crate::reclaim::owner::{self, Owner, OwnerError};

/// How often another epoch is tried when somebody else took one at the same moment.
const TRIES: u64 = 20;

/// What is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Newest,
    Position(u64),
    Backup(String),
}

/// A restore.
#[derive(Clone, Debug)]
pub struct Restore {
    pub store: Arc<dyn Store>,
    /// The directory of the index, which must hold none.
    pub directory: PathBuf,
    pub wanted: Wanted,
    /// None: the cluster that owns the store.
    pub cluster: Option<String>,
    /// None: the epoch that owns the store, or the one that the backup is in.
    pub epoch: Option<u64>,
    /// The old cluster is gone for good.
    pub take_over: bool,
    /// How peers will call the node.
    pub member: String,
    pub metrics: IndexMetrics,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub cluster: String,
    pub epoch: u64,
    pub from_epoch: u64,
    pub snapshot: u64,
    pub position: u64,
    pub entries: u64,
    pub bytes: u64,
    pub node: u64,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(
        "there is an index in {directory} already: restore into an empty data directory, or say --force to set this one \
         aside"
    )]
    Occupied { directory: PathBuf },
    #[error("could not look into {directory}")]
    Look {
        directory: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store does not say whose it is: name the cluster with --from-cluster")]
    NoOwner,
    #[error("the store holds nothing of cluster {cluster} under index/")]
    NoArchive { cluster: String },
    #[error("there is no backup {name} of cluster {cluster}; `roadstead backup list` shows what there is")]
    NoBackup { name: String, cluster: String },
    #[error(
        "the store does not say which of the epochs {epochs:?} is meant, since one may be that of a copy: name it with --from-epoch"
    )]
    Ambiguous { epochs: Vec<u64> },
    #[error("the archive of epoch {epoch} cannot give that position")]
    Plan {
        epoch: u64,
        #[source]
        source: PlanError,
    },
    #[error("no epoch could be taken: others restore at the same time")]
    NoEpoch,
    #[error("the work ended early")]
    Ended,
}

impl From<crate::blobs::StoreError> for RestoreError {
    fn from(error: crate::blobs::StoreError) -> Self {
        Self::Archive(error.into())
    }
}

impl From<OwnerError> for RestoreError {
    fn from(error: OwnerError) -> Self {
        Self::Archive(error.into())
    }
}

/// Where a state is read from.
struct Source {
    cluster: String,
    epoch: u64,
    /// Where its snapshots are, and ways to the wanted position, the best first.
    prefix: String,
    plans: Vec<Plan>,
}

impl Restore {
    /// Restores.
    ///
    /// # Errors
    /// When there is an index, when what is wanted is not there, or when anything of it is damaged or missing: a restore
    /// is never silently shorter.
    pub async fn run(&self) -> Result<Restored, RestoreError> {
        let look = |source| RestoreError::Look { directory: self.directory.clone(), source };
        begin_anew(&self.directory).map_err(look)?;
        if !occupied(&self.directory).map_err(look)?.is_empty() {
            return Err(RestoreError::Occupied { directory: self.directory.clone() });
        }
        let owner = owner::read(self.store.as_ref()).await?;
        let cluster = match (&self.cluster, &owner) {
            (Some(cluster), _) => cluster.clone(),
            (None, Some(owner)) => owner.cluster.clone(),
            (None, None) => return Err(RestoreError::NoOwner),
        };
        let keys = stream::list(self.store.as_ref(), &names::cluster_prefix(&cluster)).await?;
        let source = self.source(cluster, owner.as_ref(), &keys)?;
        let (volume, plan, entries, bytes) = self.state(&source).await?;
        crash::point("index::restore::after_state");

        let old = state::cluster(&volume.view()).map_err(VolumeError::from)?;
        let old = old.ok_or_else(|| RestoreError::NoArchive { cluster: source.cluster.clone() })?;
        let (epoch, claim) = self.take_epoch(&source, &old, owner.as_ref(), &keys).await?;
        crash::point("index::restore::after_claim");
        let mut upload_key = [0; 32];
        getrandom::fill(&mut upload_key).map_err(ArchiveError::Random)?;
        let mut new = Cluster {
            id: old.id.clone(),
            epoch,
            // Ids of uploads that began before are refused: what came after the archived position is not known here.
            upload_key: Bytes::copy_from_slice(&upload_key),
            owned: Vec::new(),
            claim: Some(claim),
        };
        let mut kept = Vec::new();
        if self.take_over {
            new.owned = old.owned.iter().copied().chain([old.epoch]).collect();
            new.claim = None;
            kept = backups(&keys, &source.cluster);
        }
        let change = |transaction: &mut state::records::Transaction<'_>| state::restored(transaction, &new, &kept);
        let volume = volume.conclude(&self.member, change)?;
        // The archive of the new epoch begins with what was restored: it can be restored again from the first moment on.
        let view = volume.view();
        let time = GetStatus.answer(&view).map_err(VolumeError::from)?.time;
        let (index, term) = (volume.position.index, volume.position.term);
        let name = SnapshotName { position: index, term, id: new_id(time)? };
        let prefix = names::snapshots_prefix(&new.id, epoch);
        snapshots::write(self.store.as_ref(), &prefix, &new.id, name, view).await?;
        crash::point("index::restore::after_snapshot");
        if self.take_over {
            owner::take_over(self.store.as_ref(), &new).await?;
            crash::point("index::restore::after_owner");
        }
        let node = volume.finish().await?;
        Ok(Restored {
            cluster: new.id.clone(),
            epoch,
            from_epoch: source.epoch,
            snapshot: plan.snapshot.name.position,
            position: plan.position,
            entries,
            bytes,
            node,
        })
    }

    /// Finds out what to read.
    fn source(&self, cluster: String, owner: Option<&Owner>, keys: &[ObjectKey]) -> Result<Source, RestoreError> {
        if keys.is_empty() {
            return Err(RestoreError::NoArchive { cluster });
        }
        let owners = owner.filter(|owner| owner.cluster == cluster).map(|owner| owner.epoch);
        let ambiguous = |epochs: BTreeSet<u64>| RestoreError::Ambiguous { epochs: epochs.into_iter().collect() };
        if let Wanted::Backup(name) = &self.wanted {
            let found = backups(keys, &cluster)
                .into_iter()
                .filter(|backup| backup.name == *name && self.epoch.is_none_or(|epoch| epoch == backup.epoch));
            let found: Vec<_> = found.collect();
            // Another one of the name may be that of a copy.
            let of_owner = found.iter().find(|backup| owners == Some(backup.epoch));
            let backup = match (of_owner, found.as_slice()) {
                (Some(backup), _) | (None, [backup]) => backup.clone(),
                (None, []) => return Err(RestoreError::NoBackup { name: name.clone(), cluster }),
                (None, several) => return Err(ambiguous(several.iter().map(|backup| backup.epoch).collect())),
            };
            let position = backup.snapshot.name.position;
            let plan = Plan { snapshot: backup.snapshot, segments: Vec::new(), position };
            let prefix = names::backup_prefix(&cluster, backup.epoch, name);
            return Ok(Source { cluster, epoch: backup.epoch, prefix, plans: vec![plan] });
        }
        // Without an owner nobody says which of several epochs is that of the original.
        let epochs = || keys.iter().filter_map(|key| names::epoch_of(key, &cluster)).collect::<BTreeSet<_>>();
        let epoch = match self.epoch.or(owners) {
            Some(epoch) => epoch,
            None => match epochs().iter().copied().collect::<Vec<_>>().as_slice() {
                [] => return Err(RestoreError::NoArchive { cluster }),
                [epoch] => *epoch,
                _ => return Err(ambiguous(epochs())),
            },
        };
        let (log, prefix) = (names::log_prefix(&cluster, epoch), names::snapshots_prefix(&cluster, epoch));
        let of_epoch = |key: &&ObjectKey| key.0.starts_with(&log) || key.0.starts_with(&prefix);
        let listing = Listing::of(keys.iter().filter(of_epoch).cloned());
        let wanted = match self.wanted {
            Wanted::Position(position) => Some(position),
            Wanted::Newest | Wanted::Backup(_) => None,
        };
        let best = listing.plan(wanted, 0).map_err(|source| RestoreError::Plan { epoch, source })?;
        // Should its snapshot be damaged, an older one leads to the same position.
        let others = (1..listing.whole.len()).map_while(|skip| listing.plan(wanted, skip).ok());
        let others = others.filter(|plan| plan.position == best.position).collect::<Vec<_>>();
        Ok(Source { cluster, epoch, prefix, plans: [best].into_iter().chain(others).collect() })
    }

    /// Makes the state; returns also how it was made, with how many entries and bytes.
    async fn state(&self, source: &Source) -> Result<(Restoring, Plan, u64, u64), RestoreError> {
        let mut first = None;
        for plan in &source.plans {
            match self.follow(source, plan).await {
                Ok((volume, entries, bytes)) => return Ok((volume, plan.clone(), entries, bytes)),
                Err(error @ RestoreError::Archive(ArchiveError::Read { .. })) => {
                    tracing::warn!(%error, "a snapshot of the archive is damaged; trying the one before it");
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first.unwrap_or(RestoreError::Ended))
    }

    async fn follow(&self, source: &Source, plan: &Plan) -> Result<(Restoring, u64, u64), RestoreError> {
        let (directory, cluster, metrics) = (self.directory.clone(), source.cluster.clone(), self.metrics.clone());
        let content = move |input: &mut stream::ObjectSource| match Restoring::begin(
            &directory,
            std::io::BufReader::new(input),
            &cluster,
            &metrics,
        ) {
            Err(VolumeError::Transfer(error)) => Err(error),
            other => Ok(other),
        };
        let volume = snapshots::read(&self.store, &source.prefix, &plan.snapshot, content).await??;
        let mut next = plan.snapshot.name.position + 1;
        let mut bytes = plan.snapshot.length;
        let mut volume = volume;
        for name in &plan.segments {
            let mut entries = read_segment(self.store.as_ref(), &source.cluster, source.epoch, name).await?;
            bytes += name.length;
            entries.retain(|entry| entry.position.index >= next && entry.position.index <= plan.position);
            next += entries.len() as u64;
            let work = move || volume.replay(entries).map(|()| volume);
            volume = tokio::task::spawn_blocking(work).await.map_err(|_| RestoreError::Ended)??;
        }
        if next != plan.position + 1 {
            let source = PlanError::Hole { after: next - 1 };
            return Err(RestoreError::Plan { epoch: plan.snapshot.name.term, source });
        }
        Ok((volume, next - plan.snapshot.name.position - 1, bytes))
    }

    /// Takes an epoch that nobody has ever used.
    async fn take_epoch(
        &self,
        source: &Source,
        old: &Cluster,
        owner: Option<&Owner>,
        keys: &[ObjectKey],
    ) -> Result<(u64, String), RestoreError> {
        let used: BTreeSet<u64> = keys.iter().filter_map(|key| names::epoch_of(key, &source.cluster)).collect();
        let owners = owner.filter(|owner| owner.cluster == source.cluster).map_or(0, |owner| owner.epoch);
        let last = used.last().copied().unwrap_or(0).max(old.epoch).max(owners).max(source.epoch);
        let mut epoch = last;
        for _ in 0..TRIES {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(ArchiveError::Random)?;
            // Two who try at the same moment do not go on side by side.
            epoch += if epoch == last { 1 } else { 1 + u64::from(random[0] % 16) };
            let prefix = names::epoch_prefix(&source.cluster, epoch);
            // It may have been taken since everything was listed, which is long ago when the state is large.
            if !stream::list(self.store.as_ref(), &prefix).await?.is_empty() {
                continue;
            }
            let id = ulid::Ulid::from_parts(0, u128::from_le_bytes(random)).to_string().to_lowercase();
            let claim = names::claim(&source.cluster, epoch, &id);
            stream::put(self.store.as_ref(), &claim, Bytes::from_static(b"claimed by a restore\n")).await?;
            // Whoever claimed later sees both and goes on; both may. Two claims would keep the other one from deleting anything.
            if stream::list(self.store.as_ref(), &prefix).await?.iter().all(|key| *key == claim) {
                return Ok((epoch, id));
            }
            self.store.delete(&claim).await?;
        }
        Err(RestoreError::NoEpoch)
    }
}

/// Reads a segment with every check.
pub async fn read_segment(
    store: &dyn Store,
    cluster: &str,
    epoch: u64,
    name: &names::SegmentName,
) -> Result<Vec<crate::index::raft::types::StoredEntry>, ArchiveError> {
    let key = name.key(cluster, epoch);
    let bytes = stream::get(store, &key, 0..name.length).await?;
    segment::decode(&bytes, name, cluster).map_err(|source| ArchiveError::Segment { key, source })
}

/// A whole backup as it is found in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundBackup {
    pub name: String,
    pub epoch: u64,
    pub snapshot: WholeSnapshot,
}

/// The whole backups of a cluster among keys, in the order of their names.
pub fn backups(keys: &[ObjectKey], cluster: &str) -> Vec<FoundBackup> {
    let places: BTreeSet<(String, u64)> = keys
        .iter()
        .filter_map(|key| Some((names::backup_of(key, cluster)?.to_owned(), names::epoch_of(key, cluster)?)))
        .collect();
    let found = places.into_iter().filter_map(|(name, epoch)| {
        let prefix = names::backup_prefix(cluster, epoch, &name);
        let listing = Listing::of(keys.iter().filter(|key| key.0.starts_with(&prefix)).cloned());
        listing.newest().cloned().map(|snapshot| FoundBackup { name, epoch, snapshot })
    });
    found.collect()
}

#[cfg(test)]
mod tests;
