//! A feature level is put in force once every member knows it and none is on its way.

use super::guards::{all_caught_up, all_know_the_level, no_member_joining, somebody_leads};
use super::{Next, Pod, Step, View};

pub(super) fn next(view: &View) -> Next {
    if !view.raises || !view.begun {
        return Next::Done;
    }
    let Some(leader) = view.leader() else { return Next::Done };
    let highest = view.pods.iter().filter_map(Pod::status).map(|status| status.level).max().unwrap_or_default();
    if highest <= leader.level_in_force {
        return Next::Done;
    }
    let verdict = somebody_leads(view)
        .and_then(|()| no_member_joining(view, None))
        .and_then(|()| all_caught_up(view, None))
        .and_then(|()| all_know_the_level(view, highest));
    match verdict {
        Ok(()) => Next::Step(Step::Raise { level: highest }),
        Err(refusal) => Next::Refused { wants: format!("feature level {highest} to be put in force"), refusal },
    }
}
