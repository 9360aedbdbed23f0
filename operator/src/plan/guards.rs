//! What may speak against a step. Each guard has a name, which is told together with the reason when it refuses.

use roadstead::index::peers::wire::Member;

use super::{Claim, Pod, View};

/// A guard that said no, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub guard: &'static str,
    pub why: String,
    /// It is about nodes or pods that may come right by themselves, as they do while they are made again.
    pub may_pass: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.why, self.guard)
    }
}

pub type Verdict = Result<(), Refusal>;

fn refuse(guard: &'static str, why: String) -> Verdict {
    Err(Refusal { guard, why, may_pass: false })
}

fn not_now(guard: &'static str, why: String) -> Verdict {
    Err(Refusal { guard, why, may_pass: true })
}

/// Somebody leads whom a majority follows.
pub fn somebody_leads(view: &View) -> Verdict {
    match view.leader() {
        Some(_) => Ok(()),
        None => not_now("somebody_leads", "no majority of the index follows a leader".into()),
    }
}

/// Without this node, the voters that are well are still a majority.
pub fn quorum_kept_without(view: &View, ordinal: u32) -> Verdict {
    let voters: Vec<_> = view.members().iter().filter(|member| member.voter).collect();
    let is_it = |name: &str| view.ordinal_of(name) == Some(ordinal);
    let well = voters.iter().filter(|member| !is_it(&member.name) && view.is_well(member).is_ok()).count();
    // The only voter of an index of one stops for a moment: there is no other way.
    let is_alone = voters.len() == 1 && voters.iter().all(|member| is_it(&member.name));
    if well * 2 > voters.len() || is_alone {
        return Ok(());
    }
    not_now(
        "quorum_kept_without",
        format!("without node {ordinal}, {well} of {} voters would be well: no majority", voters.len()),
    )
}

/// When this voter has left, those that stay and are well are a majority of those that stay.
pub fn quorum_stays(view: &View, ordinal: u32) -> Verdict {
    let stay = || view.members().iter().filter(|member| member.voter && view.ordinal_of(&member.name) != Some(ordinal));
    let well = stay().filter(|member| view.is_well(member).is_ok()).count();
    if well * 2 > stay().count() {
        return Ok(());
    }
    not_now("quorum_stays", format!("of {} voters that stay, {well} are well: no majority", stay().count()))
}

/// Every member but this node answers and has nearly all that the leader has.
pub fn all_caught_up(view: &View, but: Option<u32>) -> Verdict {
    let others = view.members().iter().filter(|member| but.is_none() || view.ordinal_of(&member.name) != but);
    match others.map(|member| view.is_well(member)).find_map(Result::err) {
        None => Ok(()),
        Some(why) => not_now("all_caught_up", why),
    }
}

/// Every member that is wanted answers and has nearly all that the leader has; those that are to leave need not.
pub fn all_wanted_caught_up(view: &View) -> Verdict {
    let stay = |member: &&Member| view.ordinal_of(&member.name).is_some_and(|ordinal| ordinal < view.wanted);
    match view.members().iter().filter(stay).map(|member| view.is_well(member)).find_map(Result::err) {
        None => Ok(()),
        Some(why) => not_now("all_wanted_caught_up", why),
    }
}

/// No node is on its way in, but this one.
pub fn no_member_joining(view: &View, but: Option<u32>) -> Verdict {
    let learner =
        view.members().iter().find(|member| !member.voter && (but.is_none() || view.ordinal_of(&member.name) != but));
    match learner {
        None => Ok(()),
        Some(member) => not_now("no_member_joining", format!("{} has not caught up yet", member.name)),
    }
}

/// No other pod is on its way out or in, and those that were made anew already are ready: a mistake stops at the first.
/// One that is not made anew yet may be unready, as long as its node is well: what is rolled out may be what mends it.
pub fn one_pod_at_a_time(view: &View, ordinal: u32) -> Verdict {
    for pod in view.pods.iter().filter(|pod| pod.ordinal != ordinal) {
        let is_new = pod.template.as_ref() == Some(&view.template);
        if pod.terminating || pod.status().is_none() || (is_new && !pod.ready) {
            return not_now("one_pod_at_a_time", format!("the pod of node {} is not ready", pod.ordinal));
        }
    }
    let there = view.pods.len() as u32;
    if there < view.replicas {
        return not_now("one_pod_at_a_time", format!("{there} of {} pods are there", view.replicas));
    }
    Ok(())
}

