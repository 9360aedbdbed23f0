//! What is wrong with a registry, as it is told in a condition and by an event. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::Value;

use super::Found;
use super::conditions::{pods_of_clients, quorum, workload};
use crate::crd::Registry;
use crate::look::{self, is_ready};
use crate::memory::Trouble;
use crate::names::{Component, Names};
use crate::observe::{Class, Observed, why_not_running};
use crate::plan::View;

/// What pods and nodes do by themselves takes no longer: to be made again one after the other, to elect a leader, to find a
/// machine. Whoever rolls something out is not to be told of trouble.
const COMING_BACK: Duration = Duration::from_mins(2);
const ELECTING: Duration = Duration::from_secs(20);
const PLACING: Duration = Duration::from_secs(10);

/// What is refused or fails, the first being what hinders most.
pub fn troubles(registry: &Registry, observed: &Observed, found: &Found<'_>) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> =
        found.problems.iter().map(|problem| Trouble::new(problem.reason, problem.message.clone())).collect();
    troubles.extend(found.view.and_then(lost_quorum));
    troubles.extend(store_fails(observed).map(|(pod, why)| {
        Trouble::counting("StoreFails", "", why, format!("{pod}: the object storage: {why}")).after(ELECTING)
    }));
    troubles.extend(found.view.and_then(unwell).map(|why| Trouble::one("NodesUnwell", why).after(COMING_BACK)));
    troubles.extend(without_class(observed).map(|why| Trouble::new("StorageClassMissing", why).after(PLACING)));
    troubles.extend(found.failed.iter().map(|why| Trouble::counting("ApplyFailed", "", why, why.clone())));
    let certificates = found.certificates.as_ref().err();
    troubles.extend(certificates.map(|why| Trouble::counting("CertificatesFailed", "", why, why.clone())));
    troubles.extend(found.unusable_trust.iter().map(|why| Trouble::new("TrustUnreadable", why)));
    troubles.extend(found.plan.refused.iter().map(|(wants, refusal)| {
        let what = format!("{wants} {}", refusal.guard);
        let trouble = Trouble::counting("Refused", &what, &refusal.why, format!("{wants}: {refusal}"));
        if refusal.may_pass { trouble.after(COMING_BACK) } else { trouble }
    }));
    troubles
        .extend(found.step_failed.iter().map(|(step, why)| Trouble::counting("StepFailed", step, why, why.clone())));
    if let (true, Err(why)) = (registry.spec.tells_nodes(), &found.may_tell_nodes) {
        troubles.push(Trouble::new("NodesNotAllowed", why));
    }
    troubles.extend(found.missing_kinds.iter().map(|why| Trouble::new("KindMissing", why)));
    troubles.extend(pods_unwell(registry, observed).map(|why| Trouble::one("PodsUnwell", why).after(PLACING)));
    troubles
}

/// A pod that does not reach the object storage, and why.
pub(super) fn store_fails(observed: &Observed) -> Option<(&String, &String)> {
    observed.stores.iter().find(|(_, store)| *store != "ok" && *store != "starting")
}

/// A claim that waits for a volume, and for which nobody makes any.
fn without_class(observed: &Observed) -> Option<String> {
    observed.claims.iter().filter(|claim| look::is_unmade(claim)).find_map(|claim| {
        let name = claim.name_any();
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
        let fields = "storageClassName of the volume in the Registry";
        match class {
            Some(class) if observed.classes.get(class) == Some(&Class::Missing) => Some(format!(
                "the claim {name} asks for the StorageClass {class}, and there is none: correct {fields}, or make one"
            )),
            Some(_) => None,
            None => Some(format!(
                "the claim {name} names no StorageClass, and the cluster has no default one: set {fields}"
            )),
        }
    })
}

/// A cluster that has begun and that nobody leads.
fn lost_quorum(view: &View) -> Option<Trouble> {
    if !view.begun || view.leader().is_some() {
        return None;
    }
    let quorum = quorum(view);
    Some(Trouble::one(&quorum.reason, quorum.message).after(ELECTING))
}

/// Nodes that are wanted and not well.
fn unwell(view: &View) -> Option<String> {
    if !view.begun || view.leader().is_none() {
        return None; // that is more than that
    }
    let why = |ordinal: u32| match view.member_of(ordinal) {
        Some(member) => view.is_well(member).err(),
        None => Some(format!("node {ordinal} is no member yet")),
    };
    let all: Vec<String> = (0..view.wanted).filter_map(why).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn pods_of_index<'a>(registry: &Registry, observed: &'a Observed) -> Vec<&'a Pod> {
    observed.pods_of(&Names::of(registry), Component::Index).collect()
}

/// Why pods do not run, or a revision of those that serve clients does not come up.
fn pods_unwell(registry: &Registry, observed: &Observed) -> Option<String> {
    let live = workload(registry, observed)?;
    let pods = pods_of_clients(registry, observed).into_iter().chain(pods_of_index(registry, observed));
    let mut why: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.filter(|pod| !is_ready(pod)) {
        if let Some(reason) = why_not_running(pod) {
            why.entry(reason).or_default().push(pod.name_any());
        }
    }
    let why = why.into_iter().map(|(why, pods)| format!("{}: {why}", pods.join(", ")));
    let conditions = live.pointer("/status/conditions").and_then(Value::as_array);
    let is_late = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Progressing" && condition["reason"] == "ProgressDeadlineExceeded");
    let late = is_late.then(|| "the new revision of the pods that serve clients does not come up".to_owned());
    let all: Vec<String> = late.into_iter().chain(why).collect();
    (!all.is_empty()).then(|| all.join("; "))
}
