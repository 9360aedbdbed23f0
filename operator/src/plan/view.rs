//! What the plan looks at: the index as Kubernetes and its nodes tell it, and what is wanted of it.

use roadstead::index::peers::wire::{Member, NodeStatus};

/// Entries that a node may be behind and still be called caught up.
const NEAR: u64 = 100;

/// An index and what is wanted of it.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Nodes that are wanted.
    pub wanted: u32,
    /// The id of the cluster, once it is chosen.
    pub cluster: Option<String>,
    /// Whether the cluster is known to have begun.
    pub begun: bool,
    /// What pods should be made from.
    pub template: String,
    /// Pods that the StatefulSet is to have now.
    pub replicas: u32,
    /// By ordinal. One that is not there is not among them.
    pub pods: Vec<Pod>,
    pub claims: Vec<Claim>,
    /// It is to begin from a backup, and there are volumes from before it: what is on them counts.
    pub skips_backup: bool,
    /// It is to begin from a backup, and does.
    pub restores: bool,
    /// Nobody has led for so long that it does not come right by itself.
    pub stuck: bool,
    /// The size that volumes should have, in bytes, and the one in the StatefulSet.
    pub size: u64,
    pub set_size: u64,
    /// The class that volumes should be of, and the one in the StatefulSet; none: the cluster's default one.
    pub class: Option<String>,
    pub set_class: Option<String>,
    /// Whether the operator puts new feature levels in force.
    pub raises: bool,
    /// Addresses of the nodes by their ordinals, as members are called.
    pub addresses: Vec<String>,
}

/// A pod of the index.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub ordinal: u32,
    pub uid: String,
    pub ready: bool,
    pub terminating: bool,
    /// What it was made from.
    pub template: Option<String>,
    /// Why it cannot be placed, and whether the machine of its volume is known to be gone for good.
    pub unplaced: Option<Unplaced>,
    pub said: Said,
}

/// A pod that has no machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    pub reason: String,
    /// The volume is bound to a machine that is no more, or that was declared out of service.
    pub is_lost: bool,
}

/// What a node said of itself.
#[derive(Clone, Debug)]
pub enum Said {
    Nothing(String),
    Status(Box<NodeStatus>),
}

impl Default for Said {
    fn default() -> Self {
        Self::Nothing("it was not asked".into())
    }
}

/// The volume of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    pub ordinal: u32,
    pub uid: String,
    pub terminating: bool,
    /// Bytes asked for, and bytes that there are.
    pub asked: u64,
    pub has: u64,
    /// The member whose volume it was when it left.
    pub left: Option<u64>,
    /// There is no volume for it yet, and never was.
    pub is_unmade: bool,
    /// Of the object, as it was seen.
    pub version: String,
    pub class: Option<String>,
    /// The cluster has no class of that name.
    pub class_is_missing: bool,
    /// Whether its class lets it grow; none: that is not known.
    pub can_expand: Option<bool>,
}

impl Pod {
    pub fn status(&self) -> Option<&NodeStatus> {
        match &self.said {
            Said::Status(status) => Some(status),
            Said::Nothing(_) => None,
        }
    }

    /// Why its node says nothing.
    pub fn silence(&self) -> Option<&str> {
        match &self.said {
            Said::Nothing(why) => Some(why),
            Said::Status(_) => None,
        }
    }

    /// Why its volume will not come back, if it is that.
    pub fn lost(&self) -> Option<&Unplaced> {
        self.unplaced.as_ref().filter(|unplaced| unplaced.is_lost)
    }

    /// Runs, and belongs to no cluster.
    pub fn is_empty(&self) -> bool {
        self.status().is_some_and(|status| status.members.is_empty())
    }
}

impl View {
    /// Whether a claim is of the class that is wanted. Which one is the default is not known: any that there is may be it.
    pub fn fits(&self, claim: &Claim) -> bool {
        self.class.as_ref().map_or(!claim.class_is_missing, |class| claim.class.as_ref() == Some(class))
    }

    /// Whether a StatefulSet says something else of volumes than is wanted.
    pub fn set_differs(&self) -> bool {
        self.set_size != 0 && (self.set_size != self.size || self.set_class != self.class)
    }

