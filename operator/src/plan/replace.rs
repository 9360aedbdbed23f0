//! A node whose volume is gone is made again: under a new id, in the place of the old one.

use super::guards::{
    no_member_joining, quorum_kept_without, somebody_leads, volumes_are_of_this_life, volumes_are_ours,
};
use super::{Next, Pod, Step, View};

/// A volume that will not come back is given up, and so is one of a member that left while its ordinal is wanted; an empty
/// node takes the place of the member that it was.
pub(super) fn next(view: &View) -> Next {
    if !view.begun {
        return Next::Done;
    }
    // One that is to leave need not come back.
    let wanted = || view.pods.iter().filter(|pod| pod.ordinal < view.wanted);
    for pod in wanted() {
        let Some(unplaced) = pod.lost() else { continue };
        let Some(claim) = view.claim(pod.ordinal).filter(|claim| !claim.terminating) else { continue };
        let wants = format!("the volume of node {} to be given up: {}", pod.ordinal, unplaced.reason);
        if let Err(refusal) = somebody_leads(view).and_then(|()| quorum_kept_without(view, pod.ordinal)) {
            return Next::Refused { wants, refusal };
        }
        return Next::Step(Step::give_up(claim, pod));
    }
    for pod in wanted().filter(|pod| !pod.terminating) {
        let Some(claim) = view.claim(pod.ordinal) else { continue };
        if !view.has_left(pod) && !view.is_left_behind(claim, pod) {
            continue;
        }
        // A member of the same name may be on it all the same: then the others must do without.
        if view.member_of(pod.ordinal).is_some()
            && let Err(refusal) = quorum_kept_without(view, pod.ordinal)
        {
            let wants = format!("the volume of node {} to be given up, whose member left", pod.ordinal);
            return Next::Refused { wants, refusal };
        }
        return Next::Step(Step::give_up(claim, pod));
    }
    // One that is a member already has only not heard of it yet.
    let empty = |pod: &&Pod| pod.is_empty() && !pod.terminating && view.member_in(pod).is_none();
    // A volume of the cluster before it was restored stands in the way of the member that is meant to be there.
    let earlier = |pod: &&Pod| pod.status().is_some_and(|status| view.is_of_earlier_life(status));
    for pod in wanted().filter(|pod| empty(pod) || earlier(pod)) {
        let Some(old) = view.member_of(pod.ordinal) else { continue };
        let wants = format!("node {} to take the place of member {}", pod.ordinal, old.id);
        let verdict = somebody_leads(view)
            .and_then(|()| volumes_are_ours(view.cluster.as_ref(), pod))
            .and_then(|()| volumes_are_of_this_life(view, pod))
            .and_then(|()| no_member_joining(view, Some(pod.ordinal)));
        if let Err(refusal) = verdict {
            return Next::Refused { wants, refusal };
        }
        return Next::Step(Step::Add { ordinal: pod.ordinal });
    }
    Next::Done
}

/// What joined becomes a voter as soon as it has caught up.
pub(super) fn joining(view: &View) -> Next {
    for learner in view.members().iter().filter(|member| !member.voter) {
        let Some(ordinal) = view.ordinal_of(&learner.name) else { continue };
        if ordinal >= view.wanted {
            continue; // it is to leave: `scale` sees to that
        }
        let wants = format!("node {ordinal} to become a voter");
        // Without a leader it is not known who is a member.
        if let Err(refusal) = somebody_leads(view) {
            return Next::Refused { wants, refusal };
        }
        let is_there = view.pod(ordinal).and_then(|pod| pod.status()).is_some_and(|status| status.id == learner.id);
        if !is_there {
            // Its volume was lost on the way in: the next one joins, and this one goes.
            if view.pod(ordinal).is_some_and(|pod| pod.status().is_some()) {
                return Next::Step(Step::Remove { id: learner.id, name: learner.name.clone() });
            }
            return Next::Waiting(format!("node {ordinal} joins, and does not answer"));
        }
        if !view.has_caught_up(learner.id) {
            return Next::Waiting(format!("node {ordinal} catches up"));
        }
        // The voters are counted with it from then on.
        if let Err(why) = view.is_well(learner) {
            return Next::Waiting(format!("node {ordinal} joins: {why}"));
        }
        let old = view.members().iter().find(|member| member.voter && member.name == learner.name);
        return Next::Step(Step::Promote { ordinal, id: learner.id, replace: old.map(|member| member.id) });
    }
    Next::Done
}
