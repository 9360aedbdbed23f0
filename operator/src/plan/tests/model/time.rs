//! What goes on by itself: pods start and stop, a leader is elected, and members get what they lack.

use super::*;

impl Model {
    /// Everything that goes on by itself goes on a little.
    pub fn pass_time(&mut self) {
        self.move_pods();
        self.elect();
        self.replicate();
        let is_up = |ordinal: &u32| !self.is_member(*ordinal) || self.is_well(self.volumes[ordinal].id);
        self.stopped = self.stopped.iter().copied().filter(|ordinal| !is_up(ordinal)).collect();
    }

    fn move_pods(&mut self) {
        // A pod without a machine does not hold its volume.
        self.pods.retain(|_, pod| pod.phase != Phase::Stopping);
        let pods = &self.pods;
        let is_held = |ordinal: &u32, volume: &Volume| pods.contains_key(ordinal) && !volume.is_lost;
        self.volumes.retain(|ordinal, volume| !volume.terminating || is_held(ordinal, volume));
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
                self.pods
                    .insert(ordinal, ModelPod { uid, template: set.template, phase: Phase::Starting, is_muted: false });
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
                // It asks for votes, and is told: it ends, and is silent from then on.
                volume.is_refused = true;
            }
        }
    }
}
