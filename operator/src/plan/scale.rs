//! More nodes or fewer: a member joins before anything counts on it, and leaves before its pod goes.

use super::guards::{all_caught_up, leader_last, quorum_stays, somebody_leads, volumes_are_ours};
use super::{Next, Pod, Said, Step, View, index_pods};

pub(super) fn next(view: &View) -> Next {
    if !view.begun {
        return Next::Done;
    }
    match shrink(view) {
        Next::Done => grow(view),
        next => next,
    }
}

fn grow(view: &View) -> Next {
    for ordinal in 0..view.wanted {
        if view.member_of(ordinal).is_some() {
            continue;
        }
        let wants = format!("node {ordinal} to join");
        let Some(pod) = view.pod(ordinal) else { return Next::Waiting(format!("the pod of node {ordinal} is not there yet")) };
        if let Said::Nothing(why) = &pod.said {
            return Next::Waiting(format!("node {ordinal} cannot join yet: {why}"));
        }
        let verdict = somebody_leads(view).and_then(|()| volumes_are_ours(view.cluster.as_ref(), pod));
        if let Err(refusal) = verdict {
            return Next::Refused { wants, refusal };
        }
        if !pod.is_empty() {
            return left(view, pod);
        }
        let verdict = all_caught_up(view, Some(ordinal));
        return match verdict {
            Ok(()) => Next::Step(Step::Add { ordinal }),
            Err(refusal) => Next::Refused { wants, refusal },
        };
    }
    Next::Done
}

/// The node was a member and left, and its ordinal is wanted again: its id is refused for ever, so an empty volume is needed.
fn left(view: &View, pod: &Pod) -> Next {
    let ordinal = pod.ordinal;
    match view.claims.iter().find(|claim| claim.ordinal == ordinal) {
        Some(claim) if !pod.terminating && view.member_in(pod).is_none() => {
            Next::Step(Step::DeleteClaim { ordinal, uid: claim.uid.clone(), pod: Some(pod.uid.clone()) })
        }
        _ => Next::Waiting(format!("the volume of node {ordinal}, which left, goes")),
    }
}

fn shrink(view: &View) -> Next {
    let surplus = view.members().iter().filter_map(|member| Some((view.ordinal_of(&member.name)?, member)));
    let highest = surplus.filter(|(ordinal, _)| *ordinal >= view.wanted).max_by_key(|(ordinal, _)| *ordinal);
    if let Some((ordinal, member)) = highest {
        let wants = format!("node {ordinal} to leave");
        let verdict = somebody_leads(view)
            .and_then(|()| if member.voter { quorum_stays(view, ordinal) } else { Ok(()) })
            .and_then(|()| all_caught_up(view, Some(ordinal)));
        if let Err(refusal) = verdict {
            return Next::Refused { wants, refusal };
        }
        if leader_last(view, ordinal).is_err() {
            return Next::Step(Step::Transfer { ordinal });
        }
        return Next::Step(Step::Remove { id: member.id, name: member.name.clone() });
    }
    // Volumes of those that left: their ids are refused for ever, so nobody may find them.
    let pods = index_pods(view);
    let left = view.claims.iter().find(|claim| claim.ordinal >= pods && !claim.terminating);
    if let Some(claim) = left {
        if view.pod(claim.ordinal).is_some() {
            return Next::Waiting(format!("the pod of node {} goes", claim.ordinal));
        }
        if view.leader().is_none() {
            return Next::Waiting("nobody leads".into());
        }
        return Next::Step(Step::DeleteClaim { ordinal: claim.ordinal, uid: claim.uid.clone(), pod: None });
    }
    Next::Done
}
