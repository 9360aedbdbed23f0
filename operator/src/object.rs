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
    /// What may be wanted no longer is deleted then. What every registry has for as long as it is there never is, nor what
    /// keeps keys.
    pub prunable: bool,
}

const fn kind(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, optional: false, prunable: true }
}

const fn kept(kind: Kind) -> Kind {
    Kind { prunable: false, ..kind }
}

const fn optional(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Kind {
    Kind { group, version, kind, plural, optional: true, prunable: true }
}

/// In the order in which they are applied: what others refer to comes first.
pub const KINDS: [Kind; 14] = [
    kept(kind("", "v1", "ServiceAccount", "serviceaccounts")),
    kept(kind("", "v1", "Secret", "secrets")),
    kind("", "v1", "ConfigMap", "configmaps"),
    kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
    kept(kind("", "v1", "Service", "services")),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    kept(kind("apps", "v1", "StatefulSet", "statefulsets")),
    kept(kind("apps", "v1", "Deployment", "deployments")),
    kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    kind("networking.k8s.io", "v1", "Ingress", "ingresses"),
    optional("cert-manager.io", "v1", "Certificate", "certificates"),
    optional("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    optional("gateway.networking.k8s.io", "v1", "BackendTLSPolicy", "backendtlspolicies"),
    kept(optional("monitoring.coreos.com", "v1", "ServiceMonitor", "servicemonitors")),
];

/// What nodes are told by: not in the namespace of a Registry, so it is not among its kinds.
pub const DAEMON_SET: Kind = kind("apps", "v1", "DaemonSet", "daemonsets");

impl Kind {
    pub fn named(name: &str) -> Option<Self> {
        KINDS.into_iter().chain([DAEMON_SET]).find(|kind| kind.kind == name)
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
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| live.get(name).map_or_else(|| is_nothing(wanted), |live| has(live, wanted))),
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_as_wanted_when_it_has_all_that_is_ours() {
        for (what, live, wanted, is_so) in [
            ("the same", json!({ "a": 1 }), json!({ "a": 1 }), true),
            ("another value", json!({ "a": 1 }), json!({ "a": 2 }), false),
            ("a number is no text", json!({ "a": 1 }), json!({ "a": "1" }), false),
            ("a field of others", json!({ "a": 1, "b": 2 }), json!({ "a": 1 }), true),
            ("a field of ours is missing", json!({ "a": 1 }), json!({ "a": 1, "b": 2 }), false),
            ("a default within", json!({ "a": { "b": 1, "c": 2 } }), json!({ "a": { "b": 1 } }), true),
            ("a difference within", json!({ "a": { "b": 1, "c": 2 } }), json!({ "a": { "b": 2 } }), false),
            ("a default within an item", json!({ "a": [{ "b": 1, "c": 2 }] }), json!({ "a": [{ "b": 1 }] }), true),
            ("an item too many", json!({ "a": [1, 2] }), json!({ "a": [1] }), false),
            ("an item too few", json!({ "a": [1] }), json!({ "a": [1, 2] }), false),
            ("another order", json!({ "a": [1, 2] }), json!({ "a": [2, 1] }), false),
            ("all items are gone", json!({ "a": [1] }), json!({ "a": [] }), false),
            ("null is as good as nothing", json!({}), json!({ "a": null }), true),
            ("no fields are as good as nothing", json!({}), json!({ "a": {} }), true),
            ("no items are as good as nothing", json!({}), json!({ "a": [] }), true),
            ("no text is something", json!({}), json!({ "a": "" }), false),
            ("nought is something", json!({}), json!({ "a": 0 }), false),
            ("no is something", json!({}), json!({ "a": false }), false),
            ("a list is no map", json!({ "a": [] }), json!({ "a": {} }), false),
            ("an empty map of others' fields", json!({ "a": { "b": 1 } }), json!({ "a": {} }), true),
        ] {
            assert_eq!(has(&live, &wanted), is_so, "{what}: {live} {wanted}");
        }
    }

    #[test]
    fn every_kind_is_found_by_its_name_and_named_as_the_api_server_does() {
        let names: BTreeSet<&str> = KINDS.iter().map(|kind| kind.kind).collect();
        assert_eq!(names.len(), KINDS.len(), "a kind is there twice");
        for kind in KINDS {
            assert_eq!(Kind::named(kind.kind), Some(kind));
            let resource = kind.resource();
            assert_eq!(resource.api_version, kind.api_version());
            assert_eq!(resource.plural, kind.plural);
            assert!(kind.plural.bytes().all(|byte| byte.is_ascii_lowercase()), "{kind:?}");
        }
        assert_eq!(Kind::named("Service").unwrap().api_version(), "v1");
        assert_eq!(Kind::named("StatefulSet").unwrap().api_version(), "apps/v1");
        assert_eq!(Kind::named("Pod"), None);
    }

    #[test]
    fn what_keeps_data_or_keys_or_is_always_wanted_is_never_pruned() {
        let kept: Vec<&str> = KINDS.iter().filter(|kind| !kind.prunable).map(|kind| kind.kind).collect();
        assert_eq!(kept, ["ServiceAccount", "Secret", "Service", "StatefulSet", "Deployment", "ServiceMonitor"]);
        assert!(KINDS.iter().all(|kind| kind.kind != "PersistentVolumeClaim"), "claims are not ours to prune");
    }

    #[test]
    fn an_object_knows_its_kind_and_name() {
        let object = Object::new(json!({ "kind": "Ingress", "metadata": { "name": "r" } }));
        assert_eq!((object.kind.kind, object.name.as_str()), ("Ingress", "r"));
    }
}
