//! What the operator makes so that nodes are told: in the namespace for nodes, which alone may hold pods that write on
//! them. It cannot be owned by the Registry, which is in another namespace: whoever is without one is deleted.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use roadstead::metrics::sum_of;
use serde_json::json;

use super::{REPORT, Report};
use crate::apply::{Applier, ApplyError, Change};
use crate::crd::Registry;
use crate::crd::status::{NodeStatus, NodesStatus};
use crate::look::is_ready;
use crate::names::{MANAGER, Names, OF, OF_NAMESPACE};
use crate::object::{Object, text_of};
use crate::observe::why_not_running;

/// What the agent on a node says, or why nothing is known of it.
pub type Said = Result<Report, String>;

/// The most nodes that a status names.
const NAMED: usize = 20;
const CA_FILE: &str = "ca.crt";

/// The name of what belongs to a registry, in the namespace for nodes.
pub fn set_of(names: &Names) -> String {
    let long = format!("trust-{}-{}", names.namespace, names.name);
    // Two pairs of names may give one text with a dash between them.
    let sum = sum_of(format!("{}/{}", names.namespace, names.name).as_bytes());
    format!("{}-{}", long.chars().take(44).collect::<String>().trim_end_matches('-'), &sum[..8])
}

fn selector(names: &Names) -> String {
    format!("{OF}={},{OF_NAMESPACE}={}", names.name, names.namespace)
}

/// The DaemonSet and the ConfigMap of a registry.
pub fn build(registry: &Registry, namespace: &str, image: &str, trust: Option<&str>) -> Vec<Object> {
    let names = Names::of(registry);
    let nodes = registry.spec.nodes.clone().unwrap_or_default();
    let certs = nodes.certs_directory.trim_end_matches('/').to_owned();
    let runtime = certs.rsplit_once('/').map_or("/etc/containerd", |(parent, _)| parent).to_owned();
    let name = set_of(&names);
    let labels = json!({
        "app.kubernetes.io/name": "roadstead",
        "app.kubernetes.io/component": "node-trust",
        "app.kubernetes.io/managed-by": MANAGER,
        OF: names.name,
        OF_NAMESPACE: names.namespace,
    });
    let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
    let mut args = vec![
        "node-trust".to_owned(),
        format!("--registry={}/{}", names.namespace, names.name),
        format!("--host={}", registry.spec.hostname),
        format!("--certs-directory={certs}"),
    ];
    // A certificate that is not ours is not for the address of the Service.
    if registry.spec.issues_certificate() {
        args.push(format!("--service={}:{}", names.service_host(), registry.spec.exposure.service.port));
    }
    let mut mounts = vec![
        json!({ "name": "certs", "mountPath": "/host/certs.d" }),
        json!({ "name": "runtime", "mountPath": "/host/runtime", "readOnly": true }),
    ];
    let mut volumes = vec![
        json!({ "name": "certs", "hostPath": { "path": certs, "type": "DirectoryOrCreate" } }),
        json!({ "name": "runtime", "hostPath": { "path": runtime, "type": "DirectoryOrCreate" } }),
    ];
    let mut objects = Vec::new();
    if let Some(trust) = trust {
        args.push(format!("--ca=/trust/{CA_FILE}"));
        mounts.push(json!({ "name": "trust", "mountPath": "/trust", "readOnly": true }));
        volumes.push(json!({ "name": "trust", "configMap": { "name": name } }));
        objects
            .push(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { CA_FILE: trust } }));
    }
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let pod = json!({
        "serviceAccountName": "node-trust",
        "nodeSelector": { "kubernetes.io/os": "linux" },
        "enableServiceLinks": false,
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 20,
        // Every node pulls, whatever else may not run on it.
        "tolerations": [{ "operator": "Exists" }],
        "containers": [{
            "name": "node-trust",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["/usr/local/bin/roadstead-operator"],
            "args": args,
            "env": [
                field("POD_NAME", "metadata.name"),
                field("POD_NAMESPACE", "metadata.namespace"),
                { "name": "DAEMON_SET", "value": name },
            ],
            "resources": { "requests": { "cpu": "5m", "memory": "16Mi" }, "limits": { "memory": "64Mi" } },
            // Root, since the directory is root's; and nothing else.
            "securityContext": {
                "runAsUser": 0, "runAsGroup": 0, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" },
            },
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    });
    let own = json!({ "app.kubernetes.io/component": "node-trust", OF: names.name, OF_NAMESPACE: names.namespace });
    objects.push(json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": metadata,
        "spec": {
            "selector": { "matchLabels": own },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "10%" } },
            "template": { "metadata": { "labels": labels }, "spec": pod },
        },
    }));
    objects.into_iter().map(Object::new).collect()
}

