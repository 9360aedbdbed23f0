//! `roadstead serve`: puts the process together by its role, runs it, and takes it apart in order.

mod clients;
mod greeting;
mod node;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Role};
use crate::ready::Readiness;
use crate::server::Limits;
use crate::server::accept::{self, Service};
use crate::server::admin::Admin;
use crate::server::drain::{Drain, Signals};
use crate::server::metrics::ServerMetrics;
use crate::{metrics, telemetry};

/// Connections that the admin listener serves at once.
const ADMIN_CONNECTIONS: usize = 64;
/// What connections and background work get to end after they were told that it is over.
const LAST_MOMENT: Duration = Duration::from_secs(2);

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
    anyhow::ensure!(
        config.server.role != Role::All || config.cluster.index.is_empty(),
        "cluster.index names index nodes, and server.role is \"all\", a registry of its own: set server.role to \"index\" or \
         \"registry\", or leave cluster.index out"
    );
    let process = Process::start(&config).await?;
    match config.server.role {
        Role::All | Role::Registry => Box::pin(clients::serve(process, config)).await,
        Role::Index => Box::pin(node::serve(process, config)).await,
    }
}

/// What a process of each role has: signals, metrics, and a listener that says how it is.
struct Process {
    signals: Signals,
    registry: Registry,
    server_metrics: ServerMetrics,
    limits: Limits,
    drain: Drain,
    readiness: Arc<Readiness>,
    admin_address: SocketAddr,
    admin_drain: Drain,
    admin: JoinHandle<()>,
}

impl Process {
    async fn start(config: &Config) -> anyhow::Result<Self> {
        let signals = Signals::new().context("could not listen to signals")?;
        let registry = metrics::registry().context("could not set up the metrics")?;
        telemetry::watch_panics(&registry).context("could not set up the metrics of panics")?;
        let server_metrics =
            ServerMetrics::register(&registry).context("could not set up the metrics of the server")?;
        let limits = limits(config);
        let listener = bind(config.server.admin_listen, "server.admin_listen").await?;
        let admin_address = listener.local_addr().context("could not ask for the address of server.admin_listen")?;
        let (drain, admin_drain) = (Drain::new(), Drain::new());
        let readiness = Arc::new(Readiness::new(drain.clone()));
        // Answers from here on, so that a long start does not look like a dead process.
        let service = Service {
            handler: Admin { readiness: Arc::clone(&readiness), metrics: registry.clone() },
            limits: Limits { connections: ADMIN_CONNECTIONS, ..limits },
            certificates: None,
            metrics: server_metrics.clone(),
            drain: admin_drain.clone(),
            requests: TaskTracker::new(),
        };
        let admin = tokio::spawn(accept::run(listener, service));
        Ok(Self { signals, registry, server_metrics, limits, drain, readiness, admin_address, admin_drain, admin })
    }

    /// The last thing to end: until then it says how the end goes on.
    async fn end(self) {
        self.admin_drain.begin();
        self.admin_drain.give_up();
        let _ = tokio::time::timeout(LAST_MOMENT, self.admin).await;
        tracing::info!("ended");
    }
}

async fn bind(address: std::net::SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("could not listen on {address}: set {key} to an address of this machine whose port is free")
    })
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
