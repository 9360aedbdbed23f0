//! Whose store is it? The object `OWNER` names the cluster and epoch that may write and delete under a prefix, so that an
//! empty or copied index can never empty a bucket that belongs to somebody else.

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::blobs::{ObjectKey, Store, StoreError};
use crate::index::archive::names;
use crate::index::query::Cluster;

/// The object is padded to this length, so that it is read without asking for its length first.
const LENGTH: usize = 256;

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub cluster: String,
    pub epoch: u64,
}

/// Why the store is not ours.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error(
        "the store belongs to cluster {cluster} (epoch {epoch}), and this is cluster {ours}. Use another bucket or prefix, \
         or start the registry with the data directory of that cluster. If that cluster is gone for good and nothing of it \
         is wanted, remove everything under the prefix first"
    )]
    Other { cluster: String, epoch: u64, ours: String },
    #[error(
        "a later restore of cluster {cluster} has taken the store over: it is epoch {epoch} there, and this is epoch {ours}, which \
         is over. Start the index that was restored last"
    )]
    TakenOver { cluster: String, epoch: u64, ours: u64 },
    #[error(
        "this cluster is a copy that took epoch {epoch}, and its claim is not, or not the only one, in the store: nothing is deleted"
    )]
    NoClaim { epoch: u64 },
    #[error(
        "the store is not that of this index, which knows {blobs} blobs: the object OWNER is not there. Is the right volume \
         mounted, and are bucket and prefix right? If what the store held is gone for good, say that it may be used: put an \
         object OWNER into it that is made by: printf '%-256s' '{{\"cluster\":\"{cluster}\",\"epoch\":{epoch}}}'"
    )]
    Gone { blobs: u64, cluster: String, epoch: u64 },
    #[error("the object OWNER of the store does not tell whose it is: {reason}")]
    Unreadable { reason: String },
    #[error("could not find out whose the store is")]
    Store(#[from] StoreError),
}

fn key() -> ObjectKey {
    ObjectKey("OWNER".into())
}

/// Makes the store ours if it is nobody's.
///
/// # Errors
/// [`OwnerError::Other`] when another cluster owns it: nothing may be written or deleted then.
pub async fn claim(store: &dyn Store, cluster: &Cluster) -> Result<(), OwnerError> {
    match check(store, cluster).await {
        Err(OwnerError::Store(StoreError::NotFound { .. })) if cluster.claim.is_none() => {
            write(store, cluster).await?;
            // Whoever claimed at the same moment wrote the same object: one of the two reads the other's name now.
            check(store, cluster).await
        }
        other => other,
    }
}

/// Makes sure that the store is still ours, or, for a copy restored beside its original, that our epoch is.
pub async fn check(store: &dyn Store, cluster: &Cluster) -> Result<(), OwnerError> {
    let owner = owner(store).await?;
    let other = || OwnerError::Other { cluster: owner.cluster.clone(), epoch: owner.epoch, ours: cluster.id.clone() };
    let taken_over = || OwnerError::TakenOver { cluster: cluster.id.clone(), epoch: owner.epoch, ours: cluster.epoch };
    match &cluster.claim {
        None if owner.cluster == cluster.id && owner.epoch == cluster.epoch => Ok(()),
        None if owner.cluster == cluster.id => Err(taken_over()),
        Some(claim) if owner.cluster == cluster.id => check_claim(store, cluster, claim).await,
        _ => Err(other()),
    }
}

/// A copy took its epoch by a claim, which must be the only one.
async fn check_claim(store: &dyn Store, cluster: &Cluster, claim: &str) -> Result<(), OwnerError> {
    let ours = names::claim(&cluster.id, cluster.epoch, claim);
    let prefix = names::claims_prefix(&cluster.id, cluster.epoch);
    let claims: Vec<ObjectKey> = store.list(&prefix).await?.try_collect().await?;
    if claims == [ours] { Ok(()) } else { Err(OwnerError::NoClaim { epoch: cluster.epoch }) }
}

async fn owner(store: &dyn Store) -> Result<Owner, OwnerError> {
    let pieces: Vec<Bytes> = store.read(&key(), 0..LENGTH as u64).await?.try_collect().await?;
    serde_json::from_slice(&pieces.concat()).map_err(|error| OwnerError::Unreadable { reason: error.to_string() })
}

/// Whose the store is; none when it is nobody's.
pub async fn read(store: &dyn Store) -> Result<Option<Owner>, OwnerError> {
    match owner(store).await {
        Err(OwnerError::Store(StoreError::NotFound { .. })) => Ok(None),
        other => other.map(Some),
    }
}

/// Makes the store that of a cluster whose predecessor is gone for good.
pub async fn take_over(store: &dyn Store, cluster: &Cluster) -> Result<(), OwnerError> {
    write(store, cluster).await
}

async fn write(store: &dyn Store, cluster: &Cluster) -> Result<(), OwnerError> {
    let owner = Owner { cluster: cluster.id.clone(), epoch: cluster.epoch };
    let mut text = serde_json::to_vec(&owner).map_err(|error| OwnerError::Unreadable { reason: error.to_string() })?;
    text.resize(text.len().max(LENGTH), b' ');
    let mut writer = store.create(&key()).await?;
    writer.write(text.into()).await?;
    writer.finish().await?;
    Ok(())
}
