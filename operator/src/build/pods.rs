//! The pods of every component: what the Pod Security Standard `restricted` demands, with what the Registry says laid over.

use roadstead::metrics::sum_of;
use serde_json::{Value, json};

use super::Of;
use super::environment::{self, DATA, DIRECTORY_DIR, PEERS_DIR, TLS_DIR};
use crate::crd::pods::Pods;
use crate::names::{ADMIN, CLIENTS, Component, KEYS, PEERS, TEMPLATE};

/// The user of the image.
const USER: i64 = 65532;
/// Longer than requests may take to finish (`server.drain_seconds`), with the time until nobody sends any.
const GRACE: i64 = 60;
/// Until every node knows that a pod takes no new connections.
const UNHEARD: i64 = 5;

/// The template of a component's pods. Its annotation says what it was made from.
pub(super) fn template(of: &Of<'_>, component: Component) -> Value {
    let pods = of.pods(component);
    let selector = of.names.selector(component);
    let spec = spec(of, component, pods, &selector);
    let mut labels = pods.labels.clone();
    labels.extend(of.names.labels());
    labels.extend(selector);
    let mut template = json!({ "metadata": { "labels": labels, "annotations": pods.annotations }, "spec": spec });
    if let Some(keys) = of.keys.of(component) {
        template["metadata"]["annotations"][KEYS] = json!(keys);
    }
    template["metadata"]["annotations"][TEMPLATE] = json!(hash(&template));
    template
}

/// The template that pods of a workload should have been made from.
pub fn template_of(workload: &Value) -> Option<&str> {
    workload.pointer("/spec/template/metadata/annotations")?.get(TEMPLATE)?.as_str()
}

fn hash(value: &Value) -> String {
    // The fields of a map are in order.
    sum_of(value.to_string().as_bytes()).chars().take(16).collect()
}

fn spec(
    of: &Of<'_>,
    component: Component,
    pods: &Pods,
    selector: &std::collections::BTreeMap<String, String>,
) -> Value {
    let mut spec = json!({
        "serviceAccountName": of.names.workload(component),
        // The processes do not speak to the API server, unless it is to say who clients are.
        "automountServiceAccountToken": component != Component::Index && of.registry.spec.access.kubernetes.is_some(),
        // Variables about other Services would be taken for configuration.
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": GRACE,
        "securityContext": laid_over(
            json!({
                "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": { "type": "RuntimeDefault" },
            }),
            pods.security_context.as_ref(),
        ),
        "containers": [container(of, component, pods)],
        "volumes": volumes(of, component),
    });
    if pods.affinity.is_some() {
        spec["affinity"] = json!(pods.affinity);
    } else if component == Component::Index {
        // Two nodes of the index on one machine would be lost together.
        let term = json!({ "labelSelector": { "matchLabels": selector }, "topologyKey": "kubernetes.io/hostname" });
        let preferred = json!([{ "weight": 100, "podAffinityTerm": term }]);
        spec["affinity"] =
            json!({ "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": preferred } });
    }
    if !pods.topology_spread_constraints.is_empty() {
        spec["topologySpreadConstraints"] = json!(pods.topology_spread_constraints);
    } else if component != Component::All {
        let over = |key: &str| {
            json!({
                "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": selector },
            })
        };
        spec["topologySpreadConstraints"] =
            json!([over("topology.kubernetes.io/zone"), over("kubernetes.io/hostname")]);
    }
    if !pods.node_selector.is_empty() {
        spec["nodeSelector"] = json!(pods.node_selector);
    }
    if !pods.tolerations.is_empty() {
        spec["tolerations"] = json!(pods.tolerations);
    }
    if let Some(class) = &pods.priority_class_name {
        spec["priorityClassName"] = json!(class);
    }
    if !pods.image_pull_secrets.is_empty() {
        spec["imagePullSecrets"] = json!(pods.image_pull_secrets);
    }
    spec
}

