//! The objects of three registries as they are written, byte for byte: names, labels and selectors are for ever. And what
//! must be true of them all.

#![allow(clippy::unwrap_used, reason = "a test")]

mod restricted;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use roadstead::config::{check::check, load};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::object::KINDS;

fn registry(spec: Value) -> Registry {
    let metadata = json!({ "name": "r", "namespace": "ns", "uid": "0a0b" });
    let value =
        json!({ "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry", "metadata": metadata, "spec": spec });
    serde_json::from_value(value).unwrap()
}

/// On S3, with nothing else said.
fn s3() -> Registry {
    registry(json!({ "hostname": "r.example.com", "storage": { "s3": { "bucket": "images" } } }))
}

/// On a claim, with nothing else said.
fn claim() -> Registry {
    registry(json!({
        "hostname": "r.example.com",
        "replicas": 1,
        "index": { "replicas": 1 },
        "storage": { "claim": { "size": "5Gi" } },
    }))
}

/// Everything that can be said.
fn everything() -> Registry {
    let pods = json!({
        "resources": { "requests": { "cpu": "2", "memory": "4Gi" }, "limits": { "memory": "4Gi" } },
        "labels": { "team": "images", "app.kubernetes.io/name": "somebody-else" },
        "annotations": { "example.com/note": "kept" },
        "nodeSelector": { "disk": "fast" },
        "tolerations": [{ "key": "dedicated", "operator": "Equal", "value": "registry", "effect": "NoSchedule" }],
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
            { "matchExpressions": [{ "key": "arch", "operator": "In", "values": ["amd64"] }] },
        ] } } },
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "team": "images" } },
        }],
        "priorityClassName": "important",
        "imagePullSecrets": [{ "name": "pull" }],
        "securityContext": { "runAsUser": 1000, "fsGroup": 1000, "supplementalGroups": [2000] },
        "containerSecurityContext": { "runAsUser": 1000, "seccompProfile": { "type": "Localhost", "localhostProfile": "p.json" } },
    });
    registry(json!({
        "hostname": "r.example.com",
        "image": "mirror.example.com/roadstead:2",
        "replicas": 4,
        "autoscaling": { "minReplicas": 3, "maxReplicas": 9, "targetCpuPercent": 70 },
        "index": {
            "replicas": 5,
            "volume": { "size": "20Gi", "storageClassName": "fast" },
            "pods": pods.clone(),
            "featureLevel": "Manual",
        },
        "storage": { "s3": {
            "bucket": "images",
            "prefix": "prod/",
            "endpoint": "https://minio.example.com:9000",
            "region": "eu-central-1",
            "pathStyle": true,
            "credentials": { "secretName": "keys", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret" },
            "workloadIdentity": { "serviceAccountAnnotations": { "eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r" } },
        } },
        "tls": { "certManager": { "issuerRef": { "name": "public", "kind": "ClusterIssuer" } } },
        "exposure": {
            "service": { "type": "NodePort", "port": 8443, "nodePort": 30443, "annotations": { "example.com/lb": "a" } },
            "ingress": { "className": "nginx", "annotations": { "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS" } },
            "gateway": { "parentRefs": [{ "name": "public", "namespace": "gateways", "sectionName": "https" }] },
        },
        "access": { "anonymous": "Nothing", "kubernetes": { "audience": "registry", "rbac": true }, "ldap": {
            "url": "ldap://directory.example.com", "startTls": true, "caSecretName": "directory",
            "bindDn": "cn=reader,dc=example,dc=com", "bindPassword": { "secretName": "directory" }, "ownsNames": true,
            "userBase": "ou=people,dc=example,dc=com", "userFilter": "(&(objectClass=person)(uid={user}))", "nameAttribute": "mail",
            "groupBase": "ou=groups,dc=example,dc=com", "groupFilter": "(memberUid={user})", "groupAttribute": "name" } },
        "pods": pods,
        "settings": { "server.max_connections": "500", "blobs.public_endpoint": "https://a$(B)$c" },
    }))
}

fn around() -> Surroundings {
    Surroundings {
        hostnames: vec![".example.com".into()],
        certs_directories: vec!["/etc/containerd/certs.d".into()],
        image: "ghcr.io/roadstead-registry/roadstead:1".into(),
        namespace: "roadstead-system".into(),
        nodes: None,
        is_ipv6: false,
    }
}

fn decided(registry: &Registry) -> Decided {
    Decided {
        index_pods: registry.spec.index.replicas as u32,
        clients_trust: Some("the authorities that clients are to trust\n".into()),
        set_volume: None,
        keys: Keys::default(),
        is_begun: true,
        restores: false,
    }
}

