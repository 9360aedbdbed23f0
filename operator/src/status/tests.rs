//! What is said of registries in all states that are worth a look, and above all what is not said of them.

#![allow(clippy::unwrap_used, reason = "a test")]

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::certificates::live::{Flaw, Span};
use crate::object::Kind;
use crate::plan::guards::Refusal;
use crate::validate::Problem;

const NOW: i64 = 1_800_000_000;

fn registry(spec: &Value) -> Registry {
    let mut value = json!({
        "apiVersion": "roadstead.dev/v1alpha1",
        "kind": "Registry",
        "metadata": { "name": "r", "namespace": "ns", "uid": "1", "generation": 2 },
        "spec": { "hostname": "r.example.com", "replicas": 1, "storage": { "claim": {} } },
    });
    value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn now() -> Time {
    Time(Timestamp::from_second(NOW).unwrap())
}

/// A pod that serves clients: ready, or with what its container waits for.
fn pod(component: Component, waits: Option<&str>) -> Pod {
    let names = Names { name: "r".into(), namespace: "ns".into() };
    let container = waits.map_or(json!({}), |why| json!({ "waiting": { "reason": why } }));
    let ready = if waits.is_none() { "True" } else { "False" };
    serde_json::from_value(json!({
        "metadata": { "name": "r-0", "labels": names.selector(component) },
        "status": {
            "conditions": [{ "type": "Ready", "status": ready }],
            "containerStatuses": [{ "name": "r", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": container }],
        },
    }))
    .unwrap()
}

fn observed(pods: &[Pod], workload: &Value) -> Observed {
    let mut observed = Observed { pods: pods.to_vec(), ..Observed::default() };
    if let Some(kind) = workload["kind"].as_str() {
        let live: kube::api::DynamicObject = serde_json::from_value(workload.clone()).unwrap();
        observed.objects.insert((Kind::named(kind).unwrap(), live.name_any()), live);
    }
    observed
}

/// A workload of one pod.
fn workload(kind: &str, available: i64, conditions: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": { "name": "r", "generation": 1 },
        "spec": { "replicas": 1 },
        "status": {
            "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available,
            "currentRevision": "a", "updateRevision": "a", "conditions": conditions,
        },
    })
}

/// Of each condition `status reason`.
fn said(registry: &Registry, observed: &Observed, found: &Found<'_>, kind: &str) -> String {
    let status = status(registry, observed, found, &now());
    let condition = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    format!("{} {}", condition.status, condition.reason)
}

#[test]
fn what_is_wrong_in_a_spec_does_not_make_a_registry_unready_that_serves() {
    let problems = [Problem { reason: "InvalidSettings", message: "a typo".into() }];
    let found = Found { problems: &problems, ..Found::default() };
    let one = registry(&json!({}));
    let serves = observed(&[pod(Component::All, None)], &workload("StatefulSet", 1, &json!([])));
    for (what, observed, ready) in
        [("it serves", &serves, "True Serving"), ("it was never built", &Observed::default(), "False InvalidSettings")]
    {
        assert_eq!(said(&one, observed, &found, "Ready"), ready, "{what}");
        assert_eq!(said(&one, observed, &found, "Degraded"), "True InvalidSettings", "{what}");
        assert_eq!(said(&one, observed, &found, "Progressing"), "False InvalidSettings", "{what}");
    }
    let broken = observed(&[pod(Component::All, Some("CrashLoopBackOff"))], &workload("StatefulSet", 0, &json!([])));
    assert_eq!(said(&one, &broken, &Found::default(), "Ready"), "False NoPodsReady");
}

#[test]
fn a_plan_that_is_not_carried_out_is_no_progress() {
    let plan = || Plan { waiting: vec!["node 1 to catch up".into()], ..Plan::default() };
    let problems = [Problem { reason: "ForbiddenPods", message: "root".into() }];
    for (what, paused, found, progress) in [
        ("it goes on", false, Found { plan: plan(), ..Found::default() }, "True Working"),
        ("it is wrong", false, Found { plan: plan(), problems: &problems, ..Found::default() }, "False ForbiddenPods"),
        (
            "certificates fail",
            false,
            Found { plan: plan(), certificates: Err("x".into()), ..Found::default() },
            "False CertificatesFailed",
        ),
        ("paused", true, Found { plan: plan(), problems: &problems, ..Found::default() }, "False Paused"),
        ("objects were changed", false, Found { is_changed: true, ..Found::default() }, "True Working"),
        (
            "another one is first",
            false,
            Found { waits_for_turn: Some("when a/b has it".into()), ..Found::default() },
            "False WaitsForTurn",
        ),
        ("at rest", false, Found::default(), "False AtRest"),
    ] {
        let registry = registry(&json!({ "paused": paused }));
        assert_eq!(said(&registry, &Observed::default(), &found, "Progressing"), progress, "{what}");
    }
}

#[test]
fn pods_that_do_not_come_up_are_told_of_whatever_makes_them() {
    let (s3, claim) = (registry(&json!({ "storage": { "s3": { "bucket": "b" } } })), registry(&json!({})));
    let late = json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }]);
    let fine = json!([{ "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable" }]);
    let crash = Some("CrashLoopBackOff");
    for (what, registry, component, waits, workload, degraded, progress) in [
        ("all is well", &s3, Component::Registry, None, workload("Deployment", 1, &fine), "False Fine", "False AtRest"),
        (
            "a late revision",
            &s3,
            Component::Registry,
            None,
            workload("Deployment", 1, &late),
            "True PodsUnwell",
            "False AtRest",
        ),
        (
            "it crashes",
            &s3,
            Component::Registry,
            crash,
            workload("Deployment", 0, &fine),
            "True PodsUnwell",
            "True Working",
        ),
        (
            "it begins",
            &s3,
            Component::Registry,
            Some("ContainerCreating"),
            workload("Deployment", 0, &fine),
            "False Fine",
            "True Working",
        ),
        (
            "the only pod is well",
            &claim,
            Component::All,
            None,
            workload("StatefulSet", 1, &json!([])),
            "False Fine",
            "False AtRest",
        ),
        (
            "the only pod crashes",
            &claim,
            Component::All,
            crash,
            workload("StatefulSet", 0, &json!([])),
            "True PodsUnwell",
            "True Working",
        ),
    ] {
        let observed = observed(&[pod(component, waits)], &workload);
        assert_eq!(said(registry, &observed, &Found::default(), "Degraded"), degraded, "{what}");
        assert_eq!(said(registry, &observed, &Found::default(), "Progressing"), progress, "{what}");
    }
}

