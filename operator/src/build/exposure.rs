//! What leads to the Service from outside: an Ingress, or a route of a Gateway; and the certificate, where cert-manager
//! issues it.

use serde_json::{Value, json};

use super::{Decided, Of};

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Vec<Value> {
    let spec = &of.registry.spec;
    let name = of.names.registry();
    let mut objects = Vec::new();
    if let Some(ingress) = &spec.exposure.ingress {
        let backend = json!({ "service": { "name": name, "port": { "name": "https" } } });
        let mut body = json!({
            "spec": {
                "tls": [{ "hosts": [spec.hostname], "secretName": of.names.tls_of(of.registry) }],
                "rules": [{
                    "host": spec.hostname,
                    "http": { "paths": [{ "path": "/", "pathType": "Prefix", "backend": backend }] },
                }],
            }
        });
        if let Some(class) = &ingress.class_name {
            body["spec"]["ingressClassName"] = json!(class);
        }
        let mut object = of.object("networking.k8s.io/v1", "Ingress", &name, body);
        if !ingress.annotations.is_empty() {
            object["metadata"]["annotations"] = json!(ingress.annotations);
        }
        objects.push(object);
    }
    if let Some(gateway) = &spec.exposure.gateway {
        let body = json!({
            "spec": {
                "hostnames": [spec.hostname],
                "parentRefs": gateway.parent_refs,
                "rules": [{ "backendRefs": [{ "name": name, "port": spec.exposure.service.port }] }],
            }
        });
        objects.push(of.object("gateway.networking.k8s.io/v1", "HTTPRoute", &name, body));
        // Pods speak HTTPS only, and the gateway must know whom to trust.
        let trust = if decided.clients_trust.is_none() {
            json!({ "hostname": spec.hostname, "wellKnownCACertificates": "System" })
        } else {
            let ca = json!([{ "group": "", "kind": "ConfigMap", "name": of.names.trust() }]);
            json!({ "hostname": spec.hostname, "caCertificateRefs": ca })
        };
        let body = json!({
            "spec": { "targetRefs": [{ "group": "", "kind": "Service", "name": name }], "validation": trust }
        });
        objects.push(of.object("gateway.networking.k8s.io/v1", "BackendTLSPolicy", &name, body));
    }
    if let Some(cert_manager) = &spec.tls.cert_manager {
        let body = json!({
            "spec": {
                "secretName": of.names.tls(),
                "dnsNames": [spec.hostname],
                "issuerRef": cert_manager.issuer_ref,
                "privateKey": { "algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always" },
            }
        });
        objects.push(of.object("cert-manager.io/v1", "Certificate", &of.names.tls(), body));
    }
    objects
}
