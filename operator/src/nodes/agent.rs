//! Runs on each node: keeps the directory of one registry as it should be, and says on its own pod how the node is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use roadstead::metrics::sum_of;
use serde_json::json;

use super::directory::{CA, Directory, DirectoryError};
use super::hosts::Hosts;
use super::objects::{said_of, set_of};
use super::runtime::{Listens, listens};
use super::{REPORT, Report};
use crate::names::Names;

/// How often it is looked whether what the node was told is still so.
const LOOK: Duration = Duration::from_secs(10);
/// What happens at the end must happen before kubelet ends the process.
const LAST: Duration = Duration::from_secs(5);

/// What an agent is told.
#[derive(Clone, Debug, Args)]
pub struct AgentArgs {
    /// The Registry, `namespace/name`.
    #[arg(long)]
    registry: String,
    /// The host name in images.
    #[arg(long)]
    host: String,
    /// The Service, `host:port`, to whose address nodes are sent; without it they go to the host name.
    #[arg(long)]
    service: Option<String>,
    /// The file with the authorities to trust, if the node does not trust them anyway.
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Where the runtime of the node looks, as the node sees it.
    #[arg(long)]
    certs_directory: String,
    /// The same, as this process sees it.
    #[arg(long, default_value = "/host/certs.d")]
    directory: PathBuf,
    /// The configuration of containerd, as this process sees it.
    #[arg(long, default_value = "/host/runtime/config.toml")]
    runtime: PathBuf,
    /// This agent's DaemonSet: when it is gone, so is what was written.
    #[arg(long, env = "DAEMON_SET")]
    daemon_set: String,
    #[arg(long, env = "POD_NAME")]
    pod: String,
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
}

/// Runs until it is told to end.
pub async fn run(args: AgentArgs, ended: impl Future<Output = ()>) -> anyhow::Result<()> {
    let client = Client::try_default().await?;
    let directory = Directory::new(&args.directory, &args.host, &args.registry);
    let pods = Api::<Pod>::namespaced(client.clone(), &args.namespace);
    let mut said: Option<Report> = None;
    let keeping = async {
        loop {
            let report = keep(&client, &args, &directory).await;
            if said.as_ref() != Some(&report) {
                tracing::info!(host = args.host, ok = report.ok, message = report.message, "the node was looked at");
                let patch = json!({ "metadata": { "annotations": { REPORT: json!(report).to_string() } } });
                match pods.patch_status(&args.pod, &PatchParams::default(), &Patch::Merge(patch)).await {
                    Ok(_) => said = Some(report),
                    Err(error) => tracing::warn!(%error, "could not report on the node"),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = keeping => {}
        () = ended => {}
    }
    if is_uninstalled(&client, &args).await {
        directory.remove()?;
        tracing::info!(host = args.host, "the node was told to forget the registry");
    }
    Ok(())
}

async fn keep(client: &Client, args: &AgentArgs, directory: &Directory) -> Report {
    match told(client, args, directory).await {
        Ok(report) => report,
        Err(error) => Report { ok: false, message: format!("{error:#}"), trust: String::new() },
    }
}

/// Tells the node where the registry is and whom to trust.
async fn told(client: &Client, args: &AgentArgs, directory: &Directory) -> anyhow::Result<Report> {
    if let Err(DirectoryError::OfAnother { whose, .. }) = directory.check()
        && is_no_more(client, args, &whose).await
    {
        tracing::info!(host = args.host, whose, "the directory was of a Registry that is no more");
        directory.succeed()?;
    }
    let ca = match &args.ca {
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("the authorities in {} cannot be read: {error}", path.display()))?,
        ),
        None => None,
    };
    // Whom to trust does not wait for anything: a renewal counts on it.
    if let Some(ca) = &ca {
        directory.trust(ca)?;
    }
    let mut targets = Vec::new();
    if let Some(service) = &args.service {
        let port = service.rsplit_once(':').map_or("443", |(_, port)| port);
        let found = tokio::net::lookup_host(service).await;
        let found =
            found.map_err(|error| anyhow::anyhow!("the name {service} is not known to the cluster's DNS: {error}"))?;
        targets = found.map(|address| format!("https://{}:{port}", bracketed(address.ip()))).collect();
        targets.sort();
        targets.dedup();
        anyhow::ensure!(!targets.is_empty(), "the Service {service} has no address");
    }
    let hosts = Hosts {
        registry: args.registry.clone(),
        host: args.host.clone(),
        targets: targets.clone(),
        ca: ca.as_ref().map(|_| format!("{}/{}/{CA}", args.certs_directory.trim_end_matches('/'), args.host)),
    };
    directory.write(&hosts.text(), ca.as_deref()).map_err(anyhow::Error::from)?;
    let trust = ca.as_ref().map(|ca| sum_of(ca.as_bytes())).unwrap_or_default();
    let config = std::fs::read_to_string(&args.runtime).ok();
    Ok(match listens(config.as_deref(), &args.certs_directory) {
        Listens::Yes => Report { ok: true, message: format!("sent to {}", targets.join(", ")), trust },
        // Written all the same: some runtimes look there without being told in this file.
        Listens::Unknown(why) => Report { ok: true, message: why, trust },
        Listens::No(why) => Report { ok: false, message: why, trust },
    })
}

fn bracketed(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(four) => four.to_string(),
        std::net::IpAddr::V6(six) => format!("[{six}]"),
    }
}

/// Whether no node is told any more of another Registry, `namespace/name`, under this host and here. This one was off when the
/// others were told to forget it.
async fn is_no_more(client: &Client, args: &AgentArgs, whose: &str) -> bool {
    let Some((namespace, name)) = whose.split_once('/') else { return false };
    let names = Names { namespace: namespace.to_owned(), name: name.to_owned() };
    let sets = Api::<DaemonSet>::namespaced(client.clone(), &args.namespace);
    match tokio::time::timeout(LAST, sets.get_opt(&set_of(&names))).await {
        Ok(Ok(set)) => set.is_none_or(|set| !is_told_here(&set, args)),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Whether a DaemonSet is for this agent's host and directory.
fn is_told_here(set: &DaemonSet, args: &AgentArgs) -> bool {
    let said = said_of(set);
    said.host == Some(&args.host) && said.directory == Some(&args.certs_directory)
}

/// Whether this agent ends for good. One that is merely made anew leaves everything as it is: nodes pull meanwhile. Without
/// its rights the whole installation goes.
async fn is_uninstalled(client: &Client, args: &AgentArgs) -> bool {
    let sets = Api::<DaemonSet>::namespaced(client.clone(), &args.namespace);
    match tokio::time::timeout(LAST, sets.get_opt(&args.daemon_set)).await {
        Ok(Ok(None)) => true,
        // One of the same name may be for another directory by now; if it is for this one, its agents go on.
        Ok(Ok(Some(set))) => set.metadata.deletion_timestamp.is_some() || !is_told_here(&set, args),
        Ok(Err(kube::Error::Api(status))) => matches!(status.code, 401 | 403),
        Ok(Err(_)) | Err(_) => false,
    }
}
