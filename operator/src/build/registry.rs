//! The Deployment of the pods that serve clients.

use serde_json::{Value, json};

use super::{Of, pods};
use crate::names::Component;

pub(super) fn build(of: &Of<'_>, is_begun: bool) -> Value {
    let name = of.names.registry();
    let body = json!({
        "spec": {
            // A process without an index waits for one: it is made when there is one.
            "replicas": if is_begun { of.registry.spec.replicas } else { 0 },
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": 600,
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } },
            "selector": { "matchLabels": of.names.selector(Component::Registry) },
            "template": pods::template(of, Component::Registry),
        }
    });
    of.object("apps/v1", "Deployment", &name, body)
}
