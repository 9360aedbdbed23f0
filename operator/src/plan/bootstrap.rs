//! The cluster begins: once, under an id that was written down before any node heard of it.

use super::guards::volumes_are_ours;
use super::{Next, Step, View};

const WANTS: &str = "the index to begin";

pub(super) fn next(view: &View) -> Next {
    if view.begun {
        return Next::Done;
    }
    let Some(cluster) = &view.cluster else { return name(view) };
    // A node that says it has begun under our id is enough: we were not told of the answer.
    let has_begun = |pod: &super::Pod| {
        pod.status().is_some_and(|status| status.cluster.as_ref() == Some(cluster) && !status.members.is_empty())
    };
    if view.pods.iter().any(has_begun) && view.leader().is_some() {
        return Next::Step(Step::NoteBegun);
    }
    let ordinals: Vec<u32> = (0..view.wanted).collect();
    for ordinal in &ordinals {
        let Some(pod) = view.pod(*ordinal) else {
            return Next::Waiting(format!("the pod of node {ordinal} is not there yet"));
        };
        match &pod.said {
            super::Said::Nothing(why) => {
                let why = pod.unplaced.as_ref().map_or(why, |unplaced| &unplaced.reason);
                return Next::Waiting(format!("node {ordinal} does not answer yet: {why}"));
            }
            super::Said::Status(_) => {
                if let Err(refusal) = volumes_are_ours(Some(cluster), pod) {
                    return Next::Refused { wants: WANTS.into(), refusal };
                }
            }
        }
    }
    Next::Step(Step::Begin { ordinals })
}

/// Volumes may be those of a Registry of the same name that was deleted: they stay, and so does what is on them. Those beyond
/// what is wanted are asked too: the cluster may be on these alone.
fn name(view: &View) -> Next {
    let mut found: Option<String> = None;
    for ordinal in 0..first_pods(view) {
        let Some((pod, status)) = view.pod(ordinal).and_then(|pod| Some((pod, pod.status()?))) else {
            if ordinal >= view.wanted && found.is_some() {
                continue; // it is not needed to know the cluster
            }
            return Next::Waiting(format!("node {ordinal} does not answer yet"));
        };
        if found.is_none() {
            found.clone_from(&status.cluster);
        } else if let Err(refusal) = volumes_are_ours(found.as_ref(), pod) {
            return Next::Refused { wants: WANTS.into(), refusal };
        }
    }
    Next::Step(Step::Name { adopted: found })
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
