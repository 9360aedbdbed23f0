//! Volumes grow: first each claim, then what the StatefulSet says of those to come.

use super::guards::class_allows_expansion;
use super::{Next, Step, View};

pub(super) fn next(view: &View) -> Next {
    let small = view.claims.iter().find(|claim| claim.asked < view.size && !claim.terminating);
    if let Some(claim) = small {
        return match class_allows_expansion(view) {
            Ok(()) => Next::Step(Step::Expand { ordinal: claim.ordinal }),
            Err(refusal) => {
                Next::Refused { wants: format!("the volume of node {} to be made larger", claim.ordinal), refusal }
            }
        };
    }
    if view.set_size != 0 && view.set_size != view.size {
        return Next::Step(Step::RecreateSet);
    }
    Next::Done
}
