//! [`App`]: everything a request needs, made once by `serve` and shared.

use std::sync::Arc;

use crate::blobs::Store;
use crate::config::Config;
use crate::http::HttpMetrics;
use crate::index::Index;

/// What handlers work with.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub index: Index,
    pub store: Arc<dyn Store>,
    pub metrics: HttpMetrics,
}