fn objects(registry: &Registry) -> Vec<Object> {
    build(registry, &around(), &decided(registry))
}

fn all() -> [(&'static str, Registry); 3] {
    [("s3", s3()), ("claim", claim()), ("everything", everything())]
}

/// The workloads with what their pods are made from.
fn workloads(registry: &Registry) -> Vec<(String, PodTemplateSpec)> {
    let workloads =
        objects(registry).into_iter().filter(|object| ["StatefulSet", "Deployment"].contains(&object.kind.kind));
    let template = |object: Object| serde_json::from_value(object.value["spec"]["template"].clone()).unwrap();
    workloads.map(|object| (object.name.clone(), template(object))).collect()
}

fn object(registry: &Registry, kind: &str, name: &str) -> Value {
    objects(registry).into_iter().find(|object| object.kind.kind == kind && object.name == name).unwrap().value
}

#[test]
fn objects_are_written_as_they_always_were() {
    for (name, registry) in all() {
        let objects = objects(&registry);
        let texts: Vec<String> = objects.iter().map(|object| serde_saphyr::to_string(&object.value).unwrap()).collect();
        insta::assert_snapshot!(name, texts.join("---\n"));
    }
}

/// What Kubernetes makes of an object: what it does not know is gone then.
fn read_back<K: DeserializeOwned + Serialize>(value: &Value) -> Value {
    serde_json::to_value(serde_json::from_value::<K>(value.clone()).unwrap()).unwrap()
}

#[test]
fn kubernetes_knows_every_field_that_is_written() {
    for (_, registry) in all() {
        for Object { kind, name, value } in objects(&registry) {
            let known = match kind.kind {
                "ServiceAccount" => read_back::<ServiceAccount>(&value),
                "ConfigMap" => read_back::<ConfigMap>(&value),
                "NetworkPolicy" => read_back::<NetworkPolicy>(&value),
                "Service" => read_back::<Service>(&value),
                "PodDisruptionBudget" => read_back::<PodDisruptionBudget>(&value),
                "StatefulSet" => read_back::<StatefulSet>(&value),
                "Deployment" => read_back::<Deployment>(&value),
                "HorizontalPodAutoscaler" => read_back::<HorizontalPodAutoscaler>(&value),
                "Ingress" => read_back::<Ingress>(&value),
                other => {
                    assert!(kind.optional, "{other} is of Kubernetes itself, and is not read here");
                    continue;
                }
            };
            assert_eq!(known, value, "{} {name}", kind.kind);
        }
    }
}

#[test]
fn every_object_is_found_again_and_goes_with_its_registry() {
    for (_, registry) in all() {
        let objects = objects(&registry);
        for object in &objects {
            let metadata = &object.value["metadata"];
            assert_eq!(metadata["namespace"], "ns", "{}", object.name);
            assert_eq!(metadata["labels"]["roadstead.dev/registry"], "r", "{}", object.name);
            assert_eq!(metadata["ownerReferences"][0]["uid"], "0a0b", "{}", object.name);
            assert_eq!(metadata["ownerReferences"][0]["controller"], true, "{}", object.name);
            assert_eq!(object.value["apiVersion"], object.kind.api_version(), "{}", object.name);
        }
        let mut names: Vec<_> = objects.iter().map(|object| (object.kind.kind, &object.name)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), objects.len(), "one object is written twice");
    }
}

#[test]
fn with_everything_on_every_kind_is_made_but_secrets() {
    let made: Vec<&str> = objects(&everything()).iter().map(|object| object.kind.kind).collect();
    let missing: Vec<&str> = KINDS.iter().map(|kind| kind.kind).filter(|kind| !made.contains(kind)).collect();
    assert_eq!(missing, ["Secret"]);
}

#[test]
fn pods_keep_to_the_standard_restricted() {
    for (name, registry) in all() {
        for (workload, template) in workloads(&registry) {
            assert_eq!(restricted::violations(&template), Vec::<String>::new(), "{name} {workload}");
        }
    }
}

fn is_within(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    selector.as_object().unwrap().iter().all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str())
}

