//! What steps do.

use super::*;

impl Model {
    /// What is written before a step is taken.
    pub fn apply(&mut self, replicas: u32) {
        let size = self.set.as_ref().map_or(self.size, |set| set.size);
        self.set = Some(Set { replicas, template: self.template, size });
    }

    /// Takes a step; `half`: as far as it comes when the operator ends in it.
    pub fn act(&mut self, step: &Step, half: bool) {
        match step {
            Step::Name { adopted, begun, .. } => {
                let new = format!("cluster {}", self.number());
                self.cluster = Some(adopted.clone().unwrap_or(new));
                self.begun = *begun;
            }
            Step::Found { members, .. } => {
                let now: Vec<(u64, String)> =
                    self.members.iter().map(|member| (member.id, member.name.clone())).collect();
                assert_eq!(*members, now, "it is said again with the same members");
                self.founded = true;
                self.begun |= !half;
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
                if let Some(volume) = self.volumes.values_mut().find(|volume| volume.id == *id) {
                    volume.left = Some(*id);
                }
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
            Step::RemakeClaim { .. } => unreachable!("every volume is there"),
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
            if half && self.number().is_multiple_of(2) {
                return; // they have joined, and nobody began it
            }
            // One begins it, and a majority has heard of it when it answers.
            for ordinal in &ordinals[..if half { 1 } else { ordinals.len() / 2 + 1 }] {
                self.volumes.get_mut(ordinal).unwrap().members.clone_from(&members);
            }
            self.formed.clone_from(&self.cluster);
            (self.end, self.leader, self.term) = (1, Some(members[0].id), 1);
            self.members = members;
            self.founded = !half;
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
        let was_up = self.has_majority()
            && self.volumes.get(&ordinal).is_some_and(|volume| self.is_well(volume.id))
            && self.is_member(ordinal);
        if let Some(pod) = self.pods.get_mut(&ordinal).filter(|pod| pod.uid == uid) {
            if was_up && pod.phase == Phase::Running {
                self.stopped.insert(ordinal);
            }
            pod.phase = Phase::Stopping;
        }
    }
}
