//! Who may reach which port: clients the one for clients, peers and the operator that of peers, and health and metrics
//! whoever is in the cluster.

use serde_json::{Value, json};

use super::Of;
use crate::names::{ADMIN, CLIENTS, Component, OF, PEERS};

pub(super) fn build(of: &Of<'_>) -> Vec<Value> {
    if !of.registry.spec.network_policy.enabled {
        return Vec::new();
    }
    let to = |port: u16| json!([{ "port": port, "protocol": "TCP" }]);
    let ours = json!({ "podSelector": { "matchLabels": { OF: of.names.name } } });
    let operator = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": of.around.namespace } },
        "podSelector": { "matchLabels": { "app.kubernetes.io/name": "roadstead-operator" } },
    });
    let everywhere = json!({ "namespaceSelector": {} });
    of.components()
        .iter()
        .map(|component| {
            let mut ingress = vec![json!({ "from": [everywhere], "ports": to(ADMIN) })];
            if *component == Component::Index {
                ingress.push(json!({ "from": [ours, operator], "ports": to(PEERS) }));
            } else {
                // From anywhere: load balancers keep the addresses of clients.
                ingress.push(json!({ "ports": to(CLIENTS) }));
            }
            let body = json!({
                "spec": {
                    "podSelector": { "matchLabels": of.names.selector(*component) },
                    "policyTypes": ["Ingress"],
                    "ingress": ingress,
                }
            });
            of.object("networking.k8s.io/v1", "NetworkPolicy", &of.names.workload(*component), body)
        })
        .collect()
}
