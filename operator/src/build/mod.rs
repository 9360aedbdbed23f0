//! What a registry is made of: every object as it should be, from the Registry and what was seen. Pure: the same Registry
//! gives the same objects. A file a kind.

mod accounts;
mod autoscaler;
mod disruption;
mod environment;
mod exposure;
mod index;
mod monitoring;
mod network_policy;
mod pods;
mod registry;
mod restore;
mod services;
mod single;
#[cfg(test)]
mod tests;
mod trust;

pub use environment::{is_ours, ldap_keys};
pub use pods::template_of;

use serde_json::{Value, json};

use crate::crd::index::Volume;
use crate::crd::{API_VERSION, Registry};
use crate::names::{Component, Names};
use crate::object::Object;

/// What is given to `build` besides the Registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The image of the operator's own release.
    pub image: String,
    /// Where the operator's own pods are.
    pub namespace: String,
    /// Where pods may be that write on nodes; none: nowhere.
    pub nodes: Option<String>,
    /// Host names that nodes may be sent to; `.example.com` stands for all below. `namespace/` before one: by Registries of
    /// that namespace alone.
    pub hostnames: Vec<String>,
    /// Directories where nodes may be told.
    pub certs_directories: Vec<String>,
    /// Whether addresses of this cluster are of version 6.
    pub is_ipv6: bool,
}

impl Surroundings {
    /// Whether nodes may be told of a registry, or why not. Nodes pull everything that is under its host name from it then, so
    /// the host is not for whoever makes a Registry to choose.
    pub fn may_tell_nodes(&self, registry: &Registry) -> Result<&str, String> {
        let Some(namespace) = &self.nodes else {
            return Err(
                "nodes.trust is set, and the operator may not write on nodes: install the chart with nodes.enabled"
                    .into(),
            );
        };
        // Whatever is written there is root's: what reads a directory besides the container runtime would read it as well.
        let directory = registry.spec.nodes.as_ref().map_or("", |nodes| nodes.certs_directory.as_str());
        if !self.certs_directories.iter().any(|allowed| allowed == directory) {
            return Err(format!(
                "nodes may not be told in {directory}: whoever installed the chart allows directories by \
                 nodes.certsDirectories"
            ));
        }
        let host = registry.spec.hostname.as_str();
        let of = registry.metadata.namespace.as_deref();
        let fits = |allowed: &String| {
            let (only, allowed) =
                allowed.split_once('/').map_or((None, allowed.as_str()), |(only, host)| (Some(only), host));
            (only.is_none() || only == of) && (host == allowed || (allowed.starts_with('.') && host.ends_with(allowed)))
        };
        if self.hostnames.iter().any(fits) {
            return Ok(namespace);
        }
        Err(format!(
            "nodes may not be sent to {host} by a Registry of this namespace: whoever installed the chart allows host names \
             by nodes.hostnames"
        ))
    }
}

/// What the plan decides of the objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// Pods of the index: more than wanted while members leave.
    pub index_pods: u32,
    /// Authorities that clients are to trust, as PEM; none: the public ones.
    pub clients_trust: Option<String>,
    /// The volumes of the StatefulSet that is there: what it says of them cannot be changed in place.
    pub set_volume: Option<Volume>,
    pub keys: Keys,
    /// Before its index has begun, a registry needs no pods that serve clients.
    pub is_begun: bool,
    /// The index begins from what is in the bucket. One that volumes bring goes on with what is on them, whatever the
    /// Registry says that it once began from.
    pub restores: bool,
}

/// Sums of what Secrets say to pods that start, so that something else makes other pods; none: they are told nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub index: Option<String>,
    /// To those that serve clients.
    pub clients: Option<String>,
}

impl Keys {
    fn of(&self, component: Component) -> Option<&str> {
        if component == Component::Index { self.index.as_deref() } else { self.clients.as_deref() }
    }
}

/// Everything of a registry but its Secrets.
pub fn build(registry: &Registry, around: &Surroundings, decided: &Decided) -> Vec<Object> {
    let names = Names::of(registry);
    let of = Of { registry, names: &names, around, keys: &decided.keys };
    let mut values = Vec::new();
    values.extend(accounts::build(&of));
    values.extend(network_policy::build(&of));
    values.extend(services::build(&of));
    values.extend(disruption::build(&of));
    if of.is_single() {
        values.push(single::build(&of, decided));
    } else {
        values.push(index::build(&of, decided));
        values.push(registry::build(&of, decided.is_begun));
        values.extend(autoscaler::build(&of));
    }
    values.extend(exposure::build(&of, decided));
    values.extend(trust::build(&of, decided));
    values.push(monitoring::build(&of));
    values.into_iter().map(Object::new).collect()
}

/// The StatefulSet of the index alone: what its pods are to be like is known before what else there is to be.
pub fn index_set(registry: &Registry, around: &Surroundings, decided: &Decided) -> Object {
    let of = Of { registry, names: &Names::of(registry), around, keys: &decided.keys };
    Object::new(index::build(&of, decided))
}

/// A registry and what belongs to it, for those who build.
#[derive(Clone, Copy, Debug)]
struct Of<'a> {
    registry: &'a Registry,
    names: &'a Names,
    around: &'a Surroundings,
    keys: &'a Keys,
}

impl Of<'_> {
    /// Everything in one pod, on a claim.
    fn is_single(&self) -> bool {
        self.registry.spec.is_single()
    }

    fn components(&self) -> &'static [Component] {
        if self.is_single() { &[Component::All] } else { &[Component::Index, Component::Registry] }
    }

    /// The pods that serve clients.
    fn clients(&self) -> Component {
        if self.is_single() { Component::All } else { Component::Registry }
    }

    fn image(&self) -> &str {
        self.registry.spec.image.as_deref().unwrap_or(&self.around.image)
    }

    fn object(&self, api_version: &str, kind: &str, name: &str, body: Value) -> Value {
        object(self.registry, self.names, api_version, kind, name, body)
    }
}

/// An object with the metadata that all of ours have; its owner makes the API server delete it with the Registry.
pub fn object(registry: &Registry, names: &Names, api_version: &str, kind: &str, name: &str, body: Value) -> Value {
    let owner = json!({
        "apiVersion": API_VERSION,
        "kind": "Registry",
        "name": registry.metadata.name,
        "uid": registry.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let metadata = json!({
        "name": name,
        "namespace": names.namespace,
        "labels": names.labels(),
        "ownerReferences": [owner],
    });
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
    if let (Value::Object(object), Value::Object(body)) = (&mut object, body) {
        object.extend(body);
    }
    object
}
