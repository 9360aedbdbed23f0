//! What is done from outside.

use super::*;

impl Model {
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

    /// The same, and one of its volumes is gone as well.
    pub fn make_again_without(&mut self, ordinal: u32) {
        self.make_again();
        self.volumes.remove(&ordinal);
    }

    /// What goes wrong by itself goes right again.
    pub fn calm_down(&mut self) {
        self.pods.values_mut().for_each(|pod| pod.is_muted = false);
        self.volumes.values_mut().for_each(|volume| volume.is_slow = false);
        if self.template.kind != Kind::Good {
            self.template = Template { number: self.template.number + 1, kind: Kind::Good };
        }
    }
}
