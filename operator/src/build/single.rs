//! A whole registry in one pod, on a claim: for trying out.

use serde_json::{Value, json};

use super::{Decided, Of, index, pods};
use crate::names::Component;

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Value {
    let name = of.names.registry();
    let mut volume = of.registry.spec.storage.claim.clone().unwrap_or_default();
    if let Some(size) = &decided.set_size {
        volume.size = size.clone();
    }
    let body = json!({
        "spec": {
            "replicas": 1,
            "serviceName": of.names.index(),
            "podManagementPolicy": "Parallel",
            "updateStrategy": { "type": "RollingUpdate" },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": of.names.selector(Component::All) },
            "template": pods::template(of, Component::All),
            "volumeClaimTemplates": [index::claim(of, Component::All, &volume)],
        }
    });
    of.object("apps/v1", "StatefulSet", &name, body)
}