/// What a DaemonSet of ours tells its agents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaidOf<'a> {
    pub host: Option<&'a str>,
    pub directory: Option<&'a str>,
}

pub fn said_of(set: &DaemonSet) -> SaidOf<'_> {
    let containers = set.spec.iter().flat_map(|spec| spec.template.spec.iter().flat_map(|pod| &pod.containers));
    let args: Vec<&String> = containers.flat_map(|container| container.args.iter().flatten()).collect();
    let value = |flag: &str| args.iter().find_map(|arg| arg.strip_prefix(flag));
    SaidOf { host: value("--host="), directory: value("--certs-directory=") }
}

/// The Registry that nodes are told of under a host name, if it is another one: the first has it until it gives it up, so that
/// nobody takes another's images over.
pub async fn holder(client: &Client, namespace: &str, names: &Names, host: &str) -> kube::Result<Option<String>> {
    Ok(first_other(&all(client, namespace).await?, names, host))
}

/// The DaemonSets of all Registries.
async fn all(client: &Client, namespace: &str) -> kube::Result<Vec<DaemonSet>> {
    let sets = Api::<DaemonSet>::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/component=node-trust,{OF}"));
    Ok(sets.list(&ours).await?.items)
}

/// The Registry that a DaemonSet is of.
fn whose(set: &DaemonSet) -> Names {
    let label = |label: &str| set.labels().get(label).cloned().unwrap_or_default();
    Names { name: label(OF), namespace: label(OF_NAMESPACE) }
}

fn first_other(sets: &[DaemonSet], names: &Names, host: &str) -> Option<String> {
    let first = sets.iter().filter(|set| said_of(set).host == Some(host)).min_by_key(|set| {
        // Two may have been made at once: both see both, and agree.
        (set.metadata.creation_timestamp.clone(), set.metadata.uid.clone())
    })?;
    let Names { namespace, name } = whose(first);
    (namespace != names.namespace || name != names.name).then(|| format!("{namespace}/{name}"))
}

/// Makes what nodes are told as it should be. Gives what was done.
pub async fn apply(applier: &Applier, namespace: &str, objects: &[Object]) -> Result<Vec<Change>, ApplyError> {
    let mut changes = Vec::new();
    for object in objects {
        let live = applier.api(namespace, object.kind).get_opt(&object.name).await;
        let live =
            live.map_err(|source| ApplyError::Read { kind: object.kind.kind, name: object.name.clone(), source })?;
        changes.extend(applier.put(namespace, object, live.as_ref().map(text_of)).await?);
    }
    Ok(changes)
}

/// Takes back what nodes were told of a registry.
pub async fn remove(client: &Client, namespace: &str, names: &Names) -> kube::Result<bool> {
    let ours = ListParams::default().labels(&selector(names));
    let sets = Api::<DaemonSet>::namespaced(client.clone(), namespace);
    let mut is_removed = false;
    for set in sets.list(&ours).await?.into_iter().filter(|set| set.metadata.deletion_timestamp.is_none()) {
        is_removed = true;
        gone(sets.delete(&set.name_any(), &DeleteParams::background()).await)?;
    }
    let maps = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    for map in maps.list(&ours).await? {
        gone(maps.delete(&map.name_any(), &DeleteParams::default()).await)?;
    }
    Ok(is_removed)
}

fn gone<T>(result: kube::Result<T>) -> kube::Result<()> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Takes back what nodes were told of registries that are no more.
pub async fn sweep(client: &Client, namespace: &str) -> kube::Result<()> {
    let mut seen = BTreeSet::new();
    for set in all(client, namespace).await? {
        let names = whose(&set);
        if !seen.insert((names.namespace.clone(), names.name.clone())) {
            continue;
        }
        let registries = Api::<Registry>::namespaced(client.clone(), &names.namespace);
        // One that cannot be read is there all the same.
        if matches!(registries.get_metadata_opt(&names.name).await, Ok(None)) {
            remove(client, namespace, &names).await?;
        }
    }
    Ok(())
}

