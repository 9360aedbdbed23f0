//! `roadstead serve`: puts the process together, runs it, and takes it apart in order.

mod directory;
mod greeting;
mod open;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::ready::Readiness;
use crate::reclaim::{ReclaimMetrics, Reclaimer};
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

/// Runs the registry until a signal ends it.
pub(super) fn run(config: Config) -> anyhow::Result<()> {
    telemetry::start(&config.log)?;
    raise_file_limit();
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(LAST_MOMENT);
    result
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("could not listen to signals")?;
    let _claim = directory::claim(&config.server.data)?;
    let registry = metrics::registry().context("could not set up the metrics")?;
    telemetry::watch_panics(&registry).context("could not set up the metrics of panics")?;
    let server_metrics = ServerMetrics::register(&registry).context("could not set up the metrics of the server")?;
    let certificates = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => {
            Some(Certificates::load(certificate, key).context("could not set up TLS (tls.certificate, tls.key)")?)
        }
        _ => None,
    };
    let listener = bind(config.server.listen, "server.listen").await?;
    let admin_listener = bind(config.server.admin_listen, "server.admin_listen").await?;
    let address = listener.local_addr().context("could not ask for the address of server.listen")?;
    let admin_address = admin_listener.local_addr().context("could not ask for the address of server.admin_listen")?;

    let drain = Drain::new();
    let admin_drain = Drain::new();
    let limits = Limits::new(&config.server);
    let app = open::open(config, &registry).await?;
    // Before anything writes: a store that belongs to another cluster must not be touched.
    crate::reclaim::claim(app.store.as_ref(), app.index.cluster()).await.context("could not make the store ours")?;
    let reclaimer = Reclaimer {
        index: app.index.clone(),
        store: Arc::clone(&app.store),
        metrics: ReclaimMetrics::register(&registry).context("could not set up the metrics of reclaiming")?,
    };
    let stop_reclaiming = CancellationToken::new();
    let reclaiming = reclaimer.start(&app.config, &stop_reclaiming);
    let readiness = Readiness {
        index: app.index.clone(),
        store: Arc::clone(&app.store),
        drain: drain.clone(),
        data: app.config.server.data.clone(),
        min_free_bytes: app.config.server.min_free_bytes,
    };
    let admin = tokio::spawn(accept::run(
        admin_listener,
        Service {
            handler: Admin { readiness: Arc::new(readiness), metrics: registry },
            limits: Limits { connections: ADMIN_CONNECTIONS, ..limits },
            certificates: None,
            metrics: server_metrics.clone(),
            drain: admin_drain.clone(),
            requests: TaskTracker::new(),
        },
    ));
    let follow = certificates.clone().map(|certificates| tokio::spawn(certificates.follow()));
    let scheme = if certificates.is_some() { "https" } else { "http" };
    let drain_time = Duration::from_secs(app.config.server.drain_seconds);
    let mut clients = tokio::spawn(accept::run(
        listener,
        Service {
            handler: api::Api { app: Arc::clone(&app) },
            limits,
            certificates,
            metrics: server_metrics,
            drain: drain.clone(),
            requests: TaskTracker::new(),
        },
    ));
    greeting::print(scheme, address, admin_address);

    let signal = signals.next().await;
    tracing::info!(
        signal,
        seconds = drain_time.as_secs(),
        "ending: running requests are finished, a second signal ends at once"
    );
    drain.begin();
    let hurried = tokio::select! {
        _ = &mut clients => false,
        () = tokio::time::sleep(drain_time) => true,
        _ = signals.next() => true,
    };
    if hurried {
        tracing::warn!("ending although requests still run");
        drain.give_up();
        let _ = tokio::time::timeout(LAST_MOMENT, clients).await;
    }
    stop_reclaiming.cancel();
    let _ = tokio::time::timeout(LAST_MOMENT, futures::future::join_all(reclaiming)).await;
    if let Some(follow) = follow {
        follow.abort();
    }
    app.index.close().await.context("could not close the index")?;
    admin_drain.begin();
    admin_drain.give_up();
    let _ = tokio::time::timeout(LAST_MOMENT, admin).await;
    tracing::info!("ended");
    Ok(())
}

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("could not listen on {address} ({key})"))
}

/// Each connection and each object being read is a file; the soft limit is often 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "could not raise the limit of open files");
    }
}
