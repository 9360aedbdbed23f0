//! What is said of a registry, from what was observed and decided. Pure: what is not known is told as `Unknown`, and never
//! as it was before.

pub mod conditions;
pub mod troubles;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::certificates::live::Held;
use crate::crd::Registry;
use crate::crd::exposure::ServiceType;
use crate::crd::status::{Endpoint, IndexStatus, MemberStatus, NodesStatus, RegistryStatus};
use crate::look::is_ready;
use crate::memory::Trouble;
use crate::names::{Component, Names};
use crate::nodes::objects;
use crate::object::text_of;
use crate::observe::Observed;
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
    /// A step that could not be done, and what it came to.
    pub step_failed: Option<(String, String)>,
    /// Certificates: an error, or what is waited for.
    pub certificates: Result<Option<String>, String>,
    /// Why clients are told to trust those of before.
    pub unusable_trust: Option<String>,
    /// Those that the registry uses now, as they are.
    pub held: Vec<Held>,
    /// Whether clients need to be told whom to trust.
    pub has_trust: bool,
    /// Whether nodes may be told of the registry, or why not.
    pub may_tell_nodes: Result<(), String>,
    /// Kinds that the Registry asks for and that are not installed, with what to install.
    pub missing_kinds: Vec<String>,
    /// What is refused or fails, the first being what hinders most; and what may come right by itself yet.
    pub troubles: Vec<Trouble>,
    pub passing: Vec<Trouble>,
    /// Objects were changed just now: what was observed of them is no longer so.
    pub is_changed: bool,
    /// What the image of this release waits for.
    pub waits_for_turn: Option<String>,
}

impl Default for Found<'_> {
    /// A pass that found nothing wrong.
    fn default() -> Self {
        Self {
            problems: &[],
            view: None,
            plan: Plan::default(),
            failed: None,
            step_failed: None,
            certificates: Ok(None),
            unusable_trust: None,
            held: Vec::new(),
            has_trust: false,
            may_tell_nodes: Ok(()),
            missing_kinds: Vec::new(),
            troubles: Vec::new(),
            passing: Vec::new(),
            is_changed: false,
            waits_for_turn: None,
        }
    }
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
    let conditions = conditions::all(registry, observed, found, &conditions::Moment { ready, wanted, now });
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
        endpoints: endpoints(registry, observed, &names, found.has_trust),
        nodes: registry.spec.tells_nodes().then(|| nodes(observed, before.nodes.as_ref(), now)),
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

/// What nodes say, each with the time since when it does not trust the registry.
fn nodes(observed: &Observed, before: Option<&NodesStatus>, now: &Time) -> NodesStatus {
    let mut said = objects::status(&observed.reports);
    for node in &mut said.failing {
        let before = before.and_then(|before| before.failing.iter().find(|before| before.name == node.name));
        node.since = before.and_then(|before| before.since.clone()).or_else(|| Some(now.clone()));
    }
    said
}

fn endpoints(registry: &Registry, observed: &Observed, names: &Names, has_trust: bool) -> Vec<Endpoint> {
    let exposure = &registry.spec.exposure;
    let port = exposure.service.port;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    // Behind an Ingress, a Gateway or a machine of somebody's own, the port is theirs: 443 as far as anybody knows.
    let is_direct = exposure.ingress.is_none() && exposure.gateway.is_none();
    let clients_port = match exposure.service.kind {
        ServiceType::LoadBalancer if is_direct => port.clone(),
        ServiceType::NodePort if is_direct => {
            node_port(observed, names).map_or(String::new(), |port| format!(":{port}"))
        }
        _ => String::new(),
    };
    let ca_config_map = has_trust.then(|| names.trust());
    vec![
        Endpoint {
            purpose: "Clients".into(),
            url: format!("https://{}{clients_port}", registry.spec.hostname),
            ca_config_map: ca_config_map.clone(),
        },
        Endpoint { purpose: "Pods".into(), url: format!("https://{}{port}", names.service_host()), ca_config_map },
    ]
}

/// The port of every node that leads to the Service of clients, once the API server has chosen it.
fn node_port(observed: &Observed, names: &Names) -> Option<u64> {
    text_of(observed.object("Service", &names.registry())?).pointer("/spec/ports/0/nodePort")?.as_u64()
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

/// A condition's message is not for whole logs.
fn short(text: &str) -> String {
    if text.len() <= 1024 { text.to_owned() } else { text.chars().take(1000).collect::<String>() + "…" }
}

#[cfg(test)]
mod tests;
