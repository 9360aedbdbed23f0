//! Opens what `serve` and `scrub` work with: the data directory, the store, the index, and the policy that the index
//! shall enforce.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;

use super::socket::AdminSocket;
use super::{directory, peers};
use crate::app::App;
use crate::auth::authenticate::Authenticator;
use crate::blobs::measured::StoreMetrics;
use crate::blobs::{self, Store, StoreError};
use crate::config::Config;
use crate::http::HttpMetrics;
use crate::http::audit::AuditLog;
use crate::index::archive::{self, ArchiveMetrics, Archiver};
use crate::index::command::Policy;
use crate::index::metrics::IndexMetrics;
use crate::index::peers::identity::Identity;
use crate::index::query::{Cluster, GetStatus};
use crate::index::remote::{Remote, RemoteOptions};
use crate::index::{Index, client::IndexOptions};
use crate::reclaim::{self, OwnerError, ReclaimMetrics, Reclaimer};

const SECOND: u64 = 1000;
const DAY: u64 = 24 * 3600 * SECOND;

/// What a verb works with.
pub(super) struct Opened {
    pub app: Arc<App>,
    /// None where another process reclaims.
    pub reclaimer: Option<Reclaimer>,
    /// None where the index is not archived, or another process does it.
    pub archiver: Option<Archiver>,
    /// Where an administrator of this machine speaks to the process.
    pub socket: Option<AdminSocket>,
    /// Keeps other processes away from the data directory.
    _claim: Option<File>,
}

/// What processes of each role that touch the store need.
pub(super) struct Parts {
    pub store: Arc<dyn Store>,
    pub reclaim_metrics: ReclaimMetrics,
    pub archive_metrics: ArchiveMetrics,
}

impl Parts {
    pub async fn open(config: &Config, registry: &Registry) -> anyhow::Result<Self> {
        let store_metrics = StoreMetrics::register(registry).context("could not set up the metrics of the store")?;
        let reclaim_metrics =
            ReclaimMetrics::register(registry).context("could not set up the metrics of reclaiming")?;
        let archive_metrics =
            ArchiveMetrics::register(registry).context("could not set up the metrics of the archive")?;
        let store = blobs::open::open(config, store_metrics).await.context("could not open the store")?;
        Ok(Self { store, reclaim_metrics, archive_metrics })
    }

    /// What archives the index of this process, if the configuration wants that.
    pub fn archiver(&self, config: &Config, index: &Index) -> Option<Archiver> {
        let archive = &config.archive;
        let options = archive::Options {
            close_after: Duration::from_secs(archive.seconds),
            snapshot_entries: archive.snapshot_entries,
            snapshot_bytes: archive.snapshot_bytes,
            snapshot_age: Duration::from_secs(archive.snapshot_seconds),
            keep: usize::try_from(archive.snapshots).unwrap_or(usize::MAX),
        };
        let archiver = || Archiver::new(index.clone(), Arc::clone(&self.store), options, self.archive_metrics.clone());
        config.archives().then(archiver)
    }
}

/// Opens everything in this process; what is new is made.
pub(super) async fn open(config: Config, registry: &Registry) -> anyhow::Result<Opened> {
    let claim = directory::claim(&config.server.data)?;
    let metrics = HttpMetrics::register(registry).context("could not set up the metrics of requests")?;
    let index_metrics = IndexMetrics::register(registry).context("could not set up the metrics of the index")?;
    let parts = Parts::open(&config, registry).await?;
    let options =
        IndexOptions { directory: config.server.data.join("index"), min_free_bytes: config.server.min_free_bytes };
    let index = Index::open(&options, index_metrics).await.context("could not open the index")?;
    own(parts.store.as_ref(), &index).await.context("could not make the store ours")?;
    index.set_policy(policy(&config)).await.context("could not put the policy in force")?;
    let socket = index.local().and_then(|local| AdminSocket::new(&config.server.data, local.clone()));
    let archiver = parts.archiver(&config, &index);
    let Parts { store, reclaim_metrics, .. } = parts;
    let reclaimer = Some(Reclaimer {
        index: index.clone(),
        store: Arc::clone(&store),
        metrics: reclaim_metrics,
        archived: archiver.as_ref().map(Archiver::archived),
    });
    let auth = Authenticator::new(&config.access).context("could not set up how people log in")?;
    let audit = audit(&config)?;
    let app = Arc::new(App { config, index, auth, audit, store, metrics });
    Ok(Opened { app, reclaimer, archiver, socket, _claim: Some(claim) })
}

