//! The conditions: each by what is seen, and not by what was wanted. Pure.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::troubles::store_fails;
use super::{Found, Say};
use crate::certificates::live;
use crate::crd::Registry;
use crate::memory::Trouble;
use crate::names::{Component, Names};
use crate::nodes::objects;
use crate::object::text_of;
use crate::observe::{Observed, why_not_running};
use crate::plan::{self, View};

/// What else conditions are said by.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Pods that serve clients and are ready, and how many are wanted.
    pub ready: i32,
    pub wanted: i32,
    pub now: &'a Time,
}

/// All of them, in the order in which they are told.
pub fn all(registry: &Registry, observed: &Observed, found: &Found<'_>, moment: &Moment<'_>) -> Vec<Say> {
    let quorum = found.view.map(quorum);
    let mut said = vec![
        ready(registry, observed, found, quorum.as_ref(), moment),
        progressing(registry, observed, found),
        match found.troubles.first() {
            Some(Trouble { reason, .. }) => {
                let all: Vec<&str> = found.troubles.iter().map(|trouble| trouble.message.as_str()).collect();
                Say::new("Degraded", "True", reason, all.join("; "))
            }
            None => Say::new("Degraded", "False", "Fine", ""),
        },
    ];
    said.extend(quorum);
    said.push(storage_reachable(observed));
    said.push(certificates(registry, found, moment.now.0.as_second()));
    if registry.spec.tells_nodes() {
        said.push(nodes(observed, found));
    }
    said.push(if registry.spec.paused {
        Say::new("Paused", "True", "Paused", "spec.paused is set: the operator looks and changes nothing")
    } else {
        Say::new("Paused", "False", "Running", "")
    });
    said
}

/// By what serves. A Registry that is wrong leaves alone what it was built from before.
fn ready(
    registry: &Registry,
    observed: &Observed,
    found: &Found<'_>,
    quorum: Option<&Say>,
    &Moment { ready, wanted, .. }: &Moment<'_>,
) -> Say {
    let kind = "Ready";
    let lost = quorum.filter(|quorum| quorum.status != "True");
    let is_built = lost.is_none_or(|quorum| quorum.reason != "NotBegun") && (lost.is_some() || ready > 0);
    match (found.problems.first(), lost) {
        (Some(problem), _) if !is_built => Say::new(kind, "False", problem.reason, &problem.message),
        (_, Some(quorum)) => Say::new(kind, "False", &quorum.reason, &quorum.message),
        _ if ready < wanted.min(1) => {
            let why = pods_of_clients(registry, observed).into_iter().find_map(why_not_running);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let message = format!("{ready} of {wanted} pods that serve clients are ready{why}");
            Say::new(kind, "False", "NoPodsReady", message)
        }
        _ if ready < wanted => {
            Say::new(kind, "True", "SomePodsReady", format!("{ready} of {wanted} pods that serve clients are ready"))
        }
        _ => Say::new(kind, "True", "Serving", format!("{ready} of {wanted} pods serve clients")),
    }
}

fn progressing(registry: &Registry, observed: &Observed, found: &Found<'_>) -> Say {
    let kind = "Progressing";
    let steps = found.plan.step.iter().map(ToString::to_string).chain(found.plan.waiting.iter().cloned());
    let changed = found.is_changed.then(|| "objects were made as the spec says".to_owned());
    let passing = found.passing.iter().map(|trouble| trouble.message.clone());
    let all: Vec<String> = steps.chain(workload_is_moving(registry, observed)).chain(passing).chain(changed).collect();
    let blocked = "nothing is changed until this is mended";
    match (found.problems.first(), &found.certificates) {
        _ if registry.spec.paused && !all.is_empty() => {
            Say::new(kind, "False", "Paused", "nothing is changed while paused")
        }
        (Some(problem), _) => Say::new(kind, "False", problem.reason, format!("{blocked}: {}", problem.message)),
        (None, Err(why)) => Say::new(kind, "False", "CertificatesFailed", format!("{blocked}: {why}")),
        _ if !all.is_empty() => Say::new(kind, "True", "Working", all.join("; ")),
        _ => match (&found.waits_for_turn, found.troubles.first()) {
            (Some(why), _) => Say::new(kind, "False", "WaitsForTurn", why),
            (None, Some(trouble)) => {
                Say::new(kind, "False", &trouble.reason, format!("nothing goes on: {}", trouble.message))
            }
            (None, None) => Say::new(kind, "False", "AtRest", "everything is as the spec says"),
        },
    }
}

