//! The path of a push: from the body of a request to bytes in the store and an entry in the index.
//!
//! Handlers in `http` call it. One pass is made over each byte: it is hashed, summed and stored as it comes in. What
//! a push may do is decided in the index; nothing here is acknowledged before the entry is applied.

pub mod crash;
pub mod hash;
pub mod mount;
pub mod receive;
pub mod upload;
pub mod upload_id;

use crate::blobs::StoreError;
use crate::index::IndexError;
use crate::index::command::Refusal;
use crate::oci::digest::Digest;

/// Why a push did not happen. Nothing was acknowledged, and nothing of it can be seen.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error("the upload is unknown, finished, cancelled or expired")]
    UploadUnknown,
    #[error("the upload stands at {offset}")]
    Offset { offset: u64 },
    #[error("the upload has too many chunks; begin again with larger ones")]
    TooManyChunks,
    #[error("the content has digest {actual}, not {expected}")]
    Digest { expected: Box<Digest>, actual: Box<Digest> },
    #[error("the body has {actual} bytes, not {expected}")]
    Size { expected: u64, actual: u64 },
    #[error("the body ended early")]
    Body(#[source] receive::BodyError),
    #[error("the index refused the push: {0}")]
    Refused(Refusal),
    #[error("the index could not take the push")]
    Index(#[source] IndexError),
    #[error("the store could not take the push")]
    Store(#[from] StoreError),
    #[error("the push could not be hashed")]
    Hash(#[source] anyhow::Error),
}

impl From<IndexError> for PushError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Refused { refusal: Refusal::UploadUnknown, .. } => Self::UploadUnknown,
            IndexError::Refused { refusal: Refusal::OffsetMismatch { offset }, .. } => Self::Offset { offset },
            IndexError::Refused { refusal, .. } => Self::Refused(refusal),
            error => Self::Index(error),
        }
    }
}

impl From<receive::ReceiveError> for PushError {
    fn from(error: receive::ReceiveError) -> Self {
        match error {
            receive::ReceiveError::Store(error) => Self::Store(error),
            error @ receive::ReceiveError::Hash(_) => Self::Hash(error.into()),
        }
    }
}
