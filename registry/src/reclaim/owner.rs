//! Whose store is it? The object `OWNER` names the cluster and epoch that may write and delete under a prefix, so that an
//! empty or copied index can never empty a bucket that belongs to somebody else.

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::blobs::{ObjectKey, Store, StoreError};
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
        Err(OwnerError::Store(StoreError::NotFound { .. })) => {
            write(store, cluster).await?;
            // Whoever claimed at the same moment wrote the same object: one of the two reads the other's name now.
            check(store, cluster).await
        }
        other => other,
    }
}

/// Makes sure that the store is still ours.
pub async fn check(store: &dyn Store, cluster: &Cluster) -> Result<(), OwnerError> {
    let pieces: Vec<Bytes> = store.read(&key(), 0..LENGTH as u64).await?.try_collect().await?;
    let owner: Owner = serde_json::from_slice(&pieces.concat())
        .map_err(|error| OwnerError::Unreadable { reason: error.to_string() })?;
    if owner.cluster == cluster.id && owner.epoch == cluster.epoch {
        Ok(())
    } else {
        Err(OwnerError::Other { cluster: owner.cluster, epoch: owner.epoch, ours: cluster.id.clone() })
    }
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
