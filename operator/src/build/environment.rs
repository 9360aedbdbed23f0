//! The configuration of the processes, as variables of their pods: a pod and its configuration are then one thing, that is
//! rolled out and back as one.

use serde_json::{Value, json};

use super::Of;
use crate::crd::identities::Ldap;
use crate::names::{ADMIN, CLIENTS, Component, PEERS};

pub(super) const DATA: &str = "/var/lib/roadstead";
pub(super) const PEERS_DIR: &str = "/etc/roadstead/peers";
pub(super) const DIRECTORY_DIR: &str = "/etc/roadstead/directory";
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
        for (key, value) in spec.access.ldap.iter().flat_map(|ldap| ldap_keys(ldap)) {
            set(key, &plain(&value));
        }
        if let Some(kubernetes) = &spec.access.kubernetes {
            set("access.kubernetes.audience", &plain(kubernetes.audience.as_ref().unwrap_or(&spec.hostname)));
            if kubernetes.rbac {
                set("access.kubernetes.rbac_namespace", &of.names.namespace);
            }
        }
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
    let mut from = |key: &str, secret: &String, field: &String| {
        let from = json!({ "secretKeyRef": { "name": secret, "key": field } });
        variables.push(json!({ "name": variable(key), "valueFrom": from }));
    };
    if let Some(given) = spec.storage.s3.as_ref().and_then(|s3| s3.credentials.as_ref()) {
        from("storage.s3.access_key_id", &given.secret_name, &given.access_key_id_key);
        from("storage.s3.secret_access_key", &given.secret_name, &given.secret_access_key_key);
    }
    let of_clients = spec.access.ldap.as_ref().filter(|_| component != Component::Index);
    if let Some(password) = of_clients.and_then(|ldap| ldap.bind_password.as_ref()) {
        from("access.ldap.bind_password", &password.secret_name, &password.key);
    }
    variables
}

/// What a Registry says of a directory, but for the password, as keys of the configuration.
pub fn ldap_keys(ldap: &Ldap) -> Vec<(&'static str, String)> {
    let word = |is: bool| is.then(|| "true".to_owned());
    let keys = [
        ("access.ldap.url", Some(ldap.url.clone())),
        ("access.ldap.start_tls", word(ldap.start_tls)),
        ("access.ldap.ca", ldap.ca_secret_name.as_ref().map(|_| format!("{DIRECTORY_DIR}/ca.crt"))),
        ("access.ldap.bind_dn", ldap.bind_dn.clone()),
        ("access.ldap.user_base", Some(ldap.user_base.clone())),
        ("access.ldap.user_filter", ldap.user_filter.clone()),
        ("access.ldap.name_attribute", ldap.name_attribute.clone()),
        ("access.ldap.group_base", ldap.group_base.clone()),
        ("access.ldap.group_filter", ldap.group_filter.clone()),
        ("access.ldap.group_attribute", ldap.group_attribute.clone()),
        ("access.ldap.owns_names", word(ldap.owns_names)),
    ];
    keys.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// A dollar in what a user wrote would name another variable.
fn plain(value: &str) -> String {
    value.replace('$', "$$")
}

fn variable(key: &str) -> String {
    format!("ROADSTEAD_{}", key.replace('.', "_").to_uppercase())
}
