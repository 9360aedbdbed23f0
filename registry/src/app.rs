//! [`App`]: everything a request needs, made once by `serve` and shared.

use std::sync::Arc;

use crate::auth::authenticate::Authenticator;
use crate::blobs::Store;
use crate::config::Config;
use crate::http::HttpMetrics;
use crate::http::audit::AuditLog;
use crate::index::Index;

/// What handlers work with.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub index: Index,
    pub auth: Authenticator,
    pub audit: AuditLog,
    pub store: Arc<dyn Store>,
    pub metrics: HttpMetrics,
}
