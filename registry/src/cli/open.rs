//! Opens what `serve` and `scrub` work with: the data directory, the store, the index, and the policy that the index
//! shall enforce.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;

use super::directory;
use crate::app::App;
use crate::blobs::measured::StoreMetrics;
use crate::blobs::{self, Store, StoreError};
use crate::config::Config;
use crate::http::HttpMetrics;
use crate::index::archive::{self, ArchiveMetrics, Archiver};
use crate::index::command::Policy;
use crate::index::metrics::IndexMetrics;
use crate::index::query::GetStatus;
use crate::index::{Index, client::IndexOptions};
use crate::reclaim::{self, OwnerError, ReclaimMetrics, Reclaimer};

const SECOND: u64 = 1000;
const DAY: u64 = 24 * 3600 * SECOND;

/// What a verb works with.
pub(super) struct Opened {
    pub app: Arc<App>,
    pub reclaimer: Reclaimer,
    /// None when the index is not archived.
    pub archiver: Option<Archiver>,
    /// Keeps other processes away from the data directory.
    _claim: File,
}

/// Opens everything; what is new is made.
pub(super) async fn open(config: Config, registry: &Registry) -> anyhow::Result<Opened> {
    let claim = directory::claim(&config.server.data)?;
    let metrics = HttpMetrics::register(registry).context("could not set up the metrics of requests")?;
    let index_metrics = IndexMetrics::register(registry).context("could not set up the metrics of the index")?;
    let store_metrics = StoreMetrics::register(registry).context("could not set up the metrics of the store")?;
    let reclaim_metrics = ReclaimMetrics::register(registry).context("could not set up the metrics of reclaiming")?;
    let archive_metrics = ArchiveMetrics::register(registry).context("could not set up the metrics of the archive")?;
    let store = blobs::open::open(&config, store_metrics).await.context("could not open the store")?;
    let options =
        IndexOptions { directory: config.server.data.join("index"), min_free_bytes: config.server.min_free_bytes };
    let index = Index::open(&options, index_metrics).await.context("could not open the index")?;
    own(store.as_ref(), &index).await.context("could not make the store ours")?;
    index.set_policy(policy(&config)).await.context("could not put the policy in force")?;
    let reclaimer = Reclaimer { index: index.clone(), store: Arc::clone(&store), metrics: reclaim_metrics };
    let options = archive(&config);
    let archiver = options.map(|options| Archiver::new(index.clone(), Arc::clone(&store), options, archive_metrics));
    Ok(Opened { app: Arc::new(App { config, index, store, metrics }), reclaimer, archiver, _claim: claim })
}

/// Makes sure, before anything writes, that the store does not belong to another cluster.
///
/// A store that is out does not keep a registry down that has owned it before: tags and manifests can be served, and the
/// reclaimer looks again before it deletes. That days were closed tells that it has worked on the store before.
async fn own(store: &dyn Store, index: &Index) -> anyhow::Result<()> {
    match reclaim::claim(store, index.cluster()).await {
        Err(OwnerError::Store(error @ StoreError::Unavailable { .. }))
            if index.query(GetStatus).await?.closed_day > 0 =>
        {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "the store does not answer: blobs cannot be read or pushed until it does"
            );
            Ok(())
        }
        result => Ok(result?),
    }
}

/// How the index is archived; none: it is not.
fn archive(config: &Config) -> Option<archive::Options> {
    let archive = &config.archive;
    config.archives().then(|| archive::Options {
        close_after: Duration::from_secs(archive.seconds),
        snapshot_entries: archive.snapshot_entries,
        snapshot_bytes: archive.snapshot_bytes,
        snapshot_age: Duration::from_secs(archive.snapshot_seconds),
        keep: usize::try_from(archive.snapshots).unwrap_or(usize::MAX),
    })
}

/// What the index shall enforce; index time counts milliseconds.
fn policy(config: &Config) -> Policy {
    Policy {
        grace: config.reclaim.grace_seconds.saturating_mul(SECOND),
        reader_pause: config.reclaim.reader_pause_seconds.saturating_mul(SECOND),
        untagged: config.reclaim.untagged_seconds.map(|seconds| seconds.saturating_mul(SECOND)),
        history_count: config.history.per_tag,
        history_age: config.history.days.saturating_mul(DAY),
        events_age: config.history.event_days.saturating_mul(DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_asks_for_the_default_policy() {
        assert_eq!(policy(&Config::default()), Policy::default());
    }
}