/// By what stands in the certificates that are in use.
fn certificates(registry: &Registry, found: &Found<'_>, now: i64) -> Say {
    let kind = "CertificatesValid";
    match (&found.certificates, live::judge(&found.held, now)) {
        (Err(why), _) => Say::new(kind, "False", "Failed", why),
        (_, Err((reason, why))) => {
            let paused = if registry.spec.paused { ": nothing is renewed while spec.paused is set" } else { "" };
            Say::new(kind, "False", reason, format!("{why}{paused}"))
        }
        (Ok(Some(why)), Ok(())) => Say::new(kind, "True", "Renewing", why),
        (Ok(None), Ok(())) => Say::new(kind, "True", "Valid", ""),
    }
}

fn nodes(observed: &Observed, found: &Found<'_>) -> Say {
    let kind = "NodesTrust";
    if let Err(why) = &found.may_tell_nodes {
        return Say::new(kind, "False", "NotAllowed", why);
    }
    let said = objects::status(&observed.reports);
    match said.failing.first() {
        Some(node) => {
            Say::new(kind, "False", "NodesFail", format!("{} nodes; {}: {}", said.trusting, node.name, node.message))
        }
        None if observed.reports.is_empty() => {
            Say::new(kind, "Unknown", "NothingReported", "no node has said anything yet")
        }
        None => Say::new(kind, "True", "NodesTold", format!("{} nodes are sent to the registry", said.trusting)),
    }
}

/// By the word of every pod that says anything.
fn storage_reachable(observed: &Observed) -> Say {
    let kind = "StorageReachable";
    match store_fails(observed) {
        Some((pod, store)) => Say::new(kind, "False", "StoreFails", format!("{pod}: {store}")),
        None if observed.stores.is_empty() => Say::new(kind, "Unknown", "NobodyAnswers", "no pod says anything of it"),
        None => Say::new(kind, "True", "StoreAnswers", ""),
    }
}

pub(super) fn quorum(view: &View) -> Say {
    let kind = "QuorumAvailable";
    if let Some(leader) = view.leader() {
        let voters: Vec<_> = leader.members.iter().filter(|member| member.voter).collect();
        let well = voters.iter().filter(|member| view.is_well(member).is_ok()).count();
        return Say::new(kind, "True", "LeaderFollowed", format!("{well} of {} voters are well", voters.len()));
    }
    if !view.begun {
        return Say::new(kind, "False", "NotBegun", "the index has not begun yet");
    }
    if view.pods.iter().all(|pod| pod.status().is_none()) {
        let why = view.pods.iter().find_map(plan::Pod::silence);
        return Say::new(
            kind,
            "Unknown",
            "NobodyAnswers",
            format!("no index node answers: {}", why.unwrap_or("there is none")),
        );
    }
    let silent: Vec<String> =
        view.pods.iter().filter_map(|pod| Some(format!("node {}: {}", pod.ordinal, pod.silence()?))).collect();
    let why = if silent.is_empty() { String::new() } else { format!(": {}", silent.join("; ")) };
    Say::new(kind, "False", "NoLeader", format!("no majority of the index follows a leader{why}"))
}

pub(super) fn pods_of_clients<'a>(registry: &Registry, observed: &'a Observed) -> Vec<&'a Pod> {
    let component = if registry.spec.is_single() { Component::All } else { Component::Registry };
    let names = Names::of(registry);
    observed.pods_of(&names, component).filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// What serves clients: a Deployment, or the StatefulSet of one pod.
pub(super) fn workload(registry: &Registry, observed: &Observed) -> Option<Value> {
    let kind = if registry.spec.is_single() { "StatefulSet" } else { "Deployment" };
    observed.object(kind, &Names::of(registry).registry()).map(text_of)
}

/// What serves clients rolls, or has pods that are not there yet.
fn workload_is_moving(registry: &Registry, observed: &Observed) -> Option<String> {
    let live = workload(registry, observed)?;
    let number = |pointer: &str| live.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let wanted = number("/spec/replicas");
    let available = number("/status/availableReplicas");
    let total = number("/status/replicas");
    // A StatefulSet no longer counts what is up to date when all is.
    let revision = |name: &str| live.pointer(&format!("/status/{name}Revision"));
    let is_one_revision = registry.spec.is_single() && revision("current") == revision("update");
    let updated = if is_one_revision { total } else { number("/status/updatedReplicas") };
    let is_seen = number("/metadata/generation") == number("/status/observedGeneration");
    let rests = is_seen && updated == wanted && available == wanted && total == wanted;
    (!rests).then(|| format!("pods that serve clients: {updated} of {wanted} are up to date, {available} available"))
}
