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
    // As it is once everything has lasted.
    let found = Found { troubles: troubles::troubles(registry, observed, found), ..found.clone() };
    let status = status(registry, observed, &found, &now());
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
            "False PodsUnwell",
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
    let plan = Plan {
        refused: vec![("more room".into(), Refusal { guard: "g", why: "no".into(), may_pass: false })],
        ..Plan::default()
    };
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
fn what_comes_right_by_itself_is_no_trouble_yet_but_something_goes_on() {
    let refusal = |may_pass| Refusal { guard: "one_pod_at_a_time", why: "node 1 is not ready".into(), may_pass };
    let found = |may_pass| Found {
        plan: Plan { refused: vec![("node 2 to be made again".into(), refusal(may_pass))], ..Plan::default() },
        ..Found::default()
    };
    let registry = registry(&json!({}));
    let (passing, lasting) = (found(true), found(false));
    let troubles = |found| troubles::troubles(&registry, &Observed::default(), found);
    for (what, found, degraded, progress) in [
        ("it may pass", Found { passing: troubles(&passing), ..passing.clone() }, "False Fine", "True Working"),
        ("it lasts", Found { troubles: troubles(&lasting), ..lasting.clone() }, "True Refused", "False Refused"),
    ] {
        let status = status(&registry, &Observed::default(), &found, &now());
        let said = |kind: &str| {
            let condition = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
            assert!(
                condition.status == "False" && condition.reason == "Fine"
                    || condition.message.contains("(one_pod_at_a_time)")
            );
            format!("{} {}", condition.status, condition.reason)
        };
        assert_eq!((said("Degraded").as_str(), said("Progressing").as_str()), (degraded, progress), "{what}");
    }
    let memory = crate::memory::Memory::default();
    let sorted = |found| memory.sorted("1", troubles(found), false, std::time::Instant::now());
    assert_eq!(
        (sorted(&passing).1.len(), sorted(&lasting).0.len()),
        (1, 1),
        "only the guard knows whether it may pass"
    );
}

#[test]
fn an_index_that_nobody_leads_is_a_trouble() {
    let view = View { begun: true, wanted: 3, ..View::default() };
    let (s3, found) =
        (registry(&json!({ "storage": { "s3": { "bucket": "b" } } })), Found { view: Some(&view), ..Found::default() });
    assert_eq!(said(&s3, &Observed::default(), &found, "Degraded"), "True NobodyAnswers");
    assert_eq!(said(&s3, &Observed::default(), &found, "Ready"), "False NobodyAnswers");
}

#[test]
fn storage_that_fails_is_a_trouble_with_what_it_answers() {
    let store = |says: &str| Observed { stores: [("r-0".to_owned(), says.to_owned())].into(), ..Observed::default() };
    let registry = registry(&json!({}));
    let found = Found::default();
    for (says, degraded, reachable) in [
        ("ok", "False Fine", "True StoreAnswers"),
        ("starting", "False Fine", "True StoreAnswers"),
        ("403 SignatureDoesNotMatch", "True StoreFails", "False StoreFails"),
    ] {
        assert_eq!(said(&registry, &store(says), &found, "Degraded"), degraded, "{says}");
        assert_eq!(said(&registry, &store(says), &found, "StorageReachable"), reachable, "{says}");
    }
    let all = troubles::troubles(&registry, &store("403 SignatureDoesNotMatch"), &found);
    assert_eq!(all[0].message, "r-0: the object storage: 403 SignatureDoesNotMatch");
}

#[test]
fn a_claim_that_nobody_makes_a_volume_for_is_told_with_its_class() {
    use crate::observe::Class;
    let claim = |class: Option<&str>, volume: Option<&str>| {
        serde_json::from_value(json!({
            "metadata": { "name": "data-r-0" },
            "spec": { "storageClassName": class, "volumeName": volume },
            "status": { "phase": if volume.is_some() { "Bound" } else { "Pending" } },
        }))
        .unwrap()
    };
    let classes = [("fsat".to_owned(), Class::Missing), ("fast".to_owned(), Class::Fixed)];
    for (what, class, volume, words) in [
        ("it is misspelt", Some("fsat"), None, "the StorageClass fsat, and there is none"),
        ("there is no default", None, None, "no default one"),
        ("it is on its way", Some("fast"), None, ""),
        ("nobody may say", Some("slow"), None, ""),
        ("the class is gone, the volume is not", Some("fsat"), Some("v"), ""),
    ] {
        let classes = classes.clone().into();
        let observed = Observed { claims: vec![claim(class, volume)], classes, ..Observed::default() };
        let told = troubles::troubles(&registry(&json!({})), &observed, &Found::default());
        assert_eq!(told.is_empty(), words.is_empty(), "{what}");
        assert!(
            told.iter().all(|trouble| trouble.reason == "StorageClassMissing" && trouble.message.contains(words)),
            "{what}: {told:?}"
        );
    }
}

#[test]
fn clients_are_told_the_port_of_a_service_that_they_reach_themselves() {
    for (exposure, url) in [
        (json!({ "service": { "type": "LoadBalancer", "port": 8443 } }), "https://r.example.com:8443"),
        (json!({ "service": { "type": "LoadBalancer" } }), "https://r.example.com"),
        (json!({ "service": { "type": "LoadBalancer", "port": 8443 }, "ingress": {} }), "https://r.example.com"),
        (json!({ "service": { "port": 8443 } }), "https://r.example.com"),
        (json!({ "service": { "type": "NodePort" } }), "https://r.example.com:30443"),
        (
            json!({ "service": { "type": "NodePort" }, "gateway": { "parentRefs": [{ "name": "g" }] } }),
            "https://r.example.com",
        ),
    ] {
        let registry = registry(&json!({ "exposure": exposure }));
        let service =
            json!({ "kind": "Service", "metadata": { "name": "r" }, "spec": { "ports": [{ "nodePort": 30443 }] } });
        let endpoints = status(&registry, &observed(&[], &service), &Found::default(), &now()).endpoints;
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
