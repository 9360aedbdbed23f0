//! What is said of a registry, from what was observed and decided. Pure: what is not known is told as `Unknown`, and never
//! as it was before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::crd::Registry;
use crate::crd::status::{Endpoint, IndexStatus, MemberStatus, RegistryStatus};
use crate::look::is_ready;
use crate::names::{Component, Names};
use crate::nodes::objects;
use crate::object::text_of;
use crate::observe::{Observed, why_not_running};
use crate::plan::{Plan, Said, View};
use crate::validate::Problem;

/// What a pass found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    pub problems: &'a [Problem],
    /// None: the index is not looked at, since everything is in one pod.
    pub view: Option<&'a View>,
    pub plan: Plan,
    /// What of the objects could not be applied.
    pub failed: Option<String>,
    /// What a step came to that could not be done.
    pub step_failed: Option<String>,
    /// Certificates: an error, or what is waited for.
    pub certificates: Result<Option<String>, String>,
    /// Whether clients need to be told whom to trust.
    pub has_trust: bool,
    /// Whether nodes may be told of the registry, or why not.
    pub may_tell_nodes: Result<(), String>,
}

/// The status of a registry now.
pub fn status(registry: &Registry, observed: &Observed, found: &Found<'_>, now: &Time) -> RegistryStatus {
    let names = Names::of(registry);
    let before = registry.status.clone().unwrap_or_default();
    let single = found.view.is_none();
    let component = if single { Component::All } else { Component::Registry };
    let pods: Vec<_> =
        observed.pods_of(&names, component).filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    let ready = pods.iter().filter(|pod| is_ready(pod)).count() as i32;
    let wanted = if single { 1 } else { registry.spec.replicas };
    let selector: Vec<String> =
        names.selector(component).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let index = found.view.map(|view| index(registry, view));
    let conditions = conditions(registry, observed, found, ready, wanted);
    RegistryStatus {
        observed_generation: registry.metadata.generation,
        conditions: conditions
            .into_iter()
            .map(|said| said.since(&before.conditions, registry.metadata.generation, now))
            .collect(),
        replicas: Some(pods.len() as i32),
        selector: Some(selector.join(",")),
        pods: Some(format!("{ready}/{wanted}")),
        version: version(found.view),
        index,
        storage: Some(storage(registry)),
        endpoints: endpoints(registry, &names, found.has_trust),
        nodes: registry.spec.tells_nodes().then(|| objects::status(&observed.reports)),
    }
}

fn index(registry: &Registry, view: &View) -> IndexStatus {
    let ready = (0..view.wanted).filter(|ordinal| view.votes_well(*ordinal)).count();
    let leader = view.leader();
    let before = registry.status.as_ref().and_then(|status| status.index.clone()).unwrap_or_default();
    let members = view.pods.iter().map(|pod| {
        let name = pod_name(view, pod.ordinal);
        match &pod.said {
            Said::Nothing(why) => {
                let message = pod.unplaced.as_ref().map_or(why, |unplaced| &unplaced.reason);
                MemberStatus { name, role: "Unknown".into(), message: Some(short(message)), ..MemberStatus::default() }
            }
            Said::Status(status) => {
                let role = match view.member_in(pod) {
                    Some(member) if member.voter => "Voter",
                    Some(_) => "Learner",
                    None if status.members.is_empty() => "Empty",
                    None => "Stranger",
                };
                let id = (role != "Empty").then(|| status.id.to_string());
                MemberStatus { name, role: role.into(), id, version: Some(status.version.clone()), message: None }
            }
        }
    });
    IndexStatus {
        cluster: view.cluster.clone(),
        bootstrapped: before.bootstrapped,
        ready: Some(format!("{ready}/{}", view.wanted)),
        leader: leader.and_then(|leader| Some(pod_name(view, view.ordinal_of(&leader.name)?))),
        feature_level: leader.map(|leader| i64::from(leader.level_in_force)),
        members: members.collect(),
    }
}