#[test]
fn each_selector_finds_the_pods_that_are_meant_and_no_others() {
    for (name, registry) in all() {
        let workloads = workloads(&registry);
        let found = |selector: &Value| -> Vec<&str> {
            let is_found = |template: &PodTemplateSpec| {
                is_within(selector, template.metadata.as_ref().unwrap().labels.as_ref().unwrap())
            };
            workloads.iter().filter(|(_, template)| is_found(template)).map(|(name, _)| name.as_str()).collect()
        };
        for object in objects(&registry) {
            let spec = &object.value["spec"];
            let (selector, meant) = match (object.kind.kind, object.name.as_str()) {
                ("StatefulSet" | "Deployment" | "PodDisruptionBudget", name) => {
                    (&spec["selector"]["matchLabels"], vec![name])
                }
                ("NetworkPolicy", name) => (&spec["podSelector"]["matchLabels"], vec![name]),
                ("Service", "r-metrics") => {
                    (&spec["selector"], workloads.iter().map(|(name, _)| name.as_str()).collect())
                }
                ("Service", "r-index") if name == "claim" => (&spec["selector"], vec!["r"]),
                ("Service", name) => (&spec["selector"], vec![name]),
                _ => continue,
            };
            assert_eq!(found(selector), meant, "{name} {} {}", object.kind.kind, object.name);
        }
    }
}

/// The variables of the pods of a workload, as the process finds them.
fn variables(template: &PodTemplateSpec) -> Vec<(String, String)> {
    let container = &template.spec.as_ref().unwrap().containers[0];
    let mut variables: Vec<(String, String)> = Vec::new();
    for variable in container.env.iter().flatten() {
        let secret = "from a Secret or a field".to_owned();
        let mut value = variable.value.clone().unwrap_or(secret).replace("$$", "\0");
        for (name, before) in &variables {
            value = value.replace(&format!("$({name})"), before);
        }
        variables.push((variable.name.clone(), value.replace('\0', "$")));
    }
    variables.retain(|(name, _)| name != "POD_NAME");
    variables
}

#[test]
fn the_processes_take_the_configuration_of_their_pods() {
    for (name, registry) in all() {
        for (workload, template) in workloads(&registry) {
            let environment = variables(&template);
            let mut names: Vec<&String> = environment.iter().map(|(name, _)| name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), environment.len(), "{name} {workload}: a variable is there twice");
            let config = load::load(&load::Sources { environment, ..load::Sources::default() }).unwrap();
            assert_eq!(check(&config), Vec::<String>::new(), "{name} {workload}");
        }
    }
    let (_, index) = &workloads(&everything())[0];
    let config = load::load(&load::Sources { environment: variables(index), ..load::Sources::default() }).unwrap();
    assert_eq!(config.blobs.public_endpoint.as_deref(), Some("https://a$(B)$c"), "no variable is put into a value");
    assert_eq!(config.server.max_connections, 500);
    assert_eq!(config.cluster.index.len(), 5);
}

#[test]
fn no_setting_takes_the_place_of_what_the_operator_sets() {
    for (_, registry) in all() {
        for (workload, template) in workloads(&registry) {
            for (variable, _) in variables(&template) {
                let set = registry
                    .spec
                    .settings
                    .keys()
                    .any(|key| variable == format!("ROADSTEAD_{}", key.replace('.', "_").to_uppercase()));
                let keys = roadstead::config::keys::known();
                let key = keys.iter().find(|key| roadstead::config::keys::variable(key) == variable).unwrap();
                assert!(set || is_ours(key), "{workload}: {key} could be set in spec.settings too");
            }
        }
    }
}

/// What the pods of the index say that they were made from.
fn made_from(registry: &Registry) -> String {
    template_of(&object(registry, "StatefulSet", "r-index")).unwrap().to_owned()
}

