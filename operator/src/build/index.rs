//! The StatefulSet of the index nodes. It replaces no pod by itself (`OnDelete`): the plan does, one at a time.

use serde_json::{Value, json};

use super::{Decided, Of, pods, restore};
use crate::crd::index::Volume;
use crate::names::Component;

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Value {
    let name = of.names.index();
    let mut volume = of.registry.spec.index.volume.clone();
    if let Some(size) = &decided.set_size {
        volume.size = size.clone();
    }
    let mut template = pods::template(of, Component::Index);
    if !decided.is_begun
        && let Some(container) = restore::container(of, &template["spec"]["containers"][0])
    {
        template["spec"]["initContainers"] = json!([container]);
    }
    let body = json!({
        "spec": {
            "replicas": decided.index_pods,
            "serviceName": name,
            "podManagementPolicy": "Parallel",
            "updateStrategy": { "type": "OnDelete" },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": of.names.selector(Component::Index) },
            "template": template,
            "volumeClaimTemplates": [claim(of, Component::Index, &volume)],
        }
    });
    of.object("apps/v1", "StatefulSet", &name, body)
}

/// The volume of each pod.
pub(super) fn claim(of: &Of<'_>, component: Component, volume: &Volume) -> Value {
    let mut labels = of.names.labels();
    labels.extend(of.names.selector(component));
    let mut spec = json!({
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": { "requests": { "storage": volume.size } },
    });
    if let Some(class) = &volume.storage_class_name {
        spec["storageClassName"] = json!(class);
    }
    json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "data", "labels": labels }, "spec": spec })
}
