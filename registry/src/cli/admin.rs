//! Speaks to running processes as an administrator: to the index nodes that the configuration names, or to the whole
//! registry on this machine by the socket in its data directory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{peers, socket};
use crate::config::Config;
use crate::index::answer::STATUS;
use crate::index::peers::connection::{CallError, Peer};
use crate::index::peers::dial::{Dial, Socket, resolve};
use crate::index::peers::wire::{Fault, Member, NodeStatus};

/// How long one node may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
const STATUS_PATIENCE: Duration = Duration::from_secs(3);
/// How long to look for a leader.
const NO_LEADER: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(200);

/// The way to the nodes.
pub(super) struct Admin {
    dialer: Arc<dyn Dial>,
    /// The addresses of the nodes that are known from the configuration.
    pub names: Vec<String>,
}

impl Admin {
    pub async fn new(config: &Config) -> anyhow::Result<Self> {
        if config.cluster.index.is_empty() {
            let path = socket::path(&config.server.data);
            if std::os::unix::net::UnixStream::connect(&path).is_err() {
                bail!(
                    "cluster.index names no index nodes, and no registry runs on {} (server.data): name the nodes, or run this where the registry runs",
                    config.server.data.display()
                );
            }
            return Ok(Self { dialer: Arc::new(Socket(path)), names: vec!["self".into()] });
        }
        let dialer = peers::dialer(config, peers::identity(config)?);
        let names = resolve(&config.cluster.index, &config.cluster.addresses).await;
        if names.is_empty() {
            bail!("none of the names in cluster.index is known: {}", config.cluster.index.join(", "));
        }
        Ok(Self { dialer, names })
    }

    pub fn peer(&self, name: &str) -> Peer {
        Peer::new(name, Arc::clone(&self.dialer))
    }

    /// Asks one node.
    pub async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        name: &str,
        path: &str,
        message: &Q,
    ) -> anyhow::Result<A> {
        Ok(self.peer(name).call(path, message, PATIENCE).await?)
    }

    /// Asks the leader, wherever it is.
    pub async fn ask_leader<Q: Serialize, A: DeserializeOwned>(&self, path: &str, message: &Q) -> anyhow::Result<A> {
        let began = Instant::now();
        // Whom a node takes for the leader is asked next, and then the one that comes after it: its word may be wrong.
        let mut hint = None;
        let mut at = 0;
        loop {
            let was_hinted = hint.is_some();
            let name = hint.take().unwrap_or_else(|| {
                at += 1;
                self.names[(at - 1) % self.names.len()].clone()
            });
            let error = match self.peer(&name).call(path, message, PATIENCE).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match &error {
                CallError::Fault { fault: Fault::NotLeader { leader: Some(leader) }, .. } if !was_hinted => {
                    hint = Some(leader.clone());
                }
                CallError::Fault { fault: Fault::NotLeader { .. } | Fault::Empty, .. }
                | CallError::Unreachable { .. } => {}
                _ => return Err(error.into()),
            }
            if began.elapsed() > NO_LEADER {
                return Err(anyhow::Error::from(error).context("no leader was found"));
            }
            if at % self.names.len() == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// How each node is, or why it does not say.
    pub async fn statuses(&self) -> Vec<(String, Result<NodeStatus, String>)> {
        let ask = |name: String| async move {
            let status = self.peer(&name).call::<(), NodeStatus>(STATUS, &(), STATUS_PATIENCE).await;
            (name, status.map_err(|error| error.to_string()))
        };
        let mut known = self.names.clone();
        let mut statuses = futures::future::join_all(known.iter().cloned().map(ask)).await;
        // Members that the configuration does not name are asked too.
        let told: Vec<_> =
            statuses.iter().filter_map(|(_, status)| status.as_ref().ok()).flat_map(|s| &s.members).collect();
        let mut more: Vec<_> = told.into_iter().map(|member| member.name.clone()).collect();
        more.retain(|name| name != "self" && !known.contains(name));
        more.sort();
        more.dedup();
        known.extend(more.clone());
        statuses.extend(futures::future::join_all(more.into_iter().map(ask)).await);
        statuses
    }

    /// The members, as the one who leads knows them.
    pub async fn members(&self) -> anyhow::Result<Vec<Member>> {
        Ok(self.leader_status().await?.members)
    }

    /// How the leader is.
    pub async fn leader_status(&self) -> anyhow::Result<NodeStatus> {
        let began = Instant::now();
        loop {
            let leads = |status: &NodeStatus| status.leader == Some(status.id);
            let statuses = self.statuses().await;
            let found = statuses.iter().filter_map(|(_, status)| status.as_ref().ok()).filter(|status| leads(status));
            if let Some(status) = found.max_by_key(|status| status.term) {
                return Ok(status.clone());
            }
            if began.elapsed() > NO_LEADER {
                let reasons: Vec<_> = statuses
                    .into_iter()
                    .map(|(name, status)| match status {
                        Ok(status) if status.cluster.is_none() => format!("{name} is empty"),
                        Ok(_) => format!("{name} does not lead"),
                        Err(error) => error,
                    })
                    .collect();
                bail!("no leader was found: {}", reasons.join("; "));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The member that a person means: by its id, its address, or the host in its address.
pub(super) fn find<'a>(
    members: &'a [Member],
    text: &str,
    fits: impl Fn(&Member) -> bool,
) -> anyhow::Result<&'a Member> {
    let host = |name: &str| name.rsplit_once(':').map_or(name.to_owned(), |(host, _)| host.to_owned());
    let matches = |member: &&Member| {
        fits(member) && (member.id.to_string() == text || member.name == text || host(&member.name) == text)
    };
    let mut found = members.iter().filter(matches);
    let first = found.next().with_context(|| format!("there is no such member: {text}"))?;
    match found.next() {
        None => Ok(first),
        Some(_) => bail!("{text} is the name of several members: say the id"),
    }
}
