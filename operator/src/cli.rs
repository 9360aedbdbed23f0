//! The command line of the operator: `run`, `crd`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kube::Client;
use kube::client::ClientBuilder;
use kube::runtime::events::Reporter;
use roadstead::config::{Log, LogFormat};

use crate::access::door::Doors;
use crate::apply::Applier;
use crate::build::Surroundings;
use crate::controller::{self, Operator};
use crate::crd::{reference, schema};
use crate::events::Events;
use crate::health;
use crate::lease::Holder;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::names::MANAGER;
use crate::nodes::agent::{self, AgentArgs};
use crate::nodes::objects;
use crate::nodes::snippet::{self, SnippetArgs};
use crate::optional::Optional;
use crate::probe::{self, ProbeArgs};
use crate::report::{self, ReportArgs};
use crate::rights;
use crate::shares::Shares;
use crate::turns::Turns;
use crate::watches;

/// How often it is asked which optional kinds there are.
const LOOK: std::time::Duration = std::time::Duration::from_mins(1);

#[derive(Debug, Parser)]
#[command(name = "roadstead-operator", version, about = "Runs Roadstead registries in Kubernetes")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make the clusters run what their Registries say.
    Run(RunArgs),
    /// Print the kinds of Roadstead.
    Crd(CrdArgs),
    /// Print the template of the chart that has the rights of the operator, with the reason for each.
    Rights,
    /// Print what to tell nodes of a system that is configured by its vendor's way.
    Snippet(SnippetArgs),
    /// Gather everything about a registry into one file, without secrets.
    Report(ReportArgs),
    /// Push a small image to a registry and pull it again.
    Probe(ProbeArgs),
    /// Run on a node, and lead its container runtime to a registry.
    NodeTrust(AgentArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The image of registries that name none: that of this release.
    #[arg(long, env = "ROADSTEAD_IMAGE")]
    image: String,
    /// The namespace of the operator itself, where its lease is.
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// Who this is among several operators.
    #[arg(long, env = "POD_NAME")]
    identity: String,
    /// Where the operator is, which says whether the cluster has addresses of version 6.
    #[arg(long, env = "POD_IP", default_value = "127.0.0.1")]
    address: String,
    /// The namespace for pods that write on nodes; without it nodes are told nothing.
    #[arg(long, env = "NODES_NAMESPACE")]
    nodes: Option<String>,
    /// Host names that registries may have nodes sent to; `.example.com` stands for all below, `namespace/` before one
    /// is for registries of that namespace alone.
    #[arg(long, env = "NODES_HOSTNAMES", value_delimiter = ',')]
    nodes_hostnames: Vec<String>,
    /// Directories of the container runtimes of nodes where nodes may be told.
    #[arg(long, env = "NODES_CERTS_DIRECTORIES", value_delimiter = ',', default_value = "/etc/containerd/certs.d")]
    nodes_certs_directories: Vec<String>,
    /// Namespaces whose Registries are run; without it all.
    #[arg(long, env = "WATCH_NAMESPACES", value_delimiter = ',')]
    watch: Vec<String>,
    /// Where health and metrics are.
    #[arg(long, env = "LISTEN", default_value = "[::]:8080")]
    listen: SocketAddr,
    /// What is logged, as in `info,roadstead_operator=debug`.
    #[arg(long, env = "LOG_FILTER", default_value = "info")]
    log: String,
}

