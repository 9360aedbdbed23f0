//! A cluster as it behaves: pods, their volumes and the members of the index, and what steps do to them. Time passes in
//! [`Model::pass_time`]; what goes wrong is done from outside.

mod act;
mod happen;
mod time;

use std::collections::{BTreeMap, BTreeSet};

use roadstead::index::peers::wire::Member;

use super::*;

/// What pods are made from. Later ones know more feature levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pub number: u32,
    pub kind: Kind,
}

/// What becomes of pods that are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    /// The process ends at once.
    Crashes,
    /// The process does its work, and says that it is not ready.
    Unready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Running,
    Stopping,
}

#[derive(Clone, Debug)]
pub(super) struct ModelPod {
    pub uid: String,
    pub template: Template,
    pub phase: Phase,
    /// The operator does not reach it.
    pub is_muted: bool,
}

/// A volume and the node on it.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub uid: String,
    pub asked: u64,
    pub terminating: bool,
    /// Its machine is no more.
    pub is_lost: bool,
    /// Its node falls behind.
    pub is_slow: bool,
    pub id: u64,
    pub cluster: Option<String>,
    /// The member that left with it, as somebody noted on its claim.
    pub left: Option<u64>,
    /// The members as this node knows them.
    pub members: Vec<Member>,
    pub applied: u64,
    /// It found out that it was removed: it never runs again.
    pub is_refused: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Set {
    pub replicas: u32,
    pub template: Template,
    pub size: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub wanted: u32,
    pub template: Template,
    pub size: u64,
    /// What the Registry says of the cluster.
    pub cluster: Option<String>,
    pub begun: bool,
    /// The cluster that there is, whatever the Registry says, and whether its first entry is written.
    pub formed: Option<String>,
    pub founded: bool,
    pub set: Option<Set>,
    pub pods: BTreeMap<u32, ModelPod>,
    pub volumes: BTreeMap<u32, Volume>,
    /// What the members have agreed upon.
    pub members: Vec<Member>,
    pub leader: Option<u64>,
    pub term: u64,
    pub end: u64,
    pub level: u32,
    /// Pods that ran, and that a step has stopped.
    pub stopped: BTreeSet<u32>,
    next: u64,
}