#[test]
fn certificates_are_judged_by_those_that_are_there_and_not_by_those_that_were_made() {
    let day = 86_400;
    let held = |until: i64| vec![Held { secret: "r-tls".into(), span: Ok(Span { from: NOW - 90 * day, until }) }];
    for (what, paused, held, certificates, valid) in [
        ("they hold", false, held(NOW + 30 * day), Ok(None), "True Valid"),
        ("they are renewed", false, held(NOW + 30 * day), Ok(Some("a pod".into())), "True Renewing"),
        ("nobody renews them", true, held(NOW + 6 * day), Ok(None), "False ExpiresSoon"),
        ("they are over, and others were made", true, held(NOW - 1), Ok(Some("a pod".into())), "False Expired"),
        (
            "not to be read",
            false,
            vec![Held { secret: "own".into(), span: Err(Flaw::Unreadable("?".into())) }],
            Ok(None),
            "False Unreadable",
        ),
        ("the authority cannot be read", false, held(NOW - 1), Err("?".into()), "False Failed"),
    ] {
        let found = Found { certificates, held, ..Found::default() };
        let registry = registry(&json!({ "paused": paused }));
        assert_eq!(said(&registry, &Observed::default(), &found, "CertificatesValid"), valid, "{what}");
    }
}

#[test]
fn whatever_is_refused_or_missing_is_a_trouble() {
    let plan =
        Plan { refused: vec![("more room".into(), Refusal { guard: "g", why: "no".into() })], ..Plan::default() };
    let nodes = registry(&json!({ "nodes": { "trust": true } }));
    for (registry, found, reason) in [
        (&registry(&json!({})), Found { plan, ..Found::default() }, "True Refused"),
        (&nodes, Found { may_tell_nodes: Err("no".into()), ..Found::default() }, "True NodesNotAllowed"),
        (&registry(&json!({})), Found { may_tell_nodes: Err("no".into()), ..Found::default() }, "False Fine"),
        (&nodes, Found { missing_kinds: vec!["HTTPRoute".into()], ..Found::default() }, "True KindMissing"),
        (&nodes, Found { failed: Some("quota".into()), ..Found::default() }, "True ApplyFailed"),
        (&nodes, Found { step_failed: Some(("s".into(), "s: no".into())), ..Found::default() }, "True StepFailed"),
    ] {
        assert_eq!(said(registry, &Observed::default(), &found, "Degraded"), reason);
    }
}

#[test]
fn clients_are_told_the_port_of_a_service_that_they_reach_themselves() {
    for (exposure, url) in [
        (json!({ "service": { "type": "LoadBalancer", "port": 8443 } }), "https://r.example.com:8443"),
        (json!({ "service": { "type": "LoadBalancer" } }), "https://r.example.com"),
        (json!({ "service": { "type": "LoadBalancer", "port": 8443 }, "ingress": {} }), "https://r.example.com"),
        (json!({ "service": { "port": 8443 } }), "https://r.example.com"),
    ] {
        let registry = registry(&json!({ "exposure": exposure }));
        let endpoints = status(&registry, &Observed::default(), &Found::default(), &now()).endpoints;
        assert_eq!((endpoints[0].purpose.as_str(), endpoints[0].url.as_str()), ("Clients", url));
    }
}

#[test]
fn a_node_that_fails_does_so_since_it_began() {
    let mut registry = registry(&json!({ "nodes": { "trust": true } }));
    let observed = Observed {
        reports: vec![("a".into(), Err("no".into())), ("b".into(), Err("no".into()))],
        ..Observed::default()
    };
    let first = status(&registry, &observed, &Found::default(), &now());
    registry.status = Some(first.clone());
    let later = Time(Timestamp::from_second(NOW + 60).unwrap());
    let second = status(&registry, &observed, &Found::default(), &later);
    assert_eq!(second.nodes, first.nodes, "a status that says nothing new is not written");
    assert_eq!(second.nodes.unwrap().failing[0].since, Some(now()));
}