/// What agents say, by node, or why one says nothing.
pub async fn reports(client: &Client, namespace: &str, names: &Names) -> kube::Result<Vec<(String, Said)>> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default().labels(&selector(names))).await?;
    let there = list.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut reports: Vec<(String, Said)> = there
        .map(|pod| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_else(|| pod.name_any());
            (node, said(&pod))
        })
        .collect();
    reports.sort_by(|one, two| one.0.cmp(&two.0));
    Ok(reports)
}

/// What an agent said last counts as long as it runs.
fn said(pod: &Pod) -> Said {
    let name = pod.name_any();
    if !is_ready(pod) {
        let why = why_not_running(pod).unwrap_or_else(|| "it is not ready".into());
        return Err(format!("the pod {name} tells this node nothing: {why}"));
    }
    let report = pod.annotations().get(REPORT).and_then(|text| serde_json::from_str(text).ok());
    report.ok_or_else(|| format!("the pod {name} has reported nothing yet"))
}

/// The part of the status about nodes.
pub fn status(reports: &[(String, Said)]) -> NodesStatus {
    let failing: Vec<NodeStatus> = reports
        .iter()
        .filter_map(|(node, report)| {
            let message = match report {
                Ok(report) if report.ok => return None,
                Ok(report) => report.message.clone(),
                Err(why) => why.clone(),
            };
            Some(NodeStatus { name: node.clone(), message, since: None })
        })
        .collect();
    NodesStatus {
        trusting: format!("{}/{}", reports.len() - failing.len(), reports.len()),
        failing: failing.into_iter().take(NAMED).collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn set(of: &str, host: &str, made: &str, uid: &str) -> DaemonSet {
        let labels = json!({ OF: of, OF_NAMESPACE: "ns" });
        let metadata = json!({ "name": of, "labels": labels, "uid": uid, "creationTimestamp": made });
        let container =
            json!({ "name": "a", "args": ["node-trust", format!("--host={host}"), "--certs-directory=/c"] });
        let template = json!({ "metadata": {}, "spec": { "containers": [container] } });
        let spec = json!({ "selector": {}, "template": template });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    #[test]
    fn what_an_agent_said_counts_as_long_as_it_runs() {
        let pod = |ready: &str, annotations: serde_json::Value, containers: serde_json::Value| -> Pod {
            let status =
                json!({ "conditions": [{ "type": "Ready", "status": ready }], "containerStatuses": containers });
            serde_json::from_value(json!({ "metadata": { "name": "p", "annotations": annotations }, "status": status }))
                .unwrap()
        };
        let report = || json!({ REPORT: json!({ "ok": true, "message": "sent", "trust": "x" }).to_string() });
        assert!(said(&pod("True", report(), json!([]))).unwrap().ok);
        let waiting = json!([{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": "ImagePullBackOff", "message": "not found" } },
        }]);
        let why = said(&pod("False", report(), waiting)).unwrap_err();
        assert_eq!(why, "the pod p tells this node nothing: ImagePullBackOff: not found");
        assert!(said(&pod("False", report(), json!([]))).unwrap_err().contains("not ready"));
        assert!(said(&pod("True", json!({}), json!([]))).unwrap_err().contains("nothing yet"));
    }

    #[test]
    fn of_registries_with_one_host_name_nodes_are_told_of_the_first() {
        let names = |name: &str| Names { name: name.into(), namespace: "ns".into() };
        let first = set("one", "r.example.com", "2026-01-01T00:00:00Z", "b");
        let second = set("two", "r.example.com", "2026-01-02T00:00:00Z", "a");
        let other = set("three", "s.example.com", "2025-01-01T00:00:00Z", "c");
        assert_eq!(said_of(&first), SaidOf { host: Some("r.example.com"), directory: Some("/c") });
        let sets = [second.clone(), other, first];
        assert_eq!(first_other(&sets, &names("two"), "r.example.com").as_deref(), Some("ns/one"));
        assert_eq!(first_other(&sets, &names("new"), "r.example.com").as_deref(), Some("ns/one"));
        assert_eq!(first_other(&sets, &names("one"), "r.example.com"), None);
        assert_eq!(
            first_other(std::slice::from_ref(&second), &names("two"), "r.example.com"),
            None,
            "the first has gone"
        );
        // Made within one second: by their ids, and both agree.
        let at_once = [second, set("four", "r.example.com", "2026-01-02T00:00:00Z", "0")];
        assert_eq!(first_other(&at_once, &names("two"), "r.example.com").as_deref(), Some("ns/four"));
        assert_eq!(first_other(&at_once, &names("four"), "r.example.com"), None);
    }
}