/// The pods that were made anew answer. Otherwise what they were made from is perhaps the mistake, and one that is down for a
/// moment comes back by itself from what it was made from before.
pub fn new_pods_answer(view: &View) -> Verdict {
    // What a machine took with it says nothing.
    let is_new = |pod: &&Pod| pod.template.as_ref() == Some(&view.template) && pod.lost().is_none();
    match view.pods.iter().filter(is_new).find(|pod| !pod.ready && pod.status().is_none()) {
        None => Ok(()),
        Some(pod) => {
            not_now("new_pods_answer", format!("the pod of node {}, which was made anew, does not answer", pod.ordinal))
        }
    }
}

/// The node does not lead.
pub fn leader_last(view: &View, ordinal: u32) -> Verdict {
    let leads = view.leader().is_some_and(|leader| view.ordinal_of(&leader.name) == Some(ordinal));
    let alone = view.members().iter().filter(|member| member.voter).count() < 2;
    if leads && !alone { not_now("leader_last", format!("node {ordinal} leads")) } else { Ok(()) }
}

/// Nothing is begun empty that is to begin from a backup.
pub fn backup_is_not_skipped(view: &View) -> Verdict {
    if !view.skips_backup {
        return Ok(());
    }
    refuse(
        "backup_is_not_skipped",
        "claims of the index are older than the Registry, so that it does not begin from its backup, and nothing is on \
         their volumes: delete these claims and their pods"
            .into(),
    )
}

/// What a pod has found on its volume is of no other cluster than this one.
pub fn volumes_are_ours(cluster: Option<&String>, pod: &Pod) -> Verdict {
    let other = pod.status().and_then(|status| status.cluster.as_ref()).filter(|other| cluster != Some(*other));
    match other {
        None => Ok(()),
        Some(other) => refuse(
            "volumes_are_ours",
            format!(
                "the volume of node {} belongs to cluster {other}: delete the claim for an empty one, or make the Registry that it is of",
                pod.ordinal
            ),
        ),
    }
}

/// What a pod has found on its volume is not of the cluster before it was restored.
pub fn volumes_are_of_this_life(view: &View, pod: &Pod) -> Verdict {
    match pod.status().filter(|status| view.is_of_earlier_life(status)) {
        None => Ok(()),
        Some(_) => refuse(
            "volumes_are_of_this_life",
            format!(
                "the volume of node {} is of the cluster before it was restored: delete its claim and pod for an empty one",
                pod.ordinal
            ),
        ),
    }
}

/// The storage class lets volumes grow.
pub fn class_allows_expansion(claim: &Claim) -> Verdict {
    let class = claim.class.as_deref().unwrap_or("of the volume");
    match claim.can_expand {
        Some(true) => Ok(()),
        Some(false) => refuse(
            "class_allows_expansion",
            format!(
                "the storage class {class} does not allow volumes to grow: set its allowVolumeExpansion, or the size back"
            ),
        ),
        None => refuse(
            "class_allows_expansion",
            format!("it is not known whether the storage class {class} allows volumes to grow"),
        ),
    }
}

/// No volume that there is is larger than what is wanted now.
pub fn volumes_never_shrink(view: &View) -> Verdict {
    if view.size >= view.set_size {
        return Ok(());
    }
    match view.claims.iter().filter(|claim| !claim.terminating).find(|claim| claim.asked > view.size) {
        None => Ok(()),
        Some(claim) => refuse(
            "volumes_never_shrink",
            format!(
                "the volume of node {} has {} MiB, and no volume can be made smaller: set the size back",
                claim.ordinal,
                claim.asked >> 20
            ),
        ),
    }
}

/// Volumes that there are are of the class that is wanted.
pub fn volumes_keep_their_class(view: &View) -> Verdict {
    let is_other = |claim: &&Claim| !claim.terminating && !claim.is_unmade && claim.class.is_some();
    let wanted = view.class.as_deref();
    match view.claims.iter().filter(is_other).find(|claim| wanted.is_some() && claim.class.as_deref() != wanted) {
        None => Ok(()),
        Some(claim) => refuse(
            "volumes_keep_their_class",
            format!(
                "the volume of node {} is of the storage class {} and stays so; volumes to come are of {}",
                claim.ordinal,
                claim.class.as_deref().unwrap_or_default(),
                wanted.unwrap_or_default()
            ),
        ),
    }
}

/// Every member knows the level.
pub fn all_know_the_level(view: &View, level: u32) -> Verdict {
    let behind =
        view.pods.iter().find_map(|pod| pod.status().filter(|status| status.level < level).map(|status| (pod, status)));
    match behind {
        None => Ok(()),
        Some((pod, status)) => {
            not_now("all_know_the_level", format!("node {} knows level {} only", pod.ordinal, status.level))
        }
    }
}
