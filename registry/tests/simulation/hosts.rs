//! What runs on a simulated host: an index node or a registry process, put together as `cli/serve` does it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use roadstead::app::App;
use roadstead::config::Config;
use roadstead::http::{Connection, HttpMetrics, handle};
use roadstead::index::answer::Answers;
use roadstead::index::clock::Wall;
use roadstead::index::command::{Policy, Time};
use roadstead::index::local::{self, Local};
use roadstead::index::metrics::IndexMetrics;
use roadstead::index::peers::Role;
use roadstead::index::peers::listen;
use roadstead::index::query::GetStatus;
use roadstead::index::raft::types::Runtime;
use roadstead::index::raft::{Node, NodeOptions};
use roadstead::index::remote::{Remote, RemoteOptions};
use roadstead::index::space::Space;
use roadstead::index::{Index, agreement};
use roadstead::reclaim::{self, ReclaimMetrics, Reclaimer};
use tokio_util::sync::CancellationToken;
use turmoil::net::TcpListener;

use super::network::{CLIENTS, PEERS, SimulatedDial, SimulatedListener};
use super::store::SimulatedStore;

/// When simulated time begins, in milliseconds since 1970.
const BEGIN: u64 = 1_790_000_000_000;
pub const GRACE: u64 = 5_000;

pub type Ended = Result<(), Box<dyn std::error::Error>>;

/// The clock of a host, `skew` milliseconds wrong.
fn wall(skew: i64) -> Wall {
    Arc::new(move || {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64;
        Time((BEGIN + elapsed).saturating_add_signed(skew))
    })
}

pub fn address(host: &str) -> String {
    format!("{host}:{PEERS}")
}

fn policy() -> Policy {
    Policy { grace: GRACE, reader_pause: 2_000, ..Policy::default() }
}

/// An index node. It may be crashed at any moment and started again on the same directory.
pub async fn index(id: u64, name: String, directory: PathBuf, store: SimulatedStore, skew: i64, seed: u64) -> Ended {
    let metrics = prometheus::Registry::new();
    let index_metrics = IndexMetrics::register(&metrics)?;
    let options = NodeOptions {
        directory: directory.clone(),
        dialer: Some(Arc::new(SimulatedDial)),
        election: 600,
        snapshot_entries: 60,
        id: Some(id),
    };
    let node = loop {
        // The database of a crashed host is let go by threads that are not simulated.
        match Runtime::scope(seed, Node::start(&options, &index_metrics)).await {
            Ok(node) => break node,
            Err(error) if error.to_string().contains("ock") => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(format!("{error}: {:?}", std::error::Error::source(&error)).into()),
        }
    };
    let local = Local::new(node, index_metrics, Space::new(&directory, 0), false, wall(skew))?;
    let answers = Arc::new(Answers::new(local.clone(), &address(&name)));
    let listener = SimulatedListener::bind(PEERS, Role::Index).await?;
    tokio::spawn(listen::run(listener, answers, CancellationToken::new()));
    // Where an administrator speaks to the node.
    let answers = Arc::new(Answers::new(local.clone(), &address(&name)));
    let listener = SimulatedListener::bind(PEERS + 1, Role::Admin).await?;
    tokio::spawn(listen::run(listener, answers, CancellationToken::new()));

    let cluster = loop {
        if let Some(cluster) = local::answer(local.node(), &GetStatus)?.cluster {
            break cluster;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::spawn(agreement::run(local.clone()));
    let index = Index::of(local.clone(), cluster);
    let reclaimer = Reclaimer {
        index: index.clone(),
        store: Arc::new(store.clone()),
        metrics: ReclaimMetrics::register(&metrics)?,
        archived: None,
    };
    let mut config = Config::default();
    config.reclaim.interval_seconds = 1;
    config.blobs.scrub_days = 0;
    let _tasks = reclaimer.start(&config, &CancellationToken::new());
    let mut prepared = None;
    loop {
        let health = local.node().health();
        if let Some(reason) = health.stopped {
            return Err(format!("{name} stopped: {reason}").into());
        }
        if index.leads() && prepared != Some(health.term) {
            let done = async {
                reclaim::claim(&store, index.cluster()).await?;
                index.set_policy(policy()).await?;
                Ok::<_, anyhow::Error>(())
            };
            if done.await.is_ok() {
                prepared = Some(health.term);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A registry process: keeps nothing.
pub async fn registry(number: usize, nodes: Vec<String>, store: SimulatedStore) -> Ended {
    let metrics = prometheus::Registry::new();
    let options = RemoteOptions {
        index: nodes.clone(),
        addresses: nodes
            .iter()
            .map(|name| (name.clone(), SocketAddr::from(([127, 0, 0, 1], 1))))
            .collect::<BTreeMap<_, _>>(),
        dialer: Arc::new(SimulatedDial),
        held_bytes: 0, // what the cache holds depends on threads that are not simulated
        first: number,
    };
    let (remote, cluster) = Remote::connect(options, IndexMetrics::register(&metrics)?).await;
    let mut config = Config::default();
    config.blobs.inline_limit = 0;
    config.reclaim.grace_seconds = GRACE / 1000;
    let auth = roadstead::auth::authenticate::Authenticator::new(&config.access)?;
    let app = Arc::new(App {
        config,
        audit: roadstead::http::audit::AuditLog::off(),
        auth,
        index: Index::behind(remote, cluster),
        store: Arc::new(store),
        metrics: HttpMetrics::register(&metrics)?,
    });
    let listener = TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), CLIENTS)).await?;
    loop {
        let (socket, peer) = listener.accept().await?;
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let app = Arc::clone(&app);
                async move {
                    Ok::<_, std::convert::Infallible>(
                        handle(app, request, Connection { peer, tls: false, certificate: None }).await,
                    )
                }
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .auto_date_header(false)
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
