//! The HorizontalPodAutoscaler. It scales the Registry, not the Deployment, so it and the operator never disagree.

use serde_json::{Value, json};

use super::Of;

pub(super) fn build(of: &Of<'_>) -> Option<Value> {
    let autoscaling = of.registry.spec.autoscaling.as_ref()?;
    let body = json!({
        "spec": {
            "scaleTargetRef": { "apiVersion": crate::crd::API_VERSION, "kind": "Registry", "name": of.names.name },
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": autoscaling.target_cpu_percent },
                },
            }],
        }
    });
    Some(of.object("autoscaling/v2", "HorizontalPodAutoscaler", &of.names.registry(), body))
}
