//! An object of Kubernetes as we write it: only the fields that are ours. And the kinds that we write.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::Value;

/// A kind of which objects are made for a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    /// Belongs to something that may not be installed.
    pub optional: bool,
    /// What no longer should be is deleted; what keeps data never is.
    pub prunable: bool,
}

const fn kind(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, optional: false, prunable: true }
}

const fn optional(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, optional: true, prunable: true }
}

/// In the order in which they are applied: what others refer to comes first.
pub const KINDS: [Kind; 15] = [
    kind("", "v1", "ServiceAccount", "serviceaccounts"),
    Kind { prunable: false, ..kind("", "v1", "Secret", "secrets") },
    kind("", "v1", "ConfigMap", "configmaps"),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    kind("", "v1", "Service", "services"),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    kind("apps", "v1", "StatefulSet", "statefulsets"),
    kind("apps", "v1", "Deployment", "deployments"),
    kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
    optional("cert-manager.io", "v1", "Certificate", "certificates"),
    optional("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    optional("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies"),
    optional("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors"),
    optional("monitoring.coreos.com", "v1", "PrometheusRule", "prometheusrules"),
];

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.kind == name)
    }

    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind { group: self.group.into(), version: self.version.into(), kind: self.kind.into() },
            self.plural,
        )
    }
}

/// An object as we want it: the fields that we own, and no others.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: Kind,
    pub name: String,
    pub value: Value,
}

impl Object {
    /// From its text, which must name its kind and itself: `build` alone calls this, so a mistake is one of ours.
    pub fn new(value: Value) -> Self {
        let word = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = word("/metadata/name");
        let kind = word("/kind");
        let Some(kind) = Kind::named(&kind) else { unreachable!("{kind} is missing in KINDS") };
        Self { kind, name, value }
    }
}

/// Whether `live` has everything that is `wanted`: the API server adds defaults, and others add what is theirs.
pub fn has(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            live.get(name).map_or_else(|| is_nothing(wanted), |live| has(live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| has(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A live object as text.
pub fn text_of(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or(Value::Null)
}
