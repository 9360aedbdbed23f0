//! Pods that were made from what is no longer wanted are made again, one after the other, the leader's last. A broken one
//! comes first and needs no majority: it is how a mistake is mended.

use super::guards::{
    all_caught_up, leader_last, new_pods_answer, no_member_joining, one_pod_at_a_time, quorum_kept_without,
    somebody_leads,
};
use super::{Next, Pod, Step, View};

fn is_outdated(view: &View, pod: &Pod) -> bool {
    pod.template.as_ref() != Some(&view.template)
}

/// A pod that does not run and would not be made so any more. Nodes that answer and do not come to a leader are no better.
pub(super) fn broken(view: &View) -> Next {
    let is_of_no_use = |pod: &Pod| !pod.ready && (pod.status().is_none() || view.stuck);
    let broken = |pod: &&Pod| is_outdated(view, pod) && !pod.terminating && is_of_no_use(pod);
    let Some(pod) = view.pods.iter().find(broken) else { return Next::Done };
    if view.begun
        && let Err(refusal) = new_pods_answer(view)
    {
        return Next::Refused { wants: format!("the pod of node {} to be made again", pod.ordinal), refusal };
    }
    restart(pod, "it does not run, and what it was made from has changed")
}

pub(super) fn outdated(view: &View) -> Next {
    if !view.begun {
        // Nothing depends on them yet.
        return match view.pods.iter().find(|pod| is_outdated(view, pod) && !pod.terminating) {
            Some(pod) => restart(pod, "what it was made from has changed"),
            None => Next::Done,
        };
    }
    let leads = |pod: &&Pod| leader_last(view, pod.ordinal).is_err();
    let mut outdated: Vec<&Pod> = view.pods.iter().filter(|pod| is_outdated(view, pod)).collect();
    // One that is not ready comes first, the leader last.
    outdated.sort_by_key(|pod| (leads(pod), pod.ready, pod.ordinal));
    let Some(pod) = outdated.first() else { return Next::Done };
    if pod.terminating {
        return Next::Waiting(format!("the pod of node {} is made again", pod.ordinal));
    }
    let verdict = somebody_leads(view)
        .and_then(|()| no_member_joining(view, None))
        .and_then(|()| one_pod_at_a_time(view, pod.ordinal))
        .and_then(|()| all_caught_up(view, Some(pod.ordinal)))
        .and_then(|()| quorum_kept_without(view, pod.ordinal));
    if let Err(refusal) = verdict {
        return Next::Refused { wants: format!("the pod of node {} to be made again", pod.ordinal), refusal };
    }
    if leader_last(view, pod.ordinal).is_err() {
        return Next::Step(Step::Transfer { ordinal: pod.ordinal });
    }
    restart(pod, "what it was made from has changed")
}

fn restart(pod: &Pod, reason: &str) -> Next {
    Next::Step(Step::Restart { ordinal: pod.ordinal, uid: pod.uid.clone(), reason: reason.into() })
}
