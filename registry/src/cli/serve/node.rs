//! A process that is a node of the index.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{LAST_MOMENT, Process, bind, greeting};
use crate::api::calls::Calls;
use crate::cli::open::{self, own, policy};
use crate::cli::{directory, peers};
use crate::config::{Anonymous, Config};
use crate::index::answer::Answers;
use crate::index::archive::Archiver;
use crate::index::archive::backups::Backups;
use crate::index::archive::calls::BackupCalls;
use crate::index::local::{self, Local};
use crate::index::metrics::IndexMetrics;
use crate::index::peers::listen::{self, TlsListener};
use crate::index::peers::wire::Replace;
use crate::index::query::GetStatus;
use crate::index::raft::{Node, NodeOptions, refused};
use crate::index::rebuild::{self, Replaces};
use crate::index::{Index, agreement, raft};
use crate::metrics::CertificateMetrics;
use crate::ready::{IndexNeed, Needs};
use crate::reclaim::{OwnerError, Reclaimer};

/// How often we look at what has become of the node.
const LOOK: Duration = Duration::from_millis(200);
/// Between two tries of what a leader does first.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs the node until a signal ends it, or it cannot go on.
pub(super) async fn serve(mut process: Process, config: Config) -> anyhow::Result<()> {
    let _claim = directory::claim(&config.server.data)?;
    let identity = peers::identity(&config)?;
    let name = config.cluster.name.clone().context("cluster.name is not set")?;
    let listener = bind(config.server.peer_listen, "server.peer_listen").await?;
    let address = listener.local_addr().context("could not ask for the address of server.peer_listen")?;
    let metrics = IndexMetrics::register(&process.registry).context("could not set up the metrics of the index")?;
    CertificateMetrics::register(&process.registry, Some(Arc::clone(&identity)), None)
        .context("could not set up the metrics of certificates")?;
    let parts = open::Parts::open(&config, &process.registry).await?;
    let options = NodeOptions {
        directory: config.server.data.join("index"),
        dialer: Some(peers::dialer(&config, Arc::clone(&identity))),
        election: config.cluster.election_milliseconds,
        snapshot_entries: config.cluster.snapshot_entries,
        id: None,
    };
    let node = start(&config, &name, &options, &metrics).await?;
    let space = crate::index::space::Space::new(&options.directory, config.server.min_free_bytes);
    let local =
        Local::new(node, metrics, space, false, crate::index::clock::machine()).context("could not read the index")?;
    if local.node().cluster().is_none() {
        tracing::info!(
            name,
            "this volume is empty: waiting for `roadstead index init` (a new cluster) or `roadstead index add` (this one more)"
        );
    }
    process.readiness.started(Needs {
        index: IndexNeed::Local(local.clone()),
        store: Arc::clone(&parts.store),
        volume: Some((config.server.data.clone(), config.server.min_free_bytes)),
    });
    let answers = Arc::new(Answers::new(local.clone(), &name));
    let stop_listening = CancellationToken::new();
    let listening =
        tokio::spawn(listen::run(TlsListener { listener, identity }, Arc::clone(&answers), stop_listening.clone()));
    greeting::print_node(&name, address, process.admin_address);

    let stop = CancellationToken::new();
    let mut background: JoinHandle<anyhow::Result<()>> =
        tokio::spawn(lead(local.clone(), Arc::clone(&answers), parts, config, stop.clone()));
    let ended = tokio::select! {
        signal = process.signals.next() => {
            tracing::info!(signal, "ending: another node takes over what this one leads");
            Ok(())
        }
        reason = unusable(&local) => Err(anyhow::anyhow!(reason)),
        result = &mut background => result.context("background work failed").and_then(|result| result),
    };
    process.drain.begin();
    stop.cancel();
    if !background.is_finished() {
        let _ = tokio::time::timeout(LAST_MOMENT, background).await;
    }
    let ended = ended.and(local.close().await.context("could not close the index"));
    stop_listening.cancel();
    let _ = tokio::time::timeout(LAST_MOMENT, listening).await;
    process.end().await;
    ended
}

