//! The cluster begins: once, under an id that was written down before any node heard of it.

use roadstead::index::peers::wire::NodeStatus;

use super::guards::{backup_is_not_skipped, volumes_are_ours};
use super::{Next, Pod, Said, Step, View};

const WANTS: &str = "the index to begin";

pub(super) fn next(view: &View) -> Next {
    if view.begun {
        return Next::Done;
    }
    let Some(cluster) = &view.cluster else { return name(view) };
    // A node that says it has begun under our id is enough: we were not told of the answer. Whatever is wanted by now, it
    // has begun with its members, and never begins again with others.
    let begun =
        |pod: &Pod| pod.status().is_some_and(|status| status.cluster.as_ref() == Some(cluster) && has_begun(status));
    if let Some(pod) = view.pods.iter().find(|pod| begun(pod)) {
        return match view.leader() {
            Some(leader) if leader.epoch.is_some() => Next::Step(Step::NoteBegun),
            // Whoever began it ended before the first entry was written.
            Some(leader) => Next::Step(Step::Found { leader: leader.name.clone(), members: named(leader) }),
            None => Next::Waiting(format!("node {} has begun, and nobody leads yet", pod.ordinal)),
        };
    }
    for ordinal in 0..view.wanted {
        let Some(pod) = view.pod(ordinal) else {
            return Next::Waiting(format!("the pod of node {ordinal} is not there yet"));
        };
        match &pod.said {
            Said::Nothing(why) => return give_up(view, pod).unwrap_or_else(|| Next::Waiting(silent(pod, why))),
            Said::Status(_) => {
                if let Err(refusal) = volumes_are_ours(Some(cluster), pod) {
                    return Next::Refused { wants: WANTS.into(), refusal };
                }
            }
        }
    }
    // The answer may have been lost while more were wanted: on a volume beyond, it may have begun.
    match view.pods.iter().find_map(|pod| Some((pod, pod.silence()?)).filter(|(pod, _)| has_volume(view, pod.ordinal)))
    {
        Some((pod, why)) => give_up(view, pod).unwrap_or_else(|| Next::Waiting(silent(pod, why))),
        None => Next::Step(Step::Begin { ordinals: (0..view.wanted).collect() }),
    }
}

/// Volumes may be those of a Registry of the same name that was deleted: they stay, and so does what is on them. Those beyond
/// what is wanted are asked too: the cluster may be on these alone.
fn name(view: &View) -> Next {
    let mut found: Option<(String, bool)> = None;
    let mut waits = Vec::new();
    for ordinal in 0..first_pods(view) {
        let pod = view.pod(ordinal);
        let Some((pod, status)) = pod.and_then(|pod| Some((pod, pod.status()?))) else {
            let is_lost = pod.is_some_and(|pod| pod.lost().is_some());
            let has_left = view.claim(ordinal).is_some_and(|claim| claim.left.is_some());
            waits.push((ordinal, is_lost || has_left));
            continue;
        };
        match (&mut found, &status.cluster) {
            (_, None) => {}
            (None, Some(cluster)) => found = Some((cluster.clone(), has_begun(status))),
            (Some((cluster, begun)), Some(_)) => {
                if let Err(refusal) = volumes_are_ours(Some(cluster), pod) {
                    return Next::Refused { wants: WANTS.into(), refusal };
                }
                *begun |= has_begun(status);
            }
        }
    }
    // A cluster that has begun needs no more than to be known; one that has not may have begun on a volume that is silent.
    let begun = found.as_ref().is_some_and(|(_, begun)| *begun);
    let waits = waits.iter().find(|(ordinal, is_gone)| !begun || (*ordinal < view.wanted && !is_gone));
    if let Some((ordinal, _)) = waits {
        let why =
            view.pod(*ordinal).and_then(|pod| pod.unplaced.as_ref()).map(|unplaced| format!(": {}", unplaced.reason));
        return Next::Waiting(format!("node {ordinal} does not answer yet{}", why.unwrap_or_default()));
    }
    if found.is_none()
        && let Err(refusal) = backup_is_not_skipped(view)
    {
        return Next::Refused { wants: WANTS.into(), refusal };
    }
    Next::Step(Step::Name { adopted: found.map(|(cluster, _)| cluster), begun, restored: view.restores })
}

/// Whether a node knows members: its cluster has begun.
fn has_begun(status: &NodeStatus) -> bool {
    !status.members.is_empty()
}

fn named(leader: &NodeStatus) -> Vec<(u64, String)> {
    leader.members.iter().map(|member| (member.id, member.name.clone())).collect()
}

/// A volume that will not come back is given up before anything was written to it.
fn give_up(view: &View, pod: &Pod) -> Option<Next> {
    pod.lost()?;
    let claim = view.claim(pod.ordinal).filter(|claim| !claim.terminating)?;
    Some(Next::Step(Step::give_up(claim, pod)))
}

/// Whether there is something that a node may have written to.
fn has_volume(view: &View, ordinal: u32) -> bool {
    view.claim(ordinal).is_some_and(|claim| claim.has > 0 && !claim.terminating)
}

fn silent(pod: &Pod, why: &str) -> String {
    let why = pod.unplaced.as_ref().map_or(why, |unplaced| unplaced.reason.as_str());
    format!("node {} does not answer yet: {why}", pod.ordinal)
}

/// As many pods as there are volumes, until it is known what is on them.
pub(super) fn first_pods(view: &View) -> u32 {
    if view.begun || view.cluster.is_some() {
        return view.wanted;
    }
    let claims = view.claims.iter().filter(|claim| !claim.terminating).map(|claim| claim.ordinal + 1);
    let known = claims.filter(|pods| *pods <= view.addresses.len() as u32);
    known.chain([view.wanted]).max().unwrap_or(view.wanted)
}
