//! The budgets by which nodes are drained: one pod at a time. A single pod gets none, since it could never be moved.

use serde_json::{Value, json};

use super::Of;
use crate::names::Component;

pub(super) fn build(of: &Of<'_>) -> Vec<Value> {
    let spec = &of.registry.spec;
    let least = spec.autoscaling.as_ref().map_or(spec.replicas, |autoscaling| autoscaling.min_replicas);
    of.components()
        .iter()
        .filter(|component| match component {
            Component::Index => spec.index.replicas > 1,
            Component::Registry => least > 1,
            Component::All => false,
        })
        .map(|component| {
            let body = json!({
                "spec": {
                    "maxUnavailable": 1,
                    // A pod that is broken anyway does not keep a node from being drained.
                    "unhealthyPodEvictionPolicy": "AlwaysAllow",
                    "selector": { "matchLabels": of.names.selector(*component) },
                }
            });
            of.object("policy/v1", "PodDisruptionBudget", &of.names.workload(*component), body)
        })
        .collect()
}
