//! What nodes of the cluster are told of a registry: one directory `certs.d/<host>/` on each, written by a DaemonSet in a
//! namespace of its own. [`objects`] is the operator's part, [`agent`] runs on the nodes, [`snippet`] is for systems whose
//! nodes are configured by their vendor's way.

pub mod agent;
pub mod directory;
pub mod hosts;
pub mod objects;
pub mod runtime;
pub mod snippet;

use serde::{Deserialize, Serialize};

/// On the pod of an agent: what it says of its node.
pub const REPORT: &str = "roadstead.dev/node-report";

/// What an agent says of its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether the node was told, and its runtime listens.
    pub ok: bool,
    /// What is wrong, or where the node is sent.
    pub message: String,
    /// The SHA-256 of the authorities that it trusts.
    #[serde(default)]
    pub trust: String,
}
