//! The archive: snapshots and committed entries in the store, so that the index outlives all its volumes; backups, which
//! are kept until they are deleted; and what reads both back.
//!
//! `serve` runs the [`Archiver`] on every index node, and the one that leads works. Nothing here may keep a command
//! waiting: what the store does not take now is archived later, and the lag is measured. What is archived is named by
//! [`names`], judged by [`chain`], and never written twice.

pub mod astray;
pub mod backups;
pub mod calls;
pub mod chain;
pub mod metrics;
pub mod names;
pub mod restore;
pub mod segment;
pub mod snapshots;
pub mod stream;
pub mod task;
#[cfg(test)]
mod tests;
pub mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::IndexError;
use super::raft::NodeError;
use super::raft::transfer::TransferError;
use crate::blobs::{ObjectKey, StoreError};
use crate::reclaim::OwnerError;
use chain::PlanError;
use segment::SegmentError;

pub use metrics::ArchiveMetrics;
pub use task::{Archiver, Options};

/// Why the archive could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Owner(#[from] OwnerError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("could not write the snapshot {key}")]
    Write {
        key: ObjectKey,
        #[source]
        source: Box<TransferError>,
    },
    #[error("the snapshot {key} is not whole")]
    Read {
        key: ObjectKey,
        #[source]
        source: Box<TransferError>,
    },
    #[error("the segment {key} is not whole")]
    Segment {
        key: ObjectKey,
        #[source]
        source: SegmentError,
    },
    #[error("an entry could not be archived")]
    Encode(#[source] SegmentError),
    #[error(
        "the archive stands at position {archived} and this log does not lead there: this volume is older than the archive, \
         or a copy. Nothing is archived. Remove the volume and restore from the archive (roadstead restore)"
    )]
    Ahead { archived: u64 },
    #[error("could not note, or read, whether this log leads to where the archive stands")]
    Note(#[source] std::io::Error),
    #[error("no random numbers are to be had: {0}")]
    Random(getrandom::Error),
    #[error("the work ended early")]
    Ended,
}

/// The position up to which everything can be restored from the archive; 0 while that is not known. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Archived(Arc<AtomicU64>);

impl Archived {
    pub fn position(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn reached(&self, position: u64) {
        self.0.fetch_max(position, Ordering::AcqRel);
    }
}
