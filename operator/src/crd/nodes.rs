//! What nodes of the cluster are told of a registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What nodes of the cluster are told of a registry.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// Each node gets one directory, `certs.d/<hostname>/`, that leads its container runtime to this registry and makes it trust its authority.
    #[serde(default)]
    pub trust: bool,
    /// Where the container runtime of the nodes looks for such directories.
    #[serde(default = "certs_d")]
    #[schemars(regex(pattern = r"^/[-._/a-zA-Z0-9]*/certs\.d$"))]
    pub certs_directory: String,
}

fn certs_d() -> String {
    "/etc/containerd/certs.d".into()
}