#[test]
fn other_keys_to_the_bucket_make_other_pods() {
    let with = |keys: Option<&str>| {
        let keys = Keys { index: keys.map(str::to_owned), clients: keys.map(str::to_owned) };
        let decided = Decided { keys, ..decided(&s3()) };
        let objects = build(&s3(), &around(), &decided);
        let pods = objects.iter().filter(|object| matches!(object.kind.kind, "StatefulSet" | "Deployment"));
        pods.map(|object| template_of(&object.value).unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (before, after) = (with(Some("a")), with(Some("b")));
    assert_eq!((before.len(), &before), (2, &with(Some("a"))));
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?}");
}

#[test]
fn pods_are_made_anew_when_what_they_are_made_from_changes_and_only_then() {
    let first = made_from(&s3());
    assert_eq!(made_from(&s3()), first, "the same Registry gives the same pods");
    let with = |change: fn(&mut Registry)| {
        let mut registry = s3();
        change(&mut registry);
        made_from(&registry)
    };
    for (what, other, is_new) in [
        ("another image", with(|registry| registry.spec.image = Some("a".into())), true),
        ("a setting", with(|registry| drop(registry.spec.settings.insert("history.per_tag".into(), "2".into()))), true),
        ("their resources", with(|registry| registry.spec.index.pods.priority_class_name = Some("a".into())), true),
        ("more nodes", with(|registry| registry.spec.index.replicas = 5), false),
        ("more pods for clients", with(|registry| registry.spec.replicas = 9), false),
        (
            "pods for clients elsewhere",
            with(|registry| registry.spec.pods.priority_class_name = Some("a".into())),
            false,
        ),
        ("larger volumes", with(|registry| registry.spec.index.volume.size = Quantity("20Gi".into())), false),
        ("who may pull", with(|registry| registry.spec.hostname = "b.example.com".into()), false),
        ("paused", with(|registry| registry.spec.paused = true), false),
    ] {
        assert_eq!(other != first, is_new, "{what}");
    }
}

#[test]
fn the_plan_decides_how_many_nodes_there_are_and_when_clients_are_served() {
    let registry = s3();
    let volume = Volume { size: Quantity("7Gi".into()), storage_class_name: Some("slow".into()) };
    let decided =
        Decided { index_pods: 4, clients_trust: None, set_volume: Some(volume), is_begun: false, ..decided(&registry) };
    let objects = build(&registry, &around(), &decided);
    let of = |kind: &str| objects.iter().find(|object| object.kind.kind == kind).map(|object| &object.value["spec"]);
    assert_eq!(of("StatefulSet").unwrap()["replicas"], 4);
    let claim = &of("StatefulSet").unwrap()["volumeClaimTemplates"][0]["spec"];
    assert_eq!(claim["resources"]["requests"]["storage"], "7Gi", "it cannot be changed in place");
    assert_eq!(claim["storageClassName"], "slow", "nor can this");
    assert_eq!(of("Deployment").unwrap()["replicas"], 0);
    assert!(of("ConfigMap").is_none(), "clients trust whom they trust");
}

#[test]
fn a_registry_from_a_backup_restores_before_its_index_begins_and_never_again() {
    let mut registry = s3();
    let set = |registry: &Registry, restores: bool| {
        let decided = Decided { is_begun: !restores, restores, ..decided(registry) };
        let objects = build(registry, &around(), &decided);
        objects.into_iter().find(|object| object.kind.kind == "StatefulSet").unwrap().value
    };
    assert_eq!(set(&registry, true)["spec"]["template"]["spec"].get("initContainers"), None);
    registry.spec.bootstrap = serde_json::from_value(json!({ "backup": "monday", "takeOver": true })).unwrap();
    let (before, after) = (set(&registry, true), set(&registry, false));
    assert_eq!(read_back::<StatefulSet>(&before), before);
    let restores = &before["spec"]["template"]["spec"]["initContainers"][0];
    let args = ["restore", "--if-empty", "--only-as=r-index-0.r-index.ns.svc:5001", "--backup=monday", "--take-over"];
    assert_eq!(restores["args"], json!(args));
    let template = serde_json::from_value(before["spec"]["template"].clone()).unwrap();
    assert_eq!(restricted::violations(&template), Vec::<String>::new());
    assert_eq!(after["spec"]["template"]["spec"].get("initContainers"), None);
    assert_eq!(template_of(&before), template_of(&after), "no pod is made again for that");
    registry.spec.bootstrap = serde_json::from_value(json!({ "archive": { "position": 7 } })).unwrap();
    assert_eq!(set(&registry, true)["spec"]["template"]["spec"]["initContainers"][0]["args"][3], "--position=7");
}

#[test]
fn a_budget_never_keeps_a_single_pod_where_it_is() {
    let budgets = |registry: &Registry| {
        objects(registry).iter().filter(|object| object.kind.kind == "PodDisruptionBudget").count()
    };
    let with = |index: i32, replicas: i32| {
        let mut registry = s3();
        (registry.spec.index.replicas, registry.spec.replicas) = (index, replicas);
        budgets(&registry)
    };
    assert_eq!((with(3, 2), with(1, 2), with(3, 1), with(1, 1)), (2, 1, 1, 0));
    assert_eq!(budgets(&claim()), 0);
}

#[test]
fn in_a_cluster_of_ipv6_pods_listen_there() {
    let around = Surroundings { is_ipv6: true, ..around() };
    let objects = build(&s3(), &around, &decided(&s3()));
    let text: String = objects.iter().map(|object| object.value.to_string()).collect();
    assert!(text.contains("[::]:5002") && !text.contains("0.0.0.0"));
}

#[test]
fn without_a_network_policy_there_is_none() {
    let mut registry = s3();
    registry.spec.network_policy.enabled = false;
    assert!(objects(&registry).iter().all(|object| object.kind.kind != "NetworkPolicy"));
}

#[test]
fn peers_are_reached_by_pods_of_the_registry_and_the_operator_alone() {
    let policy = object(&s3(), "NetworkPolicy", "r-index");
    let ingress = policy["spec"]["ingress"].as_array().unwrap();
    let peers: Vec<_> = ingress.iter().filter(|rule| rule["ports"][0]["port"] == 5001).collect();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0]["from"].as_array().unwrap().len(), 2);
    assert!(
        ingress.iter().all(|rule| rule["from"].as_array().is_some_and(|from| !from.is_empty())),
        "anybody: {policy}"
    );
}

