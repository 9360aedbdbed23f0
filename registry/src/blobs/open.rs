//! Opens the configured store.

use std::sync::Arc;

use super::budget::Budget;
use super::directory::Directory;
use super::measured::{Measured, StoreMetrics};
use super::s3::S3;
use super::{Store, StoreError};
use crate::config::{Config, StorageKind};

/// Opens the store that the configuration names, with its calls measured.
pub async fn open(config: &Config, metrics: StoreMetrics) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match config.storage.kind {
        StorageKind::Directory => Arc::new(Measured::new(Directory::open(config.store_directory()).await?, metrics)),
        StorageKind::S3 => {
            let budget = Budget::new(config.uploads.budget_bytes);
            Arc::new(Measured::new(S3::new(&config.storage.s3, &config.blobs, budget).await, metrics))
        }
    })
}
