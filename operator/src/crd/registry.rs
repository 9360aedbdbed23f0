//! `Registry`: a whole registry, as its owner wants it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exposure::Exposure;
use super::identities::{Kubernetes, Ldap};
use super::index::{Index, Volume};
use super::nodes::Nodes;
use super::pods::Pods;
use super::status::RegistryStatus;
use super::storage::Storage;
use super::tls::Tls;

/// A replicated OCI image registry on object storage.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "roadstead.dev",
    version = "v1alpha1",
    kind = "Registry",
    plural = "registries",
    namespaced,
    status = "RegistryStatus",
    derive = "PartialEq",
    doc = "A replicated OCI image registry on object storage.",
    shortname = "rsd",
    category = "roadstead",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.pods", description = "registry pods that are ready, of those wanted"),
    printcolumn(name = "Index", type_ = "string", json_path = ".status.index.ready", description = "index nodes that are well, of those wanted"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.hostname"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.index.leader", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", priority = 1),
    printcolumn(name = "Storage", type_ = "string", json_path = ".status.storage", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 40").message("the name may have at most 40 characters: names of pods and secrets are made from it"),
    validation = Rule::new("!self.metadata.name.endsWith('-index') && !self.metadata.name.endsWith('-metrics')").message("the name may not end in -index or -metrics: the objects of another Registry may be called so"),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message("the name must begin with a letter and have no dots: Services are named after it")
)]
#[x_kube(
    validation = Rule::new("!has(self.storage.claim) || self.replicas == 1").message("storage.claim is for one pod: set replicas to 1, or use storage.s3").field_path(".replicas"),
    validation = Rule::new("!has(self.storage.claim) || self.index.replicas == 1").message("storage.claim is for one pod: set index.replicas to 1, or use storage.s3").field_path(".index.replicas"),
    validation = Rule::new("!has(self.storage.claim) || !has(self.autoscaling)").message("storage.claim is for one pod: leave autoscaling out, or use storage.s3"),
    validation = Rule::new("!has(self.bootstrap) || !has(self.storage.claim)").message("a registry on storage.claim cannot begin from a backup"),
    validation = Rule::new("has(self.bootstrap) == has(oldSelf.bootstrap)").message("bootstrap is read when the registry is made: it cannot be added or removed later"),
    validation = Rule::new("self.hostname == oldSelf.hostname || !has(self.nodes) || !self.nodes.trust").message("nodes are told of hostname: turn nodes.trust off before changing it").field_path(".hostname"),
    validation = Rule::new("!has(self.nodes) || !has(oldSelf.nodes) || !self.nodes.trust || !oldSelf.nodes.trust || self.nodes.certsDirectory == oldSelf.nodes.certsDirectory").message("nodes have a directory there: turn nodes.trust off before changing certsDirectory").field_path(".nodes.certsDirectory")
)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySpec {
    /// The name by which clients and nodes reach the registry, without a port. The same inside and outside of the cluster.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub hostname: String,
    /// The image of all pods; without it the one that the operator was installed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub image: Option<String>,
    /// Pods that serve clients. They keep nothing, so any number will do; `kubectl scale` changes it.
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 500))]
    pub replicas: i32,
    /// Lets a HorizontalPodAutoscaler change `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// The replicated index of tags and manifests.
    #[serde(default)]
    pub index: Index,
    /// Where the bytes of images are.
    #[x_kube(validation = Rule::new("has(self.s3) == has(oldSelf.s3)").message("the kind of storage cannot be changed: make another Registry and copy the images"))]
    pub storage: Storage,
    /// The certificate that clients see.
    #[serde(default)]
    pub tls: Tls,
    /// How clients reach the pods.
    #[serde(default)]
    pub exposure: Exposure,
    /// What clients may do.
    #[serde(default)]
    pub access: Access,
    /// What nodes of the cluster are told of this registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    /// Where the pods that serve clients run, and what they may use.
    #[serde(default)]
    pub pods: Pods,
    /// Configuration of the processes beyond what has fields here: `section.key` of the configuration reference, with its value as text.
    /// What the operator sets itself is refused.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[x_kube(merge_strategy = MapMerge::Granular)]
    pub settings: std::collections::BTreeMap<String, String>,
    /// Whether only what must reach a pod may.
    #[serde(default)]
    pub network_policy: NetworkPolicy,
    /// Begins the registry from what another one left in the bucket, instead of empty. Read once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<Bootstrap>,
    /// The operator looks and reports, and changes nothing.
    #[serde(default)]
    pub paused: bool,
    /// Deleting the object is refused while this is set.
    #[serde(default)]
    pub deletion_protection: bool,
}

fn two() -> i32 {
    2
}

/// How many pods serve clients, by their load.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("minReplicas is larger than maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    #[serde(default = "two")]
    #[schemars(range(min = 1, max = 500))]
    pub min_replicas: i32,
    #[schemars(range(min = 1, max = 500))]
    pub max_replicas: i32,
    /// The use of CPU that is aimed at, in percent of what pods request (`pods.resources.requests.cpu`).
    #[serde(default = "eighty")]
    #[schemars(range(min = 1, max = 400))]
    pub target_cpu_percent: i32,
}

fn eighty() -> i32 {
    80
}

/// What clients may do.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// What anyone may do who reaches the registry; each word includes those before it.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// Tokens of the cluster's ServiceAccounts make known whose they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Kubernetes>,
    /// People log in with their names and passwords of a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<Box<Ldap>>,
}

/// What anyone may do.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Anonymous {
    Nothing,
    #[default]
    Pull,
    Push,
    Delete,
}

impl Anonymous {
    /// As the configuration of the processes says it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
        }
    }
}

/// Whether only what must reach a pod may.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    #[serde(default = "yes")]
    pub enabled: bool,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self { enabled: yes() }
    }
}

pub(super) fn yes() -> bool {
    true
}

/// What a registry begins from.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("bootstrap is read when the registry is made: it cannot be changed later"),
    validation = Rule::new("[has(self.backup), has(self.archive)].filter(given, given).size() == 1").message("give either bootstrap.backup or bootstrap.archive")
)]
#[serde(rename_all = "camelCase")]
pub struct Bootstrap {
    /// A backup in the bucket of `storage.s3`, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub backup: Option<String>,
    /// The archive in the bucket: all but the last seconds before the old registry was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<FromArchive>,
    /// The old registry is gone for good, and the bucket is this one's from now on. Without it the registry is a copy, which deletes nothing of the old one.
    #[serde(default)]
    pub take_over: bool,
}

/// Which archive, and where in it.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FromArchive {
    /// The index after this entry of its log; without it the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub position: Option<i64>,
}

impl RegistrySpec {
    /// Everything is in one pod, on a claim.
    pub fn is_single(&self) -> bool {
        self.storage.claim.is_some()
    }

    /// The volume of each pod that keeps something.
    pub fn volume(&self) -> &Volume {
        self.storage.claim.as_ref().unwrap_or(&self.index.volume)
    }

    /// Whether the operator issues the certificate that clients see.
    pub fn issues_certificate(&self) -> bool {
        self.tls.secret_name.is_none() && self.tls.cert_manager.is_none()
    }

    /// Whether nodes are to be told of the registry.
    pub fn tells_nodes(&self) -> bool {
        self.nodes.as_ref().is_some_and(|nodes| nodes.trust)
    }
}

impl Registry {
    /// The newest word on something.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
    }

    /// Whether something was so, by the newest word on it.
    pub fn was(&self, kind: &str) -> bool {
        self.condition(kind).is_some_and(|condition| condition.status == "True")
    }
}