#[test]
fn nodes_are_sent_only_to_hosts_that_whoever_installed_it_allows() {
    let may = |host: &str, allowed: &[&str]| {
        let mut registry = s3();
        host.clone_into(&mut registry.spec.hostname);
        registry.spec.nodes = serde_json::from_value(json!({ "trust": true })).unwrap();
        let hostnames = allowed.iter().map(ToString::to_string).collect();
        Surroundings { hostnames, nodes: Some("nodes".into()), ..around() }.may_tell_nodes(&registry).is_ok()
    };
    assert!(may("registry.example.com", &["registry.example.com"]) && may("registry.example.com", &[".example.com"]));
    assert!(!may("registry.example.com", &[]) && !may("docker.io", &[".example.com"]));
    assert!(!may("badexample.com", &["example.com", ".example.com"]) && !may("example.com", &[".example.com"]));
    assert!(may("registry.example.com", &["other/.example.com", "ns/registry.example.com"]));
    assert!(may("registry.example.com", &["ns/.example.com"]) && !may("registry.example.com", &["other/.example.com"]));
    let told_in = |directory: &str| {
        let mut registry = s3();
        registry.spec.nodes = serde_json::from_value(json!({ "trust": true, "certsDirectory": directory })).unwrap();
        let hostnames = vec!["r.example.com".to_owned()];
        Surroundings { hostnames, nodes: Some("nodes".into()), ..around() }.may_tell_nodes(&registry).map(str::to_owned)
    };
    assert!(told_in("/etc/containerd/certs.d").is_ok());
    let why = told_in("/usr/local/share/ca-certificates/certs.d").unwrap_err();
    assert!(why.contains("nodes.certsDirectories"), "{why}");
    let nowhere = Surroundings { nodes: None, ..around() };
    assert!(nowhere.may_tell_nodes(&s3()).is_err());
}

#[test]
fn what_the_operator_does_not_set_may_be_set_though_its_section_is_ours() {
    for ours in ["server.role", "cluster.name", "storage.kind", "access.anonymous", "log.format", "tls.key"] {
        assert!(is_ours(ours), "{ours}");
    }
    for free in [
        "cluster.election_milliseconds",
        "cluster.snapshot_entries",
        "log.filter",
        "server.drain_seconds",
        "storage.s3.checksums",
        "storage.s3.attempts",
    ] {
        assert!(!is_ours(free), "{free}");
    }
}

#[test]
fn what_a_user_wrote_never_names_another_variable() {
    let mut registry = s3();
    registry.spec.storage.s3.as_mut().unwrap().prefix = Some("x-$(POD_NAME)".into());
    let objects = build(&registry, &around(), &decided(&registry));
    let set = objects.into_iter().find(|object| object.kind.kind == "StatefulSet").unwrap().value;
    let variables = set.pointer("/spec/template/spec/containers/0/env").unwrap().as_array().unwrap().clone();
    let prefix = variables.iter().find(|variable| variable["name"] == "ROADSTEAD_STORAGE_S3_PREFIX").unwrap();
    assert_eq!(prefix["value"], "x-$$(POD_NAME)");
}

#[test]
fn what_is_never_pruned_is_wanted_whatever_a_registry_says() {
    let kept = |registry: &Registry, decided: &Decided| -> Vec<String> {
        let objects = build(registry, &around(), decided);
        objects
            .iter()
            .filter(|object| !object.kind.prunable)
            .map(|it| format!("{} {}", it.kind.kind, it.name))
            .collect()
    };
    let (plain, full) = (s3(), everything());
    let begins = Decided { clients_trust: None, is_begun: false, ..decided(&plain) };
    assert_eq!(kept(&plain, &decided(&plain)), kept(&full, &decided(&full)));
    assert_eq!(kept(&plain, &decided(&plain)), kept(&plain, &begins));
}
