//! More nodes or fewer: a member joins before anything counts on it, and leaves before its pod goes.

use roadstead::index::peers::wire::Member;

use super::guards::{
    all_caught_up, all_wanted_caught_up, leader_last, quorum_stays, somebody_leads, volumes_are_of_this_life,
    volumes_are_ours,
};
use super::{Next, Said, Step, View, index_pods};

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
        let Some(pod) = view.pod(ordinal) else {
            return Next::Waiting(format!("the pod of node {ordinal} is not there yet"));
        };
        if let Said::Nothing(why) = &pod.said {
            return Next::Waiting(format!("node {ordinal} cannot join yet: {why}"));
        }
        let verdict = somebody_leads(view)
            .and_then(|()| volumes_are_ours(view.cluster.as_ref(), pod))
            .and_then(|()| volumes_are_of_this_life(view, pod));
        if let Err(refusal) = verdict {
            return Next::Refused { wants, refusal };
        }
        if !pod.is_empty() {
            return Next::Waiting(format!("node {ordinal} cannot join yet: its volume is that of a member that left"));
        }
        let verdict = all_caught_up(view, Some(ordinal));
        return match verdict {
            Ok(()) => Next::Step(Step::Add { ordinal }),
            Err(refusal) => Next::Refused { wants, refusal },
        };
    }
    Next::Done
}

/// The highest leaves first; but one that is not well, if without it those that stay are a majority and otherwise not.
fn shrink(view: &View) -> Next {
    let mut refused = None;
    for (ordinal, member) in surplus(view) {
        let verdict = somebody_leads(view)
            .and_then(|()| if member.voter { quorum_stays(view, ordinal) } else { Ok(()) })
            .and_then(|()| if member.voter { all_wanted_caught_up(view) } else { Ok(()) });
        match verdict {
            Err(refusal) => {
                refused = refused.or(Some(Next::Refused { wants: format!("node {ordinal} to leave"), refusal }));
            }
            Ok(()) if leader_last(view, ordinal).is_err() => return Next::Step(Step::Transfer { ordinal }),
            Ok(()) => return Next::Step(Step::Remove { id: member.id, name: member.name.clone() }),
        }
    }
    if let Some(refused) = refused {
        return refused;
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

/// Members that are to leave, in that order: learners first, since nobody counts on them and others wait for them.
fn surplus(view: &View) -> Vec<(u32, &Member)> {
    let ordinals = view.members().iter().filter_map(|member| Some((view.ordinal_of(&member.name)?, member)));
    let mut surplus: Vec<_> = ordinals.filter(|(ordinal, _)| *ordinal >= view.wanted).collect();
    surplus.sort_by_key(|(ordinal, member)| (member.voter, std::cmp::Reverse(*ordinal)));
    surplus
}
