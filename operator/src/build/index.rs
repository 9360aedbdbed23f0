//! The StatefulSet of the index nodes. It replaces no pod by itself (`OnDelete`): the plan does, one at a time.

use serde_json::{Value, json};

use super::{Decided, Of, pods, restore};
use crate::crd::index::Volume;
use crate::names::Component;

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Value {
    let mut template = pods::template(of, Component::Index);
    if decided.restores
        && let Some(container) = restore::container(of, &template["spec"]["containers"][0])
    {
        template["spec"]["initContainers"] = json!([container]);
    }
    let update = json!({ "type": "OnDelete" });
    set(of, Component::Index, decided.index_pods, &update, &template, &of.registry.spec.index.volume, decided)
}

/// A StatefulSet whose pods have a volume each, which outlives them.
pub(super) fn set(
    of: &Of<'_>,
    component: Component,
    replicas: u32,
    update: &Value,
    template: &Value,
    volume: &Volume,
    decided: &Decided,
) -> Value {
    // What a StatefulSet says of volumes cannot be changed.
    let volume = decided.set_volume.as_ref().unwrap_or(volume);
    let body = json!({
        "spec": {
            "replicas": replicas,
            "serviceName": of.names.index(),
            "podManagementPolicy": "Parallel",
            "updateStrategy": update,
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "revisionHistoryLimit": 3,
            "selector": { "matchLabels": of.names.selector(component) },
            "template": template,
            "volumeClaimTemplates": [claim(of, component, volume)],
        }
    });
    of.object("apps/v1", "StatefulSet", &of.names.workload(component), body)
}

/// The volume of each pod.
fn claim(of: &Of<'_>, component: Component, volume: &Volume) -> Value {
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
