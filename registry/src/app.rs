//! [`App`]: everything a request needs, made once by `serve` and shared.

use std::sync::Arc;

use crate::blobs::Store;
use crate::config::Config;
use crate::index::Index;

/// What handlers work with.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    pub index: Index,
    pub store: Arc<dyn Store>,
}

pub async fn open(config: Config) -> anyhow::Result<Arc<App>> {
    let _ = config;
    anyhow::bail!("the store and the index are not there yet")
}

pub async fn close(_app: &App) -> anyhow::Result<()> {
    Ok(())
}
