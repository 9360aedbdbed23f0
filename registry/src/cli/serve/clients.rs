//! A process that serves clients: the whole registry, or one whose index is elsewhere.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{LAST_MOMENT, Process, bind, greeting};
use crate::api::calls::Calls;
use crate::cli::open::{self, Opened};
use crate::cli::peers;
use crate::config::{Anonymous, Config, Role};
use crate::index::Index;
use crate::index::archive::backups::Backups;
use crate::index::archive::calls::BackupCalls;
use crate::metrics::CertificateMetrics;
use crate::ready::{IndexNeed, Needs};
use crate::server::accept::{self, Service};
use crate::server::api;
use crate::server::drain::{Drain, Signals};
use crate::server::tls::Certificates;

/// How often we look whether the index still runs.
const HEALTH_LOOK: Duration = Duration::from_secs(1);

/// Serves clients until a signal ends the process.
pub(super) async fn serve(mut process: Process, config: Config) -> anyhow::Result<()> {
    let certificates = certificates(&config)?;
    // The address is taken first: what is wrong with it shows before a long replay.
    let listener = bind(config.server.listen, "server.listen").await?;
    let address = listener.local_addr().context("could not ask for the address of server.listen")?;
    let identity = if config.server.role == Role::Registry { Some(peers::identity(&config)?) } else { None };
    CertificateMetrics::register(&process.registry, identity.clone(), certificates.clone())
        .context("could not set up the metrics of certificates")?;
    let handler = api::Api::default();
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let service = Service {
        handler: handler.clone(),
        limits: process.limits,
        certificates: certificates.clone(),
        metrics: process.server_metrics.clone(),
        drain: process.drain.clone(),
        requests: TaskTracker::new(),
    };
    // Without an index a client is told so, however long it takes to find one; a registry that only reads its own volume
    // lets it wait.
    let early = config.server.role == Role::Registry;
    let (opened_now, is_open) = tokio::sync::oneshot::channel::<()>();
    let clients = tokio::spawn(async move {
        if early || is_open.await.is_ok() {
            accept::run(listener, service).await;
        }
    });
    let opening = async {
        match identity {
            Some(identity) => open::open_remote(config, &process.registry, identity).await,
            None => open::open(config, &process.registry).await,
        }
    };
    let opened: Opened = tokio::select! {
        opened = opening => opened?,
        signal = process.signals.next() => {
            tracing::info!(signal, "ended before it had started");
            return Ok(());
        }
    };
    let app = Arc::clone(&opened.app);
    let here = app.index.local().is_some();
    process.readiness.started(Needs {
        index: IndexNeed::Index(app.index.clone()),
        store: Arc::clone(&app.store),
        volume: here.then(|| (app.config.server.data.clone(), app.config.server.min_free_bytes)),
    });

    let stop_background = CancellationToken::new();
    let mut background = match opened.reclaimer {
        Some(reclaimer) => reclaimer.start(&app.config, &stop_background),
        None => Vec::new(),
    };
    background.extend(opened.archiver.map(|archiver| archiver.start(&stop_background)));
    if let Some(socket) = opened.socket {
        let backups = Backups::new(app.index.clone(), Arc::clone(&app.store));
        let everyone = app.config.access.anonymous.unwrap_or(Anonymous::Delete);
        socket.answers.with(Arc::new(Calls { index: app.index.clone(), everyone, backups: BackupCalls(backups) }));
        background.push(tokio::spawn(socket.serve(stop_background.clone())));
    }
    if let Some(certificates) = certificates {
        let stop = stop_background.clone();
        background.push(tokio::spawn(async move {
            stop.run_until_cancelled(certificates.follow()).await;
        }));
    }
    handler.begin(Arc::clone(&app));
    let _ = opened_now.send(()); // nobody waits for it in a process that listens already
    greeting::print(scheme, address, process.admin_address);

    let ended = tokio::select! {
        signal = process.signals.next() => {
            tracing::info!(signal, "ending: running requests are finished; a second signal ends at once");
            Ok(())
        }
        reason = stopped(&app.index) => Err(anyhow::anyhow!("the index stopped: {reason}")),
    };
    finish(clients, &process.drain, Duration::from_secs(app.config.server.drain_seconds), &mut process.signals).await;
    stop_background.cancel();
    let _ = tokio::time::timeout(LAST_MOMENT, futures::future::join_all(background)).await;
    // Of two failures the first is the one to look at.
    let ended = ended.and(app.index.close().await.context("could not close the index"));
    process.end().await;
    ended
}

fn certificates(config: &Config) -> anyhow::Result<Option<Certificates>> {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Certificates::load(certificate, key, config.tls.client_ca.as_deref())
            .map(Some)
            .context("could not set up TLS (tls.certificate, tls.key, tls.client_ca)"),
        _ => Ok(None),
    }
}

/// Waits until the index has stopped for good, and says why: the process can do nothing without it, and a new one may.
async fn stopped(index: &Index) -> String {
    loop {
        if let Some(reason) = index.stopped() {
            return reason;
        }
        tokio::time::sleep(HEALTH_LOOK).await;
    }
}

/// Lets running requests finish for at most `time`, or until another signal comes.
async fn finish(mut clients: JoinHandle<()>, drain: &Drain, time: Duration, signals: &mut Signals) {
    drain.begin();
    tokio::select! {
        _ = &mut clients => return,
        () = tokio::time::sleep(time) => {}
        _ = signals.next() => {}
    }
    tracing::warn!("ending although requests still run");
    drain.give_up();
    let _ = tokio::time::timeout(LAST_MOMENT, clients).await;
}
