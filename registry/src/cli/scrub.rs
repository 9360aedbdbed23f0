//! `roadstead scrub`: reads everything that is stored, once, and says what is damaged.

use anyhow::{Context, bail};

use super::open;
use crate::config::{Config, Role};
use crate::index::raft::restore::occupied;
use crate::reclaim::scrub;
use crate::{metrics, telemetry};

/// Scrubs to the end. Damage is a failure, so that a script notices.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    if config.server.role != Role::All || !config.cluster.index.is_empty() {
        bail!("a cluster scrubs its store by itself, within blobs.scrub_days: this is for a registry of one process");
    }
    let directory = config.server.data.join("index");
    let there = occupied(&directory).with_context(|| format!("could not look into {}", directory.display()))?;
    if there.is_empty() {
        bail!("there is no registry in {} (server.data): nothing to scrub", config.server.data.display());
    }
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    runtime.block_on(async {
        let registry = metrics::registry().context("could not set up the metrics")?;
        let opened = open::open(config, &registry).await?;
        let reclaimer = opened.reclaimer.context("a process of role registry has nothing to scrub")?;
        let found = scrub::run(&reclaimer, None).await.context("could not read everything")?;
        opened.app.index.close().await.context("could not close the index")?;
        println!("{} blobs, {} bytes read", found.blobs, found.bytes);
        for digest in &found.damaged {
            println!("damaged: {digest}");
        }
        for digest in &found.unreadable {
            println!("not read: {digest}");
        }
        match found.damaged.len() {
            0 if found.unreadable.is_empty() => Ok(()),
            0 => bail!("the store could not read {} blobs: see the log", found.unreadable.len()),
            count => bail!("{count} blobs are damaged: push them again, the registry replaces what is damaged"),
        }
    })
}
