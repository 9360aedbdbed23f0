//! Object storage: the [`Store`] trait, its contract in words, and the stores behind it.
//!
//! An object is written once, under a key that is never used again, and is never changed: so there is no overwrite, no
//! append, no copy and no conditional write in the contract, and any S3 will do. The push path writes, readers read
//! ranges, the reclaimer lists days and deletes. Nothing here knows of digests, repositories or the index.

pub mod budget;
pub mod buffers;
pub mod checksum;
pub mod directory;
pub mod key;
pub mod measured;
pub mod open;
pub mod reader;
pub mod s3;

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// The key of an object: `blobs/<cluster id>/<epoch>/<yyyymmdd>/<ulid>`, or a fixed name such as `OWNER`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(pub String);

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a store could not do something: by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("object {key} is not in the store")]
    NotFound { key: ObjectKey },
    /// The object has fewer bytes than its record says: it is damaged.
    #[error("object {key} is shorter than it was")]
    Truncated { key: ObjectKey },
    /// The store has no room; nothing was stored.
    #[error("the store is full")]
    Full,
    /// The store failed or did not answer in time, after the store's own retries.
    #[error("could not {operation} {key}")]
    Unavailable {
        operation: &'static str,
        key: ObjectKey,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where objects are kept.
///
/// # Contract
/// - `create` then `finish`: once `finish` returned, the object survives any crash and every reader sees it whole.
/// - Before that, and when the writer is dropped or `finish` failed, readers see nothing, or a whole object that nobody
///   refers to: what is left behind is found by `list_day` or `abort_stale`.
/// - `read` gives exactly the bytes of the range or ends with an error; it never ends early without one.
/// - `delete` of an object that is not there succeeds.
/// - `list_day` names every finished object of that prefix at least once, if it was finished before the call.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Begins to write a new object.
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// Reads `range` of an object, in buffers of at most 1 MiB.
    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError>;

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Lists the keys that begin with `prefix`, which ends in `/`: one day, or one epoch.
    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError>;

    /// An address from which a client may read the object for `valid`; none when this store has no such thing.
    async fn presign(&self, _key: &ObjectKey, _valid: Duration) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// Removes what unfinished writes older than `age` have left behind, and says how many there were.
    async fn abort_stale(&self, _prefix: &str, _age: Duration) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// An object being written.
#[async_trait]
pub trait ObjectWriter: Send {
    /// Takes the next bytes. May return before they are stored; waits when too much is on its way.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the object durable and whole.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;

    /// Gives up: removes what was written, as far as that is possible now.
    async fn abort(self: Box<Self>);
}
