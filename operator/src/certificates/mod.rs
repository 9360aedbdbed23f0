//! The certificates of a registry, which the operator issues itself: those that pods show their peers, and the one that
//! clients see. An authority for each of both kinds is made, renewed and given up in steps, so that nobody ever meets a
//! certificate that he does not trust yet.
//!
//! [`authority`] decides what is next, [`issue`] makes keys, [`secrets`] is what is written, [`live`] judges what is there.

pub mod authority;
pub mod issue;
pub mod live;
pub mod secrets;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::crd::Registry;
use crate::names::{Component, MOST_NODES, Names};

/// A certificate for somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What its files are called, without `.pem`.
    pub file: String,
    /// Host names and addresses that it is for.
    pub hosts: Vec<String>,
    pub addresses: Vec<IpAddr>,
    /// What its holder may do, as a peer.
    pub role: Option<roadstead::index::peers::Role>,
}

/// A Secret with certificates of one authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub secret: String,
    pub leaves: Vec<Leaf>,
    /// For a server of web clients: a Secret of type `kubernetes.io/tls`.
    pub is_web: bool,
}

/// What peers show each other.
pub fn of_peers(registry: &Registry) -> Vec<Wanted> {
    use roadstead::index::peers::Role;
    if registry.spec.is_single() {
        return Vec::new();
    }
    let names = Names::of(registry);
    let leaf =
        |file: String, host: String, role| Leaf { file, hosts: vec![host], addresses: Vec::new(), role: Some(role) };
    let nodes = (0..MOST_NODES).map(|ordinal| leaf(names.pod(ordinal), names.host(ordinal), Role::Index)).collect();
    let processes = vec![leaf("registry".into(), "registry".into(), Role::Registry)];
    vec![
        Wanted { secret: names.peers(Component::Index), leaves: nodes, is_web: false },
        Wanted { secret: names.peers(Component::Registry), leaves: processes, is_web: false },
    ]
}

/// What clients see, if the operator issues it: for the host name, the names of the Service, and its address, which is
/// where nodes are sent that do not know the names of the cluster.
pub fn of_clients(registry: &Registry, service: Option<IpAddr>) -> Option<Wanted> {
    if !registry.spec.issues_certificate() {
        return None;
    }
    let names = Names::of(registry);
    let service_host = names.service_host();
    let within = format!("{}.{}", names.registry(), names.namespace);
    let mut hosts = vec![
        registry.spec.hostname.clone(),
        service_host.clone(),
        within,
        names.registry(),
        format!("{service_host}.cluster.local"),
    ];
    hosts.dedup();
    let leaf = Leaf { file: "tls".into(), hosts, addresses: service.into_iter().collect(), role: None };
    Some(Wanted { secret: names.tls(), leaves: vec![leaf], is_web: true })
}
