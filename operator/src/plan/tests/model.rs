//! A cluster as it behaves: pods, their volumes and the members of the index, and what steps do to them. Time passes in
//! [`Model::pass_time`]; what goes wrong is done from outside.

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
    /// The cluster that there is, whatever the Registry says.
    pub formed: Option<String>,
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
            unplaced: self.volumes.get(ordinal).filter(|volume| volume.is_lost).map(|_| Unplaced {
                reason: "lost".into(),
                is_lost: true,
            }),
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
        });
        View {
            wanted: self.wanted,
            cluster: self.cluster.clone(),
            begun: self.begun,
            template: name(self.template),
            replicas: self.set.as_ref().map_or(0, |set| set.replicas),
            pods: pods.collect(),
            claims: claims.collect(),
            size: self.size,
            set_size: self.set.as_ref().map_or(0, |set| set.size),
            can_expand: Some(true),
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

    /// What is written before a step is taken.
    pub fn apply(&mut self, replicas: u32) {
        let size = self.set.as_ref().map_or(self.size, |set| set.size);
        self.set = Some(Set { replicas, template: self.template, size });
    }

    /// Takes a step; `half`: as far as it comes when the operator ends in it.
    pub fn act(&mut self, step: &Step, half: bool) {
        match step {
            Step::Name { adopted } => {
                let new = format!("cluster {}", self.number());
                self.cluster = Some(adopted.clone().unwrap_or(new));
            }
            Step::NoteBegun => self.begun = true,
            Step::Begin { ordinals } => self.begin(ordinals, half),
            Step::Add { ordinal } => self.add(*ordinal, half),
            Step::Promote { id, replace, .. } => {
                self.members.iter_mut().filter(|member| member.id == *id).for_each(|member| member.voter = true);
                self.forget(*replace, half);
            }
            Step::Remove { id, .. } => {
                assert!(self.voters() != [*id], "the last voter is not removed");
                self.forget(Some(*id), half);
            }
            Step::Transfer { ordinal } => {
                let is_other = |id: &u64| self.ordinal(*id) != Some(*ordinal);
                let stays = |id: &&u64| self.ordinal(**id).is_some_and(|at| at < self.wanted) && self.is_well(**id);
                let others: Vec<u64> = self.voters().into_iter().filter(is_other).collect();
                let to = others.iter().find(stays).or_else(|| others.iter().find(|id| self.is_well(**id)));
                if let Some(to) = to.copied() {
                    (self.leader, self.term) = (Some(to), self.term + 1);
                }
            }
            Step::Restart { ordinal, uid, .. } => self.stop(*ordinal, uid),
            Step::DeleteClaim { ordinal, uid, pod } => {
                self.volumes.get_mut(ordinal).filter(|volume| volume.uid == *uid).unwrap().terminating = true;
                if let Some(uid) = pod.as_ref().filter(|_| !half) {
                    self.stop(*ordinal, uid);
                }
            }
            Step::Expand { ordinal } => self.volumes.get_mut(ordinal).unwrap().asked = self.size,
            Step::RecreateSet => self.set = None,
            Step::Raise { level } => self.level = *level,
        }
    }

    fn begin(&mut self, ordinals: &[u32], half: bool) {
        assert!(ordinals.iter().all(|ordinal| self.runs(*ordinal)), "all are asked");
        for ordinal in ordinals {
            let volume = self.volumes.get_mut(ordinal).unwrap();
            assert!(volume.cluster.is_none() || volume.cluster == self.cluster, "it joins one cluster");
            volume.cluster.clone_from(&self.cluster);
        }
        let member = |ordinal: &u32| Member { id: self.volumes[ordinal].id, name: address(*ordinal), voter: true };
        let members: Vec<Member> = ordinals.iter().map(member).collect();
        if self.formed.is_none() {
            if half && self.number() % 2 == 0 {
                return; // they have joined, and nobody began it
            }
            // One begins it, and a majority has heard of it when it answers.
            for ordinal in &ordinals[..if half { 1 } else { ordinals.len() / 2 + 1 }] {
                self.volumes.get_mut(ordinal).unwrap().members.clone_from(&members);
            }
            self.formed.clone_from(&self.cluster);
            (self.end, self.leader, self.term) = (1, Some(members[0].id), 1);
            self.members = members;
        } else if members.iter().any(|member| !self.members.contains(member)) || members.len() != self.members.len() {
            return; // refused: it has begun with others
        }
        self.begun |= !half;
    }

    fn add(&mut self, ordinal: u32, half: bool) {
        assert!(self.runs(ordinal), "it is asked");
        let volume = self.volumes.get_mut(&ordinal).unwrap();
        if volume.cluster.is_some() && volume.cluster != self.cluster {
            return;
        }
        volume.cluster.clone_from(&self.cluster);
        let id = volume.id;
        if !half && self.members.iter().all(|member| member.id != id) {
            self.members.push(Member { id, name: address(ordinal), voter: false });
        }
    }

    /// A voter that leaves is a learner for a moment.
    fn forget(&mut self, id: Option<u64>, half: bool) {
        if half {
            self.members.iter_mut().filter(|member| Some(member.id) == id).for_each(|member| member.voter = false);
        } else {
            self.members.retain(|member| Some(member.id) != id);
        }
        if self.leader.is_some_and(|leader| !self.voters().contains(&leader)) {
            self.leader = None;
        }
    }

    fn stop(&mut self, ordinal: u32, uid: &str) {
        let was_up = self.has_majority() && self.volumes.get(&ordinal).is_some_and(|volume| self.is_well(volume.id)) && self.is_member(ordinal);
        if let Some(pod) = self.pods.get_mut(&ordinal).filter(|pod| pod.uid == uid) {
            if was_up && pod.phase == Phase::Running {
                self.stopped.insert(ordinal);
            }
            pod.phase = Phase::Stopping;
        }
    }

    pub fn is_member(&self, ordinal: u32) -> bool {
        self.volumes.get(&ordinal).is_some_and(|volume| self.members.iter().any(|member| member.id == volume.id))
    }

    /// Everything that goes on by itself goes on a little.
    pub fn pass_time(&mut self) {
        self.move_pods();
        self.elect();
        self.replicate();
        let is_up = |ordinal: &u32| !self.is_member(*ordinal) || self.is_ready(*ordinal);
        self.stopped = self.stopped.iter().copied().filter(|ordinal| !is_up(ordinal)).collect();
    }

    fn move_pods(&mut self) {
        // A pod without a machine does not hold its volume.
        self.pods.retain(|_, pod| pod.phase != Phase::Stopping);
        let holds = |ordinal: &u32, volume: &Volume| self.pods.contains_key(ordinal) && !volume.is_lost;
        let gone: Vec<u32> =
            self.volumes.iter().filter(|(ordinal, volume)| volume.terminating && !holds(ordinal, volume)).map(|(ordinal, _)| *ordinal).collect();
        gone.iter().for_each(|ordinal| drop(self.volumes.remove(ordinal)));
        let starting: Vec<u32> = self.pods.keys().copied().collect();
        for ordinal in starting {
            let can_run = self.volumes.get(&ordinal).is_some_and(|volume| !volume.is_lost && !volume.is_refused);
            let pod = self.pods.get_mut(&ordinal).unwrap();
            if can_run && pod.template.kind != Kind::Crashes {
                pod.phase = Phase::Running;
            }
        }
        let Some(set) = self.set.clone() else { return };
        for ordinal in 0..set.replicas {
            if !self.volumes.contains_key(&ordinal) {
                let volume = self.volume(set.size);
                self.volumes.insert(ordinal, volume);
            } else if self.volumes[&ordinal].terminating {
                continue;
            }
            if !self.pods.contains_key(&ordinal) {
                let uid = format!("pod {}", self.number());
                self.pods.insert(ordinal, ModelPod { uid, template: set.template, phase: Phase::Starting, is_muted: false });
            }
        }
        for (_, pod) in self.pods.iter_mut().filter(|(ordinal, _)| **ordinal >= set.replicas) {
            pod.phase = Phase::Stopping;
        }
    }

    fn elect(&mut self) {
        let running = |id: &u64| self.ordinal(*id).is_some_and(|ordinal| self.runs(ordinal));
        let voters = self.voters();
        let up: Vec<u64> = voters.iter().copied().filter(running).collect();
        if up.len() * 2 <= voters.len() {
            self.leader = None;
        } else if self.leader.is_none_or(|leader| !up.contains(&leader)) {
            // The one that has most: it has all that was agreed upon.
            let best = up.into_iter().max_by_key(|id| self.volumes[&self.ordinal(*id).unwrap()].applied);
            (self.leader, self.term) = (best, self.term + 1);
        }
    }

    fn replicate(&mut self) {
        let (members, end) = (self.members.clone(), self.end);
        let ordinals: Vec<u32> = self.pods.keys().copied().filter(|ordinal| self.runs(*ordinal)).collect();
        for ordinal in ordinals {
            let is_ours = self.formed.is_some() && self.volumes[&ordinal].cluster == self.formed;
            let leads = self.leader == Some(self.volumes[&ordinal].id);
            let volume = self.volumes.get_mut(&ordinal).unwrap();
            let is_member = members.iter().any(|member| member.id == volume.id);
            if self.leader.is_some() && is_member && (!volume.is_slow || leads) {
                volume.members.clone_from(&members);
                volume.applied = end;
            } else if self.leader.is_some() && is_ours && !is_member && !volume.members.is_empty() {
                // It asks for votes, and is told. While its pod is to stay, nobody could tell its silence from that of a node
                // that starts: that it is wanted again within such a moment is not modelled.
                volume.is_refused = self.set.as_ref().is_some_and(|set| set.replicas <= ordinal);
            }
        }
    }

    /// Something is written.
    pub fn write(&mut self, entries: u64) {
        if let Some(ordinal) = self.leader.and_then(|leader| self.ordinal(leader)) {
            self.end += entries;
            self.volumes.get_mut(&ordinal).unwrap().applied = self.end;
        }
    }

    /// The volume is empty from now on, with another node on it.
    pub fn wipe(&mut self, ordinal: u32) {
        let asked = self.volumes[&ordinal].asked;
        let volume = self.volume(asked);
        self.forget_leader(ordinal);
        self.volumes.insert(ordinal, volume);
    }

    /// The machine of a volume is no more: its pod cannot be placed.
    pub fn lose(&mut self, ordinal: u32) {
        self.forget_leader(ordinal);
        self.volumes.get_mut(&ordinal).unwrap().is_lost = true;
        let uid = format!("pod {}", self.number());
        if let Some(pod) = self.pods.get_mut(&ordinal) {
            (pod.uid, pod.phase) = (uid, Phase::Starting);
        }
    }

    fn forget_leader(&mut self, ordinal: u32) {
        self.leader = self.leader.filter(|leader| *leader != self.volumes[&ordinal].id);
    }

    pub fn elect_if_well(&mut self, ordinal: u32) {
        let id = self.volumes.get(&ordinal).map(|volume| volume.id);
        if let Some(id) = id.filter(|id| self.leader.is_some() && self.voters().contains(id) && self.is_well(*id)) {
            (self.leader, self.term) = (Some(id), self.term + 1);
        }
    }

    /// The Registry is deleted with all but its volumes, and made again. Before it has begun nothing is given up: people
    /// delete volumes that cannot be used.
    pub fn make_again(&mut self) {
        self.volumes.retain(|_, volume| !volume.is_lost && !volume.is_refused);
        (self.cluster, self.begun, self.set, self.leader) = (None, false, None, None);
        self.pods.clear();
        self.stopped.clear();
    }

    /// What goes wrong by itself goes right again.
    pub fn calm_down(&mut self) {
        self.pods.values_mut().for_each(|pod| pod.is_muted = false);
        self.volumes.values_mut().for_each(|volume| volume.is_slow = false);
        if self.template.kind != Kind::Good {
            self.template = Template { number: self.template.number + 1, kind: Kind::Good };
        }
    }

    /// Whether nothing has moved.
    pub fn is_as(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

pub(super) fn name(template: Template) -> String {
    format!("{template:?}")
}
