//! What is to be done next with the index of a registry: at most one step that could do harm, and only when nothing
//! speaks against it. Pure: from a [`View`] to a [`Plan`]. A file a step; [`guards`] is what may speak against one.
//!
//! The order is the plan: first what brings back a cluster that is not well, then what was begun, then what is wanted.

mod bootstrap;
pub mod guards;
mod replace;
mod roll;
mod scale;
#[cfg(test)]
pub(crate) mod tests;
mod upgrade;
pub mod view;
mod volumes;

use guards::Refusal;
pub use view::{Claim, Pod, Said, View};

/// Something to do. Each is safe to do twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Choose the id of the cluster, or take the one that the volumes have; written down before anything knows it.
    Name { adopted: Option<String>, begun: bool, restored: bool },
    /// Begin the cluster with the nodes of these pods.
    Begin { ordinals: Vec<u32> },
    /// Let the leader write the first entry of a cluster that has begun with these members.
    Found { leader: String, members: Vec<(u64, String)> },
    /// Note that the cluster has begun: it never begins again.
    NoteBegun,
    /// Take an empty node in as a learner.
    Add { ordinal: u32 },
    /// Make a learner that has caught up a voter, in the place of another if given.
    Promote { ordinal: u32, id: u64, replace: Option<u64> },
    /// Take a member out for ever.
    Remove { id: u64, name: String },
    /// Let another lead, since this one is to go.
    Transfer { ordinal: u32 },
    /// Let the pod be made again, by eviction.
    Restart { ordinal: u32, uid: String, reason: String },
    /// Give a volume up whose machine is gone or whose node has left.
    DeleteClaim { ordinal: u32, uid: String, pod: Option<String> },
    /// Make a volume larger.
    Expand { ordinal: u32 },
    /// Make a claim anew that has no volume, and with it the pod that waits for it.
    RemakeClaim { ordinal: u32, uid: String, version: String, pod: Option<String>, class: Option<String> },
    /// Make the StatefulSet anew without touching its pods: what it says of volumes cannot be changed.
    RecreateSet,
    /// Put a feature level in force.
    Raise { level: u32 },
}

impl Step {
    /// A volume is given up, and with it the pod that holds it.
    fn give_up(claim: &Claim, pod: &Pod) -> Self {
        Self::DeleteClaim { ordinal: claim.ordinal, uid: claim.uid.clone(), pod: Some(pod.uid.clone()) }
    }

    /// The reason of the event that tells of it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Name { .. } => "ClusterNamed",
            Self::Begin { .. } => "ClusterBegins",
            Self::Found { .. } => "ClusterFounded",
            Self::NoteBegun => "ClusterBegun",
            Self::Add { .. } => "NodeJoins",
            Self::Promote { replace: None, .. } => "NodePromoted",
            Self::Promote { .. } => "NodeReplaced",
            Self::Remove { .. } => "NodeRemoved",
            Self::Transfer { .. } => "LeadTransferred",
            Self::Restart { .. } => "PodRestarted",
            Self::DeleteClaim { .. } => "VolumeDeleted",
            Self::Expand { .. } => "VolumeExpanded",
            Self::RemakeClaim { .. } => "ClaimRemade",
            Self::RecreateSet => "WorkloadRecreated",
            Self::Raise { .. } => "FeatureLevelRaised",
        }
    }

    /// Whether it is worth an event.
    pub fn is_told(&self) -> bool {
        !matches!(self, Self::NoteBegun)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name { adopted: None, .. } => f.write_str("an id is chosen for the cluster"),
            Self::Name { adopted: Some(cluster), restored: true, .. } => {
                write!(f, "what was restored is cluster {cluster}: it goes on")
            }
            Self::Name { adopted: Some(cluster), .. } => {
                write!(f, "the volumes hold cluster {cluster}, of a Registry of the same name: it goes on")
            }
            Self::Begin { ordinals } => write!(f, "the index begins with {} nodes", ordinals.len()),
            Self::Found { leader, .. } => write!(f, "the first entry of the index is written by {leader}"),
            Self::NoteBegun => f.write_str("the index has begun"),
            Self::Add { ordinal } => write!(f, "node {ordinal} joins as a learner"),
            Self::Promote { ordinal, replace: None, .. } => {
                write!(f, "node {ordinal} has caught up and becomes a voter")
            }
            Self::Promote { ordinal, replace: Some(old), .. } => {
                write!(f, "node {ordinal} has caught up and takes the place of member {old}, whose volume is gone")
            }
            Self::Remove { id, name } => write!(f, "member {id} ({name}) leaves the index for ever"),
            Self::Transfer { ordinal } => write!(f, "node {ordinal} hands the lead over, since it is to stop"),
            Self::Restart { ordinal, reason, .. } => write!(f, "the pod of node {ordinal} is made again: {reason}"),
            Self::DeleteClaim { ordinal, .. } => write!(f, "the volume of node {ordinal} is given up"),
            Self::Expand { ordinal } => write!(f, "the volume of node {ordinal} is made larger"),
            Self::RemakeClaim { ordinal, class, .. } => {
                let class = class.as_ref().map_or("the default class".into(), |class| format!("the class {class}"));
                write!(f, "the claim of node {ordinal}, which has no volume yet, is made anew for {class}")
            }
            Self::RecreateSet => f.write_str("the StatefulSet is made anew for other volumes to come, its pods stay"),
            Self::Raise { level } => write!(f, "feature level {level} is put in force"),
        }
    }
}

