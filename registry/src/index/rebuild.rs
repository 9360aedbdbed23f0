//! A node whose volume cannot be used any more is made again from its peers: under a new id, in the place of its old one.
//!
//! Called by `cli/serve` before and after the node of such a volume is started. What it must never do is to give a volume
//! up that nobody can replace: a member that leads must say that it knows the old id.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{REPLACE, STATUS};
use super::durable;
use super::peers::connection::{CallError, Peer};
use super::peers::dial::Dial;
use super::peers::wire::{Fault, NodeStatus, Replace};

/// Where it is written whose place the node of a new volume takes.
const FILE: &str = "replaces.json";
const PATIENCE: Duration = Duration::from_secs(12);
const STATUS_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);
/// How long the peers of a damaged node may take until one of them leads.
const ELECTED: Duration = Duration::from_secs(10);

/// Whose place a node takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaces {
    pub cluster: String,
    pub node: u64,
    /// Ids that were to take that place, and whose volumes could not be used either.
    #[serde(default)]
    pub between: Vec<u64>,
}

impl Replaces {
    /// Whose place is taken when the volume of `node` cannot be used, which was to take the place of `before`: that one's, as
    /// long as it is a member. The best first.
    pub fn after(before: Option<Self>, cluster: &str, node: u64) -> Vec<Self> {
        let own = Self { cluster: cluster.to_owned(), node, between: Vec::new() };
        let before = before.filter(|before| before.cluster == cluster && before.node != node);
        let before = before.map(|mut before| {
            before.between.push(node);
            before
        });
        before.into_iter().chain([own]).collect()
    }
}

/// Writes beside the volume in `directory` whose place its node will take.
pub fn write(directory: &Path, replaces: &Replaces) -> std::io::Result<()> {
    durable::private(directory)?;
    durable::write(&directory.join(FILE), &serde_json::to_vec_pretty(replaces)?)
}

/// Whose place the node of this volume takes; none when it takes nobody's, or has taken it.
pub fn read(directory: &Path) -> std::io::Result<Option<Replaces>> {
    match std::fs::read(directory.join(FILE)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The first of the places that the node can take. Its peers may just have been started, too: they get time to elect a leader.
pub async fn first_possible(dialer: &Arc<dyn Dial>, names: &[String], places: Vec<Replaces>) -> Option<Replaces> {
    let deadline = tokio::time::Instant::now() + ELECTED;
    loop {
        for replaces in &places {
            if is_possible(dialer, names, replaces).await {
                return Some(replaces.clone());
            }
        }
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether there is a cluster that the node can be made again from: a leader of it that knows the old id. What others say of
/// a leader does not count: they remember one that is gone for good.
async fn is_possible(dialer: &Arc<dyn Dial>, names: &[String], replaces: &Replaces) -> bool {
    for name in names {
        let peer = Peer::new(name, Arc::clone(dialer));
        if let Ok(status) = peer.call::<(), NodeStatus>(STATUS, &(), STATUS_PATIENCE).await
            && status.cluster.as_deref() == Some(&replaces.cluster)
            && status.leader == Some(status.id)
            && status.id != replaces.node
            && status.members.iter().any(|member| member.id == replaces.node)
        {
            return true;
        }
    }
    false
}

/// Asks the leader for the place of the old id until the new one has it.
pub async fn take_place(dialer: Arc<dyn Dial>, names: Vec<String>, replace: Replace, directory: &Path) {
    let mut names = names;
    let mut at = 0;
    let mut said = String::new();
    loop {
        let peer = Peer::new(&names[at % names.len()], Arc::clone(&dialer));
        at += 1;
        match peer.call::<_, ()>(REPLACE, &replace, PATIENCE).await {
            Ok(()) => {
                if let Err(error) = std::fs::remove_file(directory.join(FILE)) {
                    tracing::warn!(%error, "could not remove {FILE}");
                }
                tracing::info!(old = replace.old, new = replace.new, "this node has been made again from its peers");
                return;
            }
            Err(CallError::Fault { fault: Fault::NotLeader { leader: Some(leader) }, .. }) => {
                at = names.iter().position(|name| *name == leader).unwrap_or_else(|| {
                    names.push(leader);
                    names.len() - 1
                });
            }
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::info!(reason = text, "waiting for the place of the old node");
                    said = text;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
