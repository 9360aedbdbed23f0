//! The Services: one for clients, one without an address of its own that gives each index node a name, and one by which
//! metrics are found.

use serde_json::{Value, json};

use super::Of;
use crate::crd::exposure::ServiceType;
use crate::names::{ADMIN, Component, METRICS, OF, PEERS};

pub(super) fn build(of: &Of<'_>) -> Vec<Value> {
    let service = &of.registry.spec.exposure.service;
    let mut port = json!({ "name": "https", "port": service.port, "targetPort": "clients", "protocol": "TCP" });
    if let Some(node_port) = service.node_port {
        port["nodePort"] = json!(node_port);
    }
    let kind = match service.kind {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let mut spec = json!({ "type": kind, "selector": of.names.selector(of.clients()), "ports": [port] });
    if let Some(class) = &service.load_balancer_class {
        spec["loadBalancerClass"] = json!(class);
    }
    let mut clients = of.object("v1", "Service", &of.names.registry(), json!({ "spec": spec }));
    if !service.annotations.is_empty() {
        clients["metadata"]["annotations"] = json!(service.annotations);
    }
    let headless = json!({
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            // Nodes must find each other before they are ready: they become ready by finding each other.
            "publishNotReadyAddresses": true,
            "selector": of.names.selector(if of.is_single() { Component::All } else { Component::Index }),
            "ports": [{ "name": "peers", "port": PEERS, "targetPort": PEERS, "protocol": "TCP" }],
        }
    });
    let metrics = json!({
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": { OF: of.names.name },
            "ports": [{ "name": "admin", "port": ADMIN, "targetPort": "admin", "protocol": "TCP" }],
        }
    });
    let mut metrics = of.object("v1", "Service", &of.names.metrics(), metrics);
    metrics["metadata"]["labels"][METRICS] = json!("true");
    vec![clients, of.object("v1", "Service", &of.names.index(), headless), metrics]
}