/// What a part of the plan comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This part has all that it wants.
    Done,
    Step(Step),
    /// It wants something, and a guard speaks against it.
    Refused {
        wants: String,
        refusal: Refusal,
    },
    /// It waits for something that goes on by itself.
    Waiting(String),
}

/// What is to be done, and what is not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub step: Option<Step>,
    /// What is wanted and refused, each with its guard.
    pub refused: Vec<(String, Refusal)>,
    pub waiting: Vec<String>,
}

impl Plan {
    pub fn is_quiet(&self) -> bool {
        *self == Self::default()
    }
}

/// A part of the plan.
type Part = fn(&View) -> Next;

/// In this order, and the first that has a step is the only one that acts. One that waits holds back those behind it, but
/// not what makes a broken pod run again.
const PARTS: [Part; 11] = [
    volumes::unmade,
    roll::broken,
    bootstrap::next,
    replace::next,
    replace::joining,
    scale::next,
    volumes::grow,
    volumes::template,
    volumes::kept,
    roll::outdated,
    upgrade::next,
];

/// What is next.
pub fn plan(view: &View) -> Plan {
    take(&PARTS, view)
}

/// What is next of a Registry on a claim: Kubernetes rolls its only pod, but makes no volume larger.
pub fn plan_of_single(view: &View) -> Plan {
    take(&[volumes::unmade, volumes::grow, volumes::template, volumes::kept], view)
}

fn take(parts: &[Part], view: &View) -> Plan {
    let mut plan = Plan::default();
    for part in parts {
        match part(view) {
            Next::Done => {}
            Next::Step(step) => {
                plan.step = Some(step);
                break;
            }
            Next::Refused { wants, refusal } => plan.refused.push((wants, refusal)),
            Next::Waiting(what) => {
                plan.waiting.push(what);
                break;
            }
        }
    }
    plan
}

/// How many pods the StatefulSet is to have: as many as are wanted, and those that are members until they have left.
/// Before a pod comes back whose member has left, its volume must be gone, or a node that is refused for ever comes back.
pub fn index_pods(view: &View) -> u32 {
    let members = view.members().iter().filter_map(|member| view.ordinal_of(&member.name)).map(|ordinal| ordinal + 1);
    // Without a word from any member, nobody is taken away.
    let silent = if view.leader().is_none() && view.cluster.is_some() { there(view) } else { 0 };
    let wanted = bootstrap::first_pods(view).min(left_over(view));
    members.chain([wanted, silent]).max().unwrap_or(wanted)
}

/// The pods that the StatefulSet has; while it is made anew, those that it left behind.
fn there(view: &View) -> u32 {
    let pods = view.pods.iter().map(|pod| pod.ordinal + 1).max().unwrap_or_default();
    if view.replicas > 0 { view.replicas } else { pods }
}

/// The first ordinal beyond the pods that has a volume of a member that left.
fn left_over(view: &View) -> u32 {
    let there = there(view);
    let is_known = (view.begun || view.leader().is_some()) && there > 0;
    let beyond = view.claims.iter().map(|claim| claim.ordinal).filter(|ordinal| is_known && *ordinal >= there);
    beyond.min().unwrap_or(u32::MAX)
}