fn pod_name(view: &View, ordinal: u32) -> String {
    let address = view.addresses.get(ordinal as usize).map_or("", String::as_str);
    address.split('.').next().unwrap_or_default().to_owned()
}

fn version(view: Option<&View>) -> Option<String> {
    let mut versions: Vec<_> = view?.pods.iter().filter_map(|pod| Some(pod.status()?.version.clone())).collect();
    versions.sort();
    versions.dedup();
    (!versions.is_empty()).then(|| versions.join(", "))
}

fn storage(registry: &Registry) -> String {
    registry.spec.storage.s3.as_ref().map_or("claim".into(), |s3| {
        let prefix = s3.prefix.as_deref().map_or(String::new(), |prefix| format!("/{prefix}"));
        format!("s3://{}{prefix}", s3.bucket)
    })
}

fn endpoints(registry: &Registry, names: &Names, has_trust: bool) -> Vec<Endpoint> {
    let port = registry.spec.exposure.service.port;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let ca_config_map = has_trust.then(|| names.trust());
    vec![
        Endpoint {
            purpose: "Clients".into(),
            url: format!("https://{}", registry.spec.hostname),
            ca_config_map: ca_config_map.clone(),
        },
        Endpoint { purpose: "Pods".into(), url: format!("https://{}{port}", names.service_host()), ca_config_map },
    ]
}

/// A condition before it is known since when it holds.
#[derive(Clone, Debug)]
pub struct Say {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Say {
    pub fn new(kind: &'static str, status: &'static str, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, status, reason: reason.into(), message: short(&message.into()) }
    }

    /// The condition, which holds since it did before, or since now.
    pub fn since(self, before: &[Condition], generation: Option<i64>, now: &Time) -> Condition {
        let before = before.iter().find(|condition| condition.type_ == self.kind && condition.status == self.status);
        Condition {
            type_: self.kind.into(),
            status: self.status.into(),
            reason: self.reason,
            message: self.message,
            observed_generation: generation,
            last_transition_time: before
                .map_or_else(|| now.clone(), |condition| condition.last_transition_time.clone()),
        }
    }
}

fn conditions(registry: &Registry, observed: &Observed, found: &Found<'_>, ready: i32, wanted: i32) -> Vec<Say> {
    let mut said = Vec::new();
    let quorum = found.view.map(quorum);
    let outdated = workload_is_moving(registry, observed);
    let refusals: Vec<String> =
        found.plan.refused.iter().map(|(wants, refusal)| format!("{wants}: {refusal}")).collect();
    let mut troubles: Vec<(String, String)> =
        found.problems.iter().map(|problem| (problem.reason.to_owned(), problem.message.clone())).collect();
    troubles.extend(found.view.and_then(unwell).map(|why| ("NodesUnwell".to_owned(), why)));
    troubles.extend(found.failed.iter().map(|why| ("ApplyFailed".to_owned(), why.clone())));
    troubles.extend(found.certificates.as_ref().err().map(|why| ("CertificatesFailed".to_owned(), why.clone())));
    troubles.extend(refusals.iter().map(|why| ("Refused".to_owned(), why.clone())));
    troubles.extend(found.step_failed.iter().map(|why| ("StepFailed".to_owned(), why.clone())));
    let progress: Vec<String> = found
        .plan
        .step
        .iter()
        .map(ToString::to_string)
        .chain(found.plan.waiting.iter().cloned())
        .chain(outdated)
        .collect();

    let is_begun = quorum.as_ref().is_none_or(|quorum| quorum.status == "True");
    said.push(if let Some(problem) = found.problems.first() {
        Say::new("Ready", "False", problem.reason, &problem.message)
    } else if !is_begun {
        let quorum = quorum.as_ref();
        let (reason, why) = quorum.map_or(("", ""), |quorum| (quorum.reason.as_str(), quorum.message.as_str()));
        Say::new("Ready", "False", reason, why)
    } else if ready < wanted.min(1) {
        let component = if found.view.is_some() { Component::Registry } else { Component::All };
        let why = observed.pods_of(&Names::of(registry), component).find_map(why_not_running);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        Say::new("Ready", "False", "NoPodsReady", format!("{ready} of {wanted} pods that serve clients are ready{why}"))
    } else if ready < wanted {
        Say::new("Ready", "True", "SomePodsReady", format!("{ready} of {wanted} pods that serve clients are ready"))
    } else {
        Say::new("Ready", "True", "Serving", format!("{ready} of {wanted} pods serve clients"))
    });
    said.push(match progress.first() {
        Some(_) if registry.spec.paused => {
            Say::new("Progressing", "False", "Paused", "nothing is changed while paused")
        }
        Some(_) => Say::new("Progressing", "True", "Working", progress.join("; ")),
        None => Say::new("Progressing", "False", "AtRest", "everything is as the spec says"),
    });
    said.push(match troubles.first() {
        Some((reason, _)) => {
            let all: Vec<String> = troubles.iter().map(|(_, why)| why.clone()).collect();
            Say::new("Degraded", "True", reason, all.join("; "))
        }
        None => Say::new("Degraded", "False", "Fine", ""),
    });
    said.extend(quorum);
    said.push(storage_reachable(observed));
    said.push(match &found.certificates {
        Ok(None) => Say::new("CertificatesValid", "True", "Valid", ""),
        Ok(Some(why)) => Say::new("CertificatesValid", "True", "Renewing", why),
        Err(why) => Say::new("CertificatesValid", "False", "Failed", why),
    });
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
    match observed.stores.iter().find(|(_, store)| *store != "ok") {
        Some((pod, store)) => Say::new(kind, "False", "StoreFails", format!("{pod}: {store}")),
        None if observed.stores.is_empty() => Say::new(kind, "Unknown", "NobodyAnswers", "no pod says anything of it"),
        None => Say::new(kind, "True", "StoreAnswers", ""),
    }
}