#[derive(Debug, Args)]
struct CrdArgs {
    /// Write a file for each kind into this directory, instead of all to stdout.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
    /// Print the reference of all fields instead.
    #[arg(long, conflicts_with = "dir")]
    reference: bool,
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let result = match Cli::parse().verb {
        Verb::Run(args) => start(args),
        Verb::Crd(args) => crd(&args),
        Verb::Rights => {
            print!("{}", rights::template());
            Ok(())
        }
        Verb::Snippet(args) => snippet::text(&args).map(|text| print!("{text}")),
        Verb::Report(args) => once(report::run(args)),
        Verb::Probe(args) => once(probe::run(args)),
        Verb::NodeTrust(args) => trust(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("roadstead-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn crd(args: &CrdArgs) -> anyhow::Result<()> {
    if args.reference {
        print!("{}", reference::page().context("could not write the reference")?);
        return Ok(());
    }
    for (name, text) in schema::files().context("could not write the kinds")? {
        match &args.dir {
            Some(dir) => {
                let path = dir.join(name);
                std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
            }
            None => print!("---\n{text}"),
        }
    }
    Ok(())
}

fn trust(args: AgentArgs) -> anyhow::Result<()> {
    roadstead::telemetry::start(&Log { format: LogFormat::Json, filter: "info".into(), audit: None })?;
    once(agent::run(args, terminated()))
}

/// What needs no more than one thread.
fn once(what: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // said twice it stays
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start the runtime")?;
    runtime.block_on(what)
}

fn start(args: RunArgs) -> anyhow::Result<()> {
    roadstead::telemetry::start(&Log { format: LogFormat::Json, filter: args.log.clone(), audit: None })?;
    let runtime = tokio::runtime::Runtime::new().context("could not start the runtime")?;
    runtime.block_on(operate(args))
}

async fn operate(args: RunArgs) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // said twice it stays
    let metrics = Metrics::new().context("could not set up the metrics")?;
    let client = client(&metrics).await.context("could not find the way to the API server")?;
    let health = tokio::spawn(health::serve(args.listen, metrics.registry.clone()));
    let holder = Holder::new(client.clone(), &args.namespace, args.identity.clone());
    tracing::info!(identity = args.identity, "waiting for the lease");
    tokio::select! {
        () = holder.acquire() => {}
        ended = health => return ended.context("health ended")?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
        () = terminated() => return Ok(()),
    }
    metrics.leads.set(1);
    tracing::info!(identity = args.identity, "this operator acts");
    let nodes = args.nodes.filter(|namespace| !namespace.is_empty());
    let optional = Optional::default();
    optional.look(&client).await;
    let operator = Operator {
        applier: Arc::new(Applier::new(client.clone())),
        events: Arc::new(Events::new(
            client.clone(),
            Reporter { controller: MANAGER.into(), instance: Some(args.identity) },
        )),
        metrics,
        memory: Memory::default(),
        turns: Arc::new(Turns::new(Instant::now())),
        doors: Doors::default(),
        optional: optional.clone(),
        around: Surroundings {
            image: args.image,
            namespace: args.namespace,
            nodes: nodes.clone(),
            hostnames: args.nodes_hostnames,
            certs_directories: args.nodes_certs_directories,
            is_ipv6: args.address.contains(':'),
        },
        client: client.clone(),
        shares: Shares::default(),
    };
    let looking = async {
        loop {
            if let Some(nodes) = &nodes
                && let Err(error) = objects::sweep(&client, nodes).await
            {
                tracing::warn!(%error, "could not look for what nodes were told of registries that are gone");
            }
            tokio::time::sleep(LOOK).await;
            optional.look(&client).await;
        }
    };
    let watch: Vec<String> = args.watch.into_iter().filter(|namespace| !namespace.is_empty()).collect();
    let running = async {
        watches::kinds(&client).await;
        controller::run(operator, &watch).await;
    };
    tokio::select! {
        () = running => {
            holder.release().await;
            Ok(())
        }
        () = holder.keep() => anyhow::bail!("the lease was lost: another operator acts"),
        () = looking => Ok(()),
    }
}

/// The way to the API server, on which writes are counted.
async fn client(metrics: &Metrics) -> anyhow::Result<Client> {
    let config = kube::Config::infer().await?;
    let writes = metrics.api_writes.clone();
    let count = tower::util::MapRequestLayer::new(move |request: http::Request<_>| {
        if request.method() != http::Method::GET && request.method() != http::Method::HEAD {
            writes.with_label_values(&[request.method().as_str()]).inc();
        }
        request
    });
    Ok(ClientBuilder::try_from(config)?.with_layer(&count).build())
}

async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}
