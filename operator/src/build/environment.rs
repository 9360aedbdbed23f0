//! The configuration of the processes, as variables of their pods: a pod and its configuration are then one thing, that is
//! rolled out and back as one.

use serde_json::{Value, json};

use super::Of;
use crate::names::{ADMIN, CLIENTS, Component, PEERS};

pub(super) const DATA: &str = "/var/lib/roadstead";
pub(super) const PEERS_DIR: &str = "/etc/roadstead/peers";
pub(super) const TLS_DIR: &str = "/etc/roadstead/tls";

/// Whether the operator sets a key of the configuration itself, so that `settings` may not.
pub fn is_ours(key: &str) -> bool {
    let section = key.split('.').next().unwrap_or_default();
    let is_ours = matches!(section, "cluster" | "tls" | "storage" | "access" | "log")
        || matches!(
            key,
            "server.role" | "server.listen" | "server.admin_listen" | "server.peer_listen" | "server.data"
        );
    // These are safe to set, and nobody else does.
    let is_free = matches!(key, "cluster.election_milliseconds" | "cluster.snapshot_entries" | "log.filter")
        || matches!(
            key,
            "storage.s3.checksums" | "storage.s3.part_bytes" | "storage.s3.attempts" | "storage.s3.attempt_seconds"
        );
    is_ours && !is_free
}

/// The variables of a component's pods.
pub(super) fn build(of: &Of<'_>, component: Component) -> Vec<Value> {
    let spec = &of.registry.spec;
    let any = if of.around.is_ipv6 { "[::]" } else { "0.0.0.0" };
    let mut variables =
        vec![json!({ "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })];
    let mut set = |key: &str, value: &str| variables.push(json!({ "name": variable(key), "value": value }));
    set("server.role", component.word());
    set("server.data", DATA);
    set("server.admin_listen", &format!("{any}:{ADMIN}"));
    set("log.format", "json");
    if component == Component::Index {
        set("server.peer_listen", &format!("{any}:{PEERS}"));
        let host = format!("$(POD_NAME).{}.{}.svc", of.names.index(), of.names.namespace);
        set("cluster.name", &format!("{host}:{PEERS}"));
    } else {
        set("server.listen", &format!("{any}:{CLIENTS}"));
        set("tls.certificate", &format!("{TLS_DIR}/tls.crt"));
        set("tls.key", &format!("{TLS_DIR}/tls.key"));
        set("access.anonymous", spec.access.anonymous.word());
    }
    if component != Component::All {
        set("cluster.index", &of.names.all_nodes().join(","));
        let file = if component == Component::Index { "$(POD_NAME)" } else { "registry" };
        set("cluster.certificate", &format!("{PEERS_DIR}/{file}.pem"));
        set("cluster.key", &format!("{PEERS_DIR}/{file}-key.pem"));
        set("cluster.ca", &format!("{PEERS_DIR}/ca.pem"));
    }
    if let Some(s3) = &spec.storage.s3 {
        set("storage.kind", "s3");
        set("storage.s3.bucket", &plain(&s3.bucket));
        if let Some(prefix) = &s3.prefix {
            set("storage.s3.prefix", &plain(prefix));
        }
        if let Some(endpoint) = &s3.endpoint {
            set("storage.s3.endpoint", &plain(endpoint));
        }
        if let Some(region) = &s3.region {
            set("storage.s3.region", &plain(region));
        }
        if s3.path_style {
            set("storage.s3.path_style", "true");
        }
    }
    for (key, value) in &spec.settings {
        set(key, &plain(value));
    }
    if let Some(credentials) = spec.storage.s3.as_ref().and_then(|s3| s3.credentials.as_ref()) {
        for (key, field) in [
            ("storage.s3.access_key_id", &credentials.access_key_id_key),
            ("storage.s3.secret_access_key", &credentials.secret_access_key_key),
        ] {
            let from = json!({ "secretKeyRef": { "name": credentials.secret_name, "key": field } });
            variables.push(json!({ "name": variable(key), "valueFrom": from }));
        }
    }
    variables
}

/// A dollar in what a user wrote would name another variable.
fn plain(value: &str) -> String {
    value.replace('$', "$$")
}

fn variable(key: &str) -> String {
    format!("ROADSTEAD_{}", key.replace('.', "_").to_uppercase())
}