/// Opens what a process without an index needs, and waits until an index node answers.
pub(super) async fn open_remote(
    config: Config,
    registry: &Registry,
    identity: Arc<Identity>,
) -> anyhow::Result<Opened> {
    let metrics = HttpMetrics::register(registry).context("could not set up the metrics of requests")?;
    let index_metrics = IndexMetrics::register(registry).context("could not set up the metrics of the index")?;
    let Parts { store, .. } = Parts::open(&config, registry).await?;
    let options = RemoteOptions {
        index: config.cluster.index.clone(),
        addresses: config.cluster.addresses.clone(),
        dialer: peers::dialer(&config, identity),
        held_bytes: config.manifests.cache_bytes,
        first: std::process::id() as usize,
    };
    let (remote, cluster) = Remote::connect(options, index_metrics).await;
    let index = Index::behind(remote, cluster);
    await_ownership(store.as_ref(), &index).await?;
    let auth = Authenticator::new(&config.access).context("could not set up how people log in")?;
    let audit = audit(&config)?;
    let app = Arc::new(App { config, index, auth, audit, store, metrics });
    Ok(Opened { app, reclaimer: None, archiver: None, socket: None, _claim: None })
}

/// Waits until the leader has made the store the cluster's; another owner is an error, a store that is out is not.
async fn await_ownership(store: &dyn Store, index: &Index) -> anyhow::Result<()> {
    loop {
        match reclaim::check(store, index.cluster()).await {
            Ok(()) => return Ok(()),
            Err(OwnerError::Store(StoreError::NotFound { .. })) => {
                tracing::info!("waiting until the index has made the store its own");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(OwnerError::Store(error)) => {
                let error = anyhow::Error::from(error);
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the store does not answer: blobs cannot be read or pushed until it does"
                );
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes sure, before anything writes, that the store does not belong to another cluster.
///
/// A store that is out does not keep a registry down that has owned it before: tags and manifests can be served, and the
/// reclaimer looks again before it deletes. That days were closed tells that it has worked on the store before.
pub(super) async fn own(store: &dyn Store, index: &Index) -> anyhow::Result<()> {
    let ours = match reclaim::check(store, index.cluster()).await {
        Err(OwnerError::Store(StoreError::NotFound { .. })) => {
            let blobs = index.query(GetStatus).await?.counts.blobs;
            if blobs > 0 {
                let Cluster { id, epoch, .. } = index.cluster().clone();
                return Err(OwnerError::Gone { blobs, cluster: id, epoch }.into());
            }
            reclaim::claim(store, index.cluster()).await
        }
        other => other,
    };
    match ours {
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

/// What the index shall enforce; index time counts milliseconds.
pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        grace: config.reclaim.grace_seconds.saturating_mul(SECOND),
        reader_pause: config.reclaim.reader_pause_seconds.saturating_mul(SECOND),
        untagged: config.reclaim.untagged_seconds.map(|seconds| seconds.saturating_mul(SECOND)),
        history_count: config.history.per_tag,
        history_age: config.history.days.saturating_mul(DAY),
        events_age: config.history.event_days.saturating_mul(DAY),
    }
}

/// Where requests are noted, if they are.
fn audit(config: &Config) -> anyhow::Result<AuditLog> {
    let Some(file) = &config.log.audit else { return Ok(AuditLog::off()) };
    AuditLog::to(file).with_context(|| format!("could not open {} (log.audit)", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_configuration_asks_for_the_default_policy() {
        assert_eq!(policy(&Config::default()), Policy::default());
    }
}
