//! What the objects of a registry are called, and by which labels they are found. Frozen: selectors and volume claims
//! cannot be changed, and a name is how an object is found again.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::crd::Registry;

/// On every object that is ours: the Registry that it belongs to.
pub const OF: &str = "roadstead.dev/registry";
/// On pods of nodes and what is outside of the Registry's namespace.
pub const OF_NAMESPACE: &str = "roadstead.dev/registry-namespace";
/// On the Service by which metrics are found.
pub const METRICS: &str = "roadstead.dev/metrics";
/// On the claim of an index node: the member that has left with this volume.
pub const LEFT: &str = "roadstead.dev/member-left";
/// On pods: what they were made from, so that an old one is known.
pub const TEMPLATE: &str = "roadstead.dev/template";
/// On pods: a sum of the keys to the bucket that they were started with.
pub const KEYS: &str = "roadstead.dev/keys";
/// On the Secret by which pods pull: the RegistryRobot that it is of. Whose it is for sure, an annotation says.
pub const ROBOT: &str = "roadstead.dev/robot";
/// On users, robots and policies: their registry is told before they go.
pub const FINALIZER: &str = "roadstead.dev/access";
pub const MANAGER: &str = "roadstead-operator";
/// There is a certificate for so many index nodes, so that another one needs no new Secret.
pub const MOST_NODES: u32 = 5;
pub const CLIENTS: u16 = 5000;
pub const PEERS: u16 = 5001;
pub const ADMIN: u16 = 5002;

/// A kind of pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// Serves clients, and keeps nothing.
    Registry,
    /// A node of the index.
    Index,
    /// Both in one, on a claim.
    All,
}

impl Component {
    pub fn word(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Index => "index",
            Self::All => "all",
        }
    }
}

/// The names of what belongs to one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub name: String,
    pub namespace: String,
}

impl Names {
    pub fn of(registry: &Registry) -> Self {
        Self { name: registry.name_any(), namespace: registry.namespace().unwrap_or_default() }
    }

    /// Of what serves clients: Deployment, Service, Ingress and the rest.
    pub fn registry(&self) -> String {
        self.name.clone()
    }

    /// Of what keeps the index: StatefulSet, headless Service and the rest.
    pub fn index(&self) -> String {
        format!("{}-index", self.name)
    }

    /// Of the Service by which metrics of all pods are found.
    pub fn metrics(&self) -> String {
        format!("{}-metrics", self.name)
    }

    /// The workload of a component.
    pub fn workload(&self, component: Component) -> String {
        match component {
            Component::Index => self.index(),
            Component::Registry | Component::All => self.registry(),
        }
    }

    /// The Secret with the authority that peers trust, and its key.
    pub fn peers_authority(&self) -> String {
        format!("{}-peers-ca", self.name)
    }

    /// The Secret with the authority that clients trust, and its key.
    pub fn clients_authority(&self) -> String {
        format!("{}-clients-ca", self.name)
    }

    /// The Secret with the certificates that pods show their peers.
    pub fn peers(&self, component: Component) -> String {
        format!("{}-{}-peers", self.name, component.word())
    }

    /// The Secret with the certificate that clients see, where the Registry names none.
    pub fn tls(&self) -> String {
        format!("{}-tls", self.name)
    }

    /// The Secret with the certificate that clients see.
    pub fn tls_of(&self, registry: &Registry) -> String {
        registry.spec.tls.secret_name.clone().unwrap_or_else(|| self.tls())
    }

    /// The Secret with the token that makes the first administrator.
    pub fn first_administrator(&self) -> String {
        format!("{}-first-administrator", self.name)
    }

    /// The ConfigMap with the authorities that clients are to trust.
    pub fn trust(&self) -> String {
        format!("{}-ca", self.name)
    }

    /// The StatefulSet of a Registry, whose pods have volumes.
    pub fn set_of(&self, registry: &Registry) -> String {
        if registry.spec.is_single() { self.registry() } else { self.index() }
    }

    pub fn pod(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.index())
    }

    /// The claim of a pod of the StatefulSet.
    pub fn claim_of(&self, registry: &Registry, ordinal: u32) -> String {
        format!("data-{}-{ordinal}", self.set_of(registry))
    }

    pub fn claim(&self, ordinal: u32) -> String {
        format!("data-{}", self.pod(ordinal))
    }

    /// The host of an index node: what its certificate is for.
    pub fn host(&self, ordinal: u32) -> String {
        format!("{}.{}.{}.svc", self.pod(ordinal), self.index(), self.namespace)
    }

    /// An index node as its peers dial it.
    pub fn node(&self, ordinal: u32) -> String {
        format!("{}:{PEERS}", self.host(ordinal))
    }

    /// Every address that an index node may have.
    pub fn all_nodes(&self) -> Vec<String> {
        (0..MOST_NODES).map(|ordinal| self.node(ordinal)).collect()
    }

    /// The Service of clients within the cluster.
    pub fn service_host(&self) -> String {
        format!("{}.{}.svc", self.registry(), self.namespace)
    }

    /// By which pods of a component are chosen.
    pub fn selector(&self, component: Component) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".into(), "roadstead".into()),
            ("app.kubernetes.io/instance".into(), self.name.clone()),
            ("app.kubernetes.io/component".into(), component.word().into()),
        ])
    }

    /// On every object.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("app.kubernetes.io/name".into(), "roadstead".into()),
            ("app.kubernetes.io/instance".into(), self.name.clone()),
            ("app.kubernetes.io/managed-by".into(), MANAGER.into()),
            (OF.into(), self.name.clone()),
        ])
    }
}