impl Model {
    pub fn new(wanted: u32) -> Self {
        Self {
            wanted,
            template: Template { number: 1, kind: Kind::Good },
            size: 10 * GIB,
            cluster: None,
            begun: false,
            formed: None,
            founded: false,
            set: None,
            pods: BTreeMap::new(),
            volumes: BTreeMap::new(),
            members: Vec::new(),
            leader: None,
            term: 0,
            end: 0,
            level: 1,
            stopped: BTreeSet::new(),
            next: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn volume(&mut self, asked: u64) -> Volume {
        let number = self.number();
        Volume {
            uid: format!("volume {number}"),
            asked,
            terminating: false,
            is_lost: false,
            is_slow: false,
            id: number,
            cluster: None,
            left: None,
            members: Vec::new(),
            applied: 0,
            is_refused: false,
        }
    }

    pub fn ordinal(&self, id: u64) -> Option<u32> {
        self.volumes.iter().find(|(_, volume)| volume.id == id).map(|(ordinal, _)| *ordinal)
    }

    /// Whether the process of an ordinal does its work.
    pub fn runs(&self, ordinal: u32) -> bool {
        let pod = self.pods.get(&ordinal).is_some_and(|pod| pod.phase != Phase::Starting);
        pod && self.volumes.get(&ordinal).is_some_and(|volume| !volume.is_lost && !volume.is_refused)
    }

    pub fn is_ready(&self, ordinal: u32) -> bool {
        let is_member = |volume: &Volume| self.members.iter().any(|member| member.id == volume.id);
        self.pods.get(&ordinal).is_some_and(|pod| pod.phase == Phase::Running && pod.template.kind == Kind::Good)
            && self.runs(ordinal)
            && self.leader.is_some()
            && self.volumes.get(&ordinal).is_some_and(is_member)
    }

    /// Whether a member would be missed: it runs, goes on running, and has nearly all.
    pub fn is_well(&self, id: u64) -> bool {
        self.ordinal(id).is_some_and(|ordinal| {
            self.runs(ordinal)
                && self.pods[&ordinal].phase == Phase::Running
                && self.volumes[&ordinal].applied + 100 >= self.end
                && !self.volumes[&ordinal].members.is_empty()
        })
    }

    pub fn voters(&self) -> Vec<u64> {
        self.members.iter().filter(|member| member.voter).map(|member| member.id).collect()
    }

    pub fn has_majority(&self) -> bool {
        let voters = self.voters();
        voters.iter().filter(|id| self.is_well(**id)).count() * 2 > voters.len()
    }

    /// What the operator sees.
    pub fn view(&self) -> View {
        let pods = self.pods.iter().map(|(ordinal, pod)| Pod {
            ordinal: *ordinal,
            uid: pod.uid.clone(),
            ready: self.is_ready(*ordinal),
            terminating: pod.phase == Phase::Stopping,
            template: Some(name(pod.template)),
            unplaced: self
                .volumes
                .get(ordinal)
                .filter(|volume| volume.is_lost)
                .map(|_| Unplaced { reason: "lost".into(), is_lost: true }),
            // What is silent and not ready does not run: so the plan may judge.
            said: if self.runs(*ordinal) && !(pod.is_muted && self.is_ready(*ordinal)) {
                Said::Status(Box::new(self.status(*ordinal)))
            } else {
                Said::Nothing("silence".into())
            },
        });
        let claims = self.volumes.iter().map(|(ordinal, volume)| Claim {
            ordinal: *ordinal,
            uid: volume.uid.clone(),
            terminating: volume.terminating,
            asked: volume.asked,
            has: volume.asked,
            left: volume.left,
            can_expand: Some(true),
            ..Claim::default()
        });
        View {
            wanted: self.wanted,
            cluster: self.cluster.clone(),
            begun: self.begun,
            skips_backup: false,
            restores: false,
            stuck: false,
            template: name(self.template),
            replicas: self.set.as_ref().map_or(0, |set| set.replicas),
            pods: pods.collect(),
            claims: claims.collect(),
            size: self.size,
            class: None,
            set_class: None,
            set_size: self.set.as_ref().map_or(0, |set| set.size),
            raises: true,
            addresses: addresses(),
        }
    }

    fn status(&self, ordinal: u32) -> NodeStatus {
        let volume = &self.volumes[&ordinal];
        let leader = self.leader.filter(|_| self.members.iter().any(|member| member.id == volume.id));
        let leader = leader.filter(|_| !volume.members.is_empty());
        let leads = leader == Some(volume.id);
        let has = |member: &Member| {
            let has = self.ordinal(member.id).map_or(0, |ordinal| self.volumes[&ordinal].applied);
            (member.id, has)
        };
        NodeStatus {
            cluster: volume.cluster.clone(),
            epoch: (self.founded && !volume.members.is_empty()).then_some(1),
            leader,
            term: self.term,
            end: if leads { self.end } else { volume.applied },
            applied: volume.applied,
            members: if leads { self.members.clone() } else { volume.members.clone() },
            level: self.pods[&ordinal].template.number,
            level_in_force: self.level,
            matched: if leads { self.members.iter().map(has).collect() } else { Vec::new() },
            ..empty_node(volume.id, ordinal)
        }
    }

    pub fn is_member(&self, ordinal: u32) -> bool {
        self.volumes.get(&ordinal).is_some_and(|volume| self.members.iter().any(|member| member.id == volume.id))
    }

    /// Whether nothing has moved.
    pub fn is_as(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

pub(super) fn name(template: Template) -> String {
    format!("{template:?}")
}