/// Starts the node. One whose volume is damaged is made again from its peers, if they can: under a new id, and the volume
/// is set aside for people to look at.
async fn start(config: &Config, name: &str, options: &NodeOptions, metrics: &IndexMetrics) -> anyhow::Result<Node> {
    let data = &config.server.data;
    let others: Vec<String> = config.cluster.index.iter().filter(|other| *other != name).cloned().collect();
    let dialer = options.dialer.clone().context("there is no way to peers")?;
    let node = match Node::start(options, metrics).await {
        Err(error) if error.is_damage() => {
            let error = anyhow::Error::from(error);
            let identity =
                raft::volume::written_identity(&options.directory).context("could not read whose volume it was")?;
            let before = rebuild::read(data).context("could not read whose place this node takes")?;
            let places = Replaces::after(before, &identity.cluster, identity.node);
            let Some(replaces) = rebuild::first_possible(&dialer, &others, places).await else {
                return Err(error.context(
                    "could not open the index, and no leader answers that this node could be made again from",
                ));
            };
            rebuild::write(data, &replaces).context("could not note whose place this node takes")?;
            let aside = refused::set_aside(&options.directory).context("could not set the volume aside")?;
            tracing::error!(
                error = format!("{error:#}"),
                aside = %aside.display(),
                "this volume cannot be used: it is set aside, and the node is made again from its peers"
            );
            Node::start(options, metrics).await
        }
        result => result,
    };
    let node = node.context("could not open the index")?;
    if let Some(replaces) = rebuild::read(data).context("could not read whose place this node takes")?
        && replaces.node != node.id()
    {
        node.join(&replaces.cluster, None)
            .map_err(|fault| anyhow::anyhow!("could not join the cluster again: {fault}"))?;
        let Replaces { cluster, node: old, between } = replaces;
        let replace = Replace { cluster, old, new: node.id(), name: name.to_owned(), between };
        let data = data.clone();
        tokio::spawn(async move { rebuild::take_place(dialer, others, replace, &data).await });
    }
    Ok(node)
}

/// Waits until the node cannot go on, and says why.
async fn unusable(local: &Local) -> String {
    loop {
        if let Some(reason) = local.node().health().stopped {
            return format!("the index stopped: {reason}");
        }
        if let Some(fault) = local.node().network().refused() {
            return format!(
                "the other members refuse this node: {fault}. If it shall be a member again, remove its volume, start it, \
                 and say `roadstead index add`"
            );
        }
        if local.node().is_foreign() {
            return "this node belongs to another cluster than most of its members: it was started on the volume of another, \
                    or at the address of one. Give it its own volume and address"
                .into();
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// What a node does beside answering: when it leads, the work that only one may do.
async fn lead(
    local: Local,
    answers: Arc<Answers>,
    parts: open::Parts,
    config: Config,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut archiving: Option<JoinHandle<()>> = None;
    let work = async {
        let cluster = loop {
            if let Some(cluster) = local::answer(local.node(), &GetStatus)?.cluster {
                break cluster;
            }
            tokio::time::sleep(LOOK).await;
        };
        let index = Index::of(local.clone(), cluster);
        tokio::spawn(agreement::run(local.clone()));
        let backups = Backups::new(index.clone(), Arc::clone(&parts.store));
        let everyone = config.access.anonymous.unwrap_or(Anonymous::Nothing);
        answers.with(Arc::new(Calls { index: index.clone(), everyone, backups: BackupCalls(backups) }));
        let archiver = parts.archiver(&config, &index);
        let archived = archiver.as_ref().map(Archiver::archived);
        archiving = archiver.map(|archiver| archiver.start(&stop));
        let reclaimer = Reclaimer {
            index: index.clone(),
            store: Arc::clone(&parts.store),
            metrics: parts.reclaim_metrics,
            archived,
        };
        let tasks = reclaimer.start(&config, &stop);
        let mut prepared = None;
        loop {
            let term = index.health().map(|health| health.term);
            if index.leads() && prepared != term {
                match prepare(&index, parts.store.as_ref(), &config).await {
                    Ok(()) => prepared = term,
                    // A store that is gone or does not answer may come back; tags and manifests are served meanwhile. One
                    // that is another's never is ours.
                    Err(error) if error.downcast_ref().is_some_and(is_anothers) => bail!(error),
                    Err(error) => {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "could not do what a leader does first; trying again"
                        );
                        tokio::time::sleep(AGAIN).await;
                    }
                }
            }
            if tasks.iter().any(JoinHandle::is_finished) {
                bail!("the reclaimer has ended");
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let ended = stop.run_until_cancelled(work).await.unwrap_or(Ok(()));
    if let Some(archiving) = archiving
        && stop.is_cancelled()
    {
        let _ = archiving.await; // it archives what is left
    }
    ended
}

fn is_anothers(error: &OwnerError) -> bool {
    !matches!(error, OwnerError::Gone { .. } | OwnerError::Store(_))
}

/// What a leader does first: makes sure that the store is the cluster's, and puts the configured policy in force.
async fn prepare(index: &Index, store: &dyn crate::blobs::Store, config: &Config) -> anyhow::Result<()> {
    own(store, index).await?;
    index.set_policy(policy(config)).await?;
    Ok(())
}
