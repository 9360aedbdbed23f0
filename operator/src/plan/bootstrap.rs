//! The cluster begins: once, under an id that was written down before any node heard of it.

use super::guards::Refusal;
use super::{Next, Step, View};

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
            super::Said::Status(status) => {
                if let Some(other) = status.cluster.as_ref().filter(|other| *other != cluster) {
                    return not_ours(*ordinal, other);
                }
            }
        }
    }
    Next::Step(Step::Begin { ordinals })
}

/// Volumes may be those of a Registry of the same name that was deleted: they stay, and so does what is on them.
fn name(view: &View) -> Next {
    let mut found: Option<(u32, &str)> = None;
    for ordinal in 0..view.wanted {
        let status = view.pod(ordinal).and_then(super::Pod::status);
        let Some(status) = status else { return Next::Waiting(format!("node {ordinal} does not answer yet")) };
        match (found, status.cluster.as_deref()) {
            (_, None) => {}
            (None, Some(cluster)) => found = Some((ordinal, cluster)),
            (Some((_, first)), Some(cluster)) if first == cluster => {}
            (Some(_), Some(cluster)) => return not_ours(ordinal, cluster),
        }
    }
    Next::Step(Step::Name { adopted: found.map(|(_, cluster)| cluster.to_owned()) })
}

fn not_ours(ordinal: u32, other: &str) -> Next {
    let why = format!(
        "the volume of node {ordinal} belongs to cluster {other}: delete the claim for an empty one, or make the Registry that it is of"
    );
    Next::Refused { wants: "the index to begin".into(), refusal: Refusal { guard: "volumes_are_ours", why } }
}
