//! `roadstead serve`: puts the process together, runs it, and takes it apart in order.

mod greeting;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::open;
use crate::config::Config;
use crate::index::Index;
use crate::ready::{Needs, Readiness};
use crate::server::accept::{self, Service};
use crate::server::admin::Admin;
use crate::server::drain::{Drain, Signals};
use crate::server::metrics::ServerMetrics;
use crate::server::tls::Certificates;
use crate::server::{Limits, api};
use crate::{metrics, telemetry};

/// Connections that the admin listener serves at once.
const ADMIN_CONNECTIONS: usize = 64;
/// What connections and background work get to end after they were told that it is over.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// How often we look whether the index still runs.
const HEALTH_LOOK: Duration = Duration::from_secs(1);

/// Files that are no connections: those of the index, objects being read or written.
const OTHER_FILES: u64 = 256;

/// Runs the registry until a signal ends it.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(LAST_MOMENT);
    result
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("could not listen to signals")?;
    let registry = metrics::registry().context("could not set up the metrics")?;
    telemetry::watch_panics(&registry).context("could not set up the metrics of panics")?;
    let server_metrics = ServerMetrics::register(&registry).context("could not set up the metrics of the server")?;
    let certificates = certificates(&config)?;
    let limits = limits(&config);
    // Addresses are taken first: what is wrong with them shows before a long replay.
    let listener = bind(config.server.listen, "server.listen").await?;
    let admin_listener = bind(config.server.admin_listen, "server.admin_listen").await?;
    let address = listener.local_addr().context("could not ask for the address of server.listen")?;
    let admin_address = admin_listener.local_addr().context("could not ask for the address of server.admin_listen")?;

    let drain = Drain::new();
    let admin_drain = Drain::new();
    let readiness = Arc::new(Readiness::new(drain.clone()));
    // Answers from here on, so that a long start does not look like a dead process.
    let admin = tokio::spawn(accept::run(
        admin_listener,
        Service {
            handler: Admin { readiness: Arc::clone(&readiness), metrics: registry.clone() },
            limits: Limits { connections: ADMIN_CONNECTIONS, ..limits },
            certificates: None,
            metrics: server_metrics.clone(),
            drain: admin_drain.clone(),
            requests: TaskTracker::new(),
        },
    ));
    let opened = tokio::select! {
        opened = open::open(config, &registry) => opened?,
        signal = signals.next() => {
            tracing::info!(signal, "ended before it had started");
            return Ok(());
        }
    };
    let app = &opened.app;
    readiness.started(Needs {
        index: app.index.clone(),
        store: Arc::clone(&app.store),
        data: app.config.server.data.clone(),
        min_free_bytes: app.config.server.min_free_bytes,
    });

    let stop_background = CancellationToken::new();
    let mut background = opened.reclaimer.start(&app.config, &stop_background);
    background.extend(opened.archiver.map(|archiver| archiver.start(&stop_background)));
    if let Some(certificates) = certificates.clone() {
        let stop = stop_background.clone();
        background.push(tokio::spawn(async move {
            stop.run_until_cancelled(certificates.follow()).await;
        }));
    }
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let clients = Service {
        handler: api::Api { app: Arc::clone(app) },
        limits,
        certificates,
        metrics: server_metrics,
        drain: drain.clone(),
        requests: TaskTracker::new(),
    };
    let clients = tokio::spawn(accept::run(listener, clients));
    greeting::print(scheme, address, admin_address);

    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "ending: running requests are finished; a second signal ends at once");
            Ok(())
        }
        reason = stopped(&app.index) => Err(anyhow::anyhow!("the index stopped: {reason}")),
    };
    finish(clients, &drain, Duration::from_secs(app.config.server.drain_seconds), &mut signals).await;
    stop_background.cancel();
    let _ = tokio::time::timeout(LAST_MOMENT, futures::future::join_all(background)).await;
    // Of two failures the first is the one to look at.
    let ended = ended.and(app.index.close().await.context("could not close the index"));
    admin_drain.begin();
    admin_drain.give_up();
    let _ = tokio::time::timeout(LAST_MOMENT, admin).await;
    tracing::info!("ended");
    ended
}

fn certificates(config: &Config) -> anyhow::Result<Option<Certificates>> {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => {
            Certificates::load(certificate, key).map(Some).context("could not set up TLS (tls.certificate, tls.key)")
        }
        _ => Ok(None),
    }
}

/// Waits until the index has stopped for good, and says why: the process can do nothing without it, and a new one may.
async fn stopped(index: &Index) -> String {
    loop {
        if let Some(reason) = index.health().node.stopped {
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

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address} ({key})"))
}

/// What the configuration allows, as far as the system does too: each connection is an open file.
fn limits(config: &Config) -> Limits {
    let mut limits = Limits::new(&config.server);
    let places = raise_file_limit().map_or(usize::MAX, |files| files.saturating_sub(OTHER_FILES).max(1) as usize);
    if places < limits.connections {
        let wanted = limits.connections;
        tracing::warn!(wanted, places, "fewer connections than server.max_connections: raise the limit of open files");
        limits.connections = places;
    }
    limits
}

/// Raises the soft limit of open files, which is often 1024, to the hard one, and gives it; none: there is no limit.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "could not raise the limit of open files");
    }
    getrlimit(Resource::Nofile).current
}