fn container(of: &Of<'_>, component: Component, pods: &Pods) -> Value {
    let probe = |path: &str, period: i64, failures: i64| {
        json!({
            "httpGet": { "path": path, "port": "admin", "scheme": "HTTP" },
            "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures, "successThreshold": 1,
        })
    };
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port, "protocol": "TCP" });
    let mut ports = vec![port("admin", ADMIN)];
    let mut mounts = vec![json!({ "name": "data", "mountPath": DATA })];
    if component == Component::Index {
        ports.push(port("peers", PEERS));
    } else {
        ports.push(port("clients", CLIENTS));
        mounts.push(json!({ "name": "tls", "mountPath": TLS_DIR, "readOnly": true }));
        if of.directory_ca().is_some() {
            mounts.push(json!({ "name": "directory", "mountPath": DIRECTORY_DIR, "readOnly": true }));
        }
    }
    if component != Component::All {
        mounts.push(json!({ "name": "peers", "mountPath": PEERS_DIR, "readOnly": true }));
    }
    let resources = pods.resources.as_ref().map_or_else(
        // Enough to be scheduled fairly; no limit of CPU, which would only slow it down.
        || json!({ "requests": { "cpu": "100m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } }),
        |resources| json!(resources),
    );
    json!({
        "name": "roadstead",
        "image": of.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/usr/local/bin/roadstead"],
        "args": ["serve"],
        "env": environment::build(of, component),
        "ports": ports,
        "resources": resources,
        "securityContext": laid_over(
            json!({
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
                "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
            }),
            pods.container_security_context.as_ref(),
        ),
        "volumeMounts": mounts,
        // The last lines of a log stand in the status of the pod, and from there in that of the Registry.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        // An index is opened and its log replayed: that may take a while, and is no reason to begin anew.
        "startupProbe": probe("/livez", 2, 300),
        "livenessProbe": probe("/livez", 10, 6),
        "readinessProbe": probe("/readyz", 2, 2),
        "lifecycle": { "preStop": { "sleep": { "seconds": if component == Component::Index { 1 } else { UNHEARD } } } },
    })
}

fn volumes(of: &Of<'_>, component: Component) -> Vec<Value> {
    let secret =
        |volume: &str, name: String| json!({ "name": volume, "secret": { "secretName": name, "defaultMode": 0o440 } });
    let mut volumes = Vec::new();
    if component == Component::Registry {
        volumes.push(json!({ "name": "data", "emptyDir": { "sizeLimit": "64Mi" } }));
    }
    if component != Component::Index {
        volumes.push(secret("tls", of.names.tls_of(of.registry)));
        if let Some(name) = of.directory_ca() {
            let mut volume = secret("directory", name.clone());
            // Whatever else is in it is not for the pods.
            volume["secret"]["items"] = json!([{ "key": "ca.crt", "path": "ca.crt" }]);
            volumes.push(volume);
        }
    }
    if component != Component::All {
        volumes.push(secret("peers", of.names.peers(component)));
    }
    volumes
}

/// What the Registry says of a security context, laid over ours.
fn laid_over<T: serde::Serialize>(ours: Value, theirs: Option<&T>) -> Value {
    match (ours, theirs.map(|theirs| json!(theirs))) {
        (Value::Object(mut ours), Some(Value::Object(theirs))) => {
            ours.extend(theirs.into_iter().filter(|(_, value)| !value.is_null()));
            Value::Object(ours)
        }
        (ours, _) => ours,
    }
}

impl Of<'_> {
    fn directory_ca(&self) -> Option<&String> {
        self.registry.spec.access.ldap.as_ref()?.ca_secret_name.as_ref()
    }

    fn pods(&self, component: Component) -> &Pods {
        match component {
            Component::Index => &self.registry.spec.index.pods,
            Component::Registry | Component::All => &self.registry.spec.pods,
        }
    }
}