    pub fn pod(&self, ordinal: u32) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.ordinal == ordinal)
    }

    pub fn claim(&self, ordinal: u32) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.ordinal == ordinal)
    }

    pub fn ordinal_of(&self, name: &str) -> Option<u32> {
        self.addresses.iter().position(|address| address == name).map(|at| at as u32)
    }

    /// Which life of the cluster this is: one that was restored beside what there was begins another.
    fn epoch(&self) -> Option<u64> {
        let statuses = self.pods.iter().filter_map(Pod::status).filter(|status| self.is_of_cluster(status));
        statuses.filter_map(|status| status.epoch).max()
    }

    /// The leader whom a majority of the voters follows, by what they say themselves.
    pub fn leader(&self) -> Option<&NodeStatus> {
        let statuses = || self.pods.iter().filter_map(Pod::status).filter(|status| self.is_ours(status));
        let claims = statuses().filter(|status| status.leader == Some(status.id)).max_by_key(|status| status.term)?;
        let voters: Vec<u64> = claims.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let follow = |id: &&u64| {
            statuses().any(|status| status.id == **id && status.leader == Some(claims.id) && status.term == claims.term)
        };
        (voters.iter().filter(follow).count() * 2 > voters.len()).then_some(claims)
    }

    fn is_of_cluster(&self, status: &NodeStatus) -> bool {
        status.cluster.is_some() && status.cluster == self.cluster
    }

    fn is_ours(&self, status: &NodeStatus) -> bool {
        self.is_of_cluster(status) && !self.is_of_earlier_life(status)
    }

    /// Whether a node is of this cluster as it was before it was restored.
    pub fn is_of_earlier_life(&self, status: &NodeStatus) -> bool {
        self.is_of_cluster(status) && status.epoch.is_some() && status.epoch < self.epoch()
    }

    /// Those who belong to the index, by the leader's word; without a leader by that of whoever has seen most.
    pub fn members(&self) -> &[Member] {
        let statuses = self.pods.iter().filter_map(Pod::status).filter(|status| self.is_ours(status));
        let best = self.leader().or_else(|| statuses.max_by_key(|status| status.applied));
        best.map_or(&[], |status| &status.members)
    }

    pub fn member_of(&self, ordinal: u32) -> Option<&Member> {
        let address = self.addresses.get(ordinal as usize)?;
        // A learner with the name of a voter is to take its place: the voter is meant.
        self.members().iter().filter(|member| member.name == *address).max_by_key(|member| member.voter)
    }

    /// The member that the pod itself is.
    pub fn member_in(&self, pod: &Pod) -> Option<&Member> {
        let status = pod.status()?;
        self.members().iter().find(|member| member.id == status.id)
    }

    /// Whether the node of a pod was a member and left: its id is refused for ever.
    pub fn has_left(&self, pod: &Pod) -> bool {
        let (Some(leader), Some(status)) = (self.leader(), pod.status()) else { return false };
        // Who joined after the leader was asked knows more entries than it told of.
        let is_known = status.end <= leader.end;
        is_known && self.is_ours(status) && !pod.is_empty() && self.member_in(pod).is_none()
    }

    /// Whether there is a volume at an ordinal whose node does not say that it is another than this member.
    pub fn may_be_on_volume(&self, ordinal: u32, id: u64) -> bool {
        let is_another = self.pod(ordinal).and_then(Pod::status).is_some_and(|status| status.id != id);
        self.claim(ordinal).is_some() && !is_another
    }

    /// Whether a silent pod has the volume of a member that left: it is refused for ever, and ends each time it starts.
    pub fn is_left_behind(&self, claim: &Claim, pod: &Pod) -> bool {
        let is_member = |id: u64| self.members().iter().any(|member| member.id == id);
        let has_left = claim.left.is_some_and(|id| !is_member(id));
        has_left && pod.status().is_none() && self.leader().is_some()
    }

    /// Whether a member answers, follows the leader and has nearly all.
    pub fn is_well(&self, member: &Member) -> Result<(), String> {
        let Some(leader) = self.leader() else { return Err("nobody leads".into()) };
        let pod = self.pods.iter().find(|pod| pod.status().is_some_and(|status| status.id == member.id));
        let Some((pod, status)) = pod.and_then(|pod| Some((pod, pod.status()?))) else {
            return Err(format!("{} does not answer", host(&member.name)));
        };
        if pod.terminating {
            return Err(format!("node {} is stopping", pod.ordinal));
        }
        if status.leader != Some(leader.id) {
            return Err(format!("node {} does not follow the leader", pod.ordinal));
        }
        if status.applied + NEAR < leader.end {
            return Err(format!("node {} is behind", pod.ordinal));
        }
        Ok(())
    }

    /// Whether the node of a pod is a voter, and well.
    pub fn votes_well(&self, ordinal: u32) -> bool {
        self.member_of(ordinal).is_some_and(|member| member.voter && self.is_well(member).is_ok())
    }

    /// What the leader knows a member to have, is nearly all.
    pub fn has_caught_up(&self, id: u64) -> bool {
        self.leader().is_some_and(|leader| {
            let has = leader.matched.iter().find(|(member, _)| *member == id).map_or(0, |(_, has)| *has);
            has > 0 && has + NEAR >= leader.end
        })
    }
}

fn host(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}