/// Nodes that are wanted and not well.
fn unwell(view: &View) -> Option<String> {
    if !view.begun || view.leader().is_none() {
        return None; // there is a condition for that
    }
    let why = |ordinal: u32| match view.member_of(ordinal) {
        Some(member) => view.is_well(member).err(),
        None => Some(format!("node {ordinal} is no member yet")),
    };
    let all: Vec<String> = (0..view.wanted).filter_map(why).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn quorum(view: &View) -> Say {
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
        let why = view.pods.iter().find_map(silence);
        return Say::new(
            kind,
            "Unknown",
            "NobodyAnswers",
            format!("no index node answers: {}", why.unwrap_or("there is none")),
        );
    }
    let silent: Vec<String> =
        view.pods.iter().filter_map(|pod| Some(format!("node {}: {}", pod.ordinal, silence(pod)?))).collect();
    let why = if silent.is_empty() { String::new() } else { format!(": {}", silent.join("; ")) };
    Say::new(kind, "False", "NoLeader", format!("no majority of the index follows a leader{why}"))
}

/// Why a node says nothing.
fn silence(pod: &crate::plan::Pod) -> Option<&str> {
    match &pod.said {
        Said::Nothing(why) => Some(why),
        Said::Status(_) => None,
    }
}

/// The Deployment rolls, or has pods that are not there yet.
fn workload_is_moving(registry: &Registry, observed: &Observed) -> Option<String> {
    let names = Names::of(registry);
    let live = text_of(observed.object("Deployment", &names.registry())?);
    let number = |pointer: &str| live.pointer(pointer).and_then(serde_json::Value::as_i64).unwrap_or_default();
    let wanted = number("/spec/replicas");
    let (updated, available) = (number("/status/updatedReplicas"), number("/status/availableReplicas"));
    let total = number("/status/replicas");
    let is_seen = number("/metadata/generation") == number("/status/observedGeneration");
    let rests = is_seen && updated == wanted && available == wanted && total == wanted;
    (!rests).then(|| format!("pods that serve clients: {updated} of {wanted} are up to date, {available} available"))
}

/// A condition's message is not for whole logs.
fn short(text: &str) -> String {
    if text.len() <= 1024 { text.to_owned() } else { text.chars().take(1000).collect::<String>() + "…" }
}
