//! Volumes: claims grow, and then what the StatefulSet says of those to come. What a class can no longer be is told; a claim
//! that has no volume yet is made anew.

use super::guards::{class_allows_expansion, volumes_keep_their_class, volumes_never_shrink};
use super::{Claim, Next, Step, View};

/// A claim that waits for a volume of a class that is no longer wanted: nothing was ever written to it.
pub(super) fn unmade(view: &View) -> Next {
    let Some(claim) = view.claims.iter().find(|claim| claim.is_unmade && !claim.terminating && !view.fits(claim))
    else {
        return Next::Done;
    };
    if view.set_differs() {
        return Next::Step(Step::RecreateSet);
    }
    let pod = view.pod(claim.ordinal).map(|pod| pod.uid.clone());
    Next::Step(Step::RemakeClaim {
        ordinal: claim.ordinal,
        uid: claim.uid.clone(),
        version: claim.version.clone(),
        pod,
        class: view.class.clone(),
    })
}

fn too_small(view: &View) -> Option<&Claim> {
    view.claims.iter().find(|claim| claim.asked < view.size && !claim.terminating)
}

pub(super) fn grow(view: &View) -> Next {
    let Some(claim) = too_small(view) else { return Next::Done };
    match class_allows_expansion(claim) {
        Ok(()) => Next::Step(Step::Expand { ordinal: claim.ordinal }),
        Err(refusal) => {
            Next::Refused { wants: format!("the volume of node {} to be made larger", claim.ordinal), refusal }
        }
    }
}

/// What the StatefulSet says of volumes to come.
pub(super) fn template(view: &View) -> Next {
    if too_small(view).is_some() || !view.set_differs() {
        return Next::Done;
    }
    match volumes_never_shrink(view) {
        Ok(()) => Next::Step(Step::RecreateSet),
        Err(refusal) => Next::Refused { wants: "smaller volumes".into(), refusal },
    }
}

pub(super) fn kept(view: &View) -> Next {
    match volumes_keep_their_class(view) {
        Ok(()) => Next::Done,
        Err(refusal) => Next::Refused { wants: "volumes of another class".into(), refusal },
    }
}
