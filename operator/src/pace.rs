//! When a Registry is looked at again, by what the last look found. Pure.

use std::time::Duration;

use crate::controller::{AT_REST, FAILING, REFUSED};
use crate::status::Found;

/// Until a registry is looked at again: after a step, and while something goes on. What fails is looked at less and less
/// often.
const SOON: Duration = Duration::from_millis(300);
const WORKING: Duration = Duration::from_secs(2);

/// Until the next look: at least, at most, and what keeps the registry from being done with, if it is that.
pub fn pace(found: &Found<'_>, is_changed: bool) -> (Duration, Duration, Option<String>) {
    let is_failing = found.failed.is_some() || found.step_failed.is_some() || found.certificates.is_err();
    let is_waiting = !found.plan.waiting.is_empty() || !found.passing.is_empty();
    let is_waiting = is_waiting || matches!(found.certificates, Ok(Some(_)));
    let is_refused = !found.plan.refused.is_empty() || !found.problems.is_empty();
    // With its numbers: where something goes on, they change.
    let stuck = || Some(found.troubles.iter().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("\n"));
    if is_changed {
        (SOON, SOON, None)
    } else if is_failing {
        (WORKING, FAILING, stuck())
    } else if is_waiting {
        (WORKING, WORKING, None)
    } else if is_refused {
        (REFUSED, AT_REST, stuck())
    } else if found.plan.is_quiet() {
        (AT_REST, AT_REST, None)
    } else {
        (REFUSED, REFUSED, None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::Registry;
    use crate::observe::Observed;
    use crate::plan::Plan;
    use crate::plan::guards::Refusal;
    use crate::status::troubles::troubles;
    use crate::validate::Problem;

    fn registry() -> Registry {
        serde_json::from_value(json!({
            "apiVersion": "roadstead.dev/v1alpha1",
            "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns", "uid": "1" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "images" } } },
        }))
        .unwrap()
    }

    /// As it is once what is wrong has lasted.
    fn lasting(found: Found<'_>) -> Found<'_> {
        Found { troubles: troubles(&registry(), &Observed::default(), &found), ..found }
    }

    #[test]
    fn what_fails_or_is_refused_is_looked_at_less_often_and_what_goes_on_is_not() {
        let refused = |why: &str| Plan {
            refused: vec![(
                "more room".into(),
                Refusal { guard: "class_allows_expansion", why: why.into(), may_pass: false },
            )],
            ..Plan::default()
        };
        let problems = [Problem { reason: "ForbiddenPods", message: "root".into() }];
        let fine = Found::default;
        for (what, found, is_changed, least, most, is_stuck) in [
            ("at rest", fine(), false, AT_REST, AT_REST, false),
            ("something was changed", Found { plan: refused("no"), ..fine() }, true, SOON, SOON, false),
            ("a guard refuses", Found { plan: refused("no"), ..fine() }, false, REFUSED, AT_REST, true),
            ("it is invalid", Found { problems: &problems, ..fine() }, false, REFUSED, AT_REST, true),
            ("applying fails", Found { failed: Some("quota".into()), ..fine() }, false, WORKING, FAILING, true),
            (
                "a step fails",
                Found { step_failed: Some((String::new(), "no".into())), ..fine() },
                false,
                WORKING,
                FAILING,
                true,
            ),
            ("certificates fail", Found { certificates: Err("no".into()), ..fine() }, false, WORKING, FAILING, true),
            ("a renewal waits", Found { certificates: Ok(Some("x".into())), ..fine() }, false, WORKING, WORKING, false),
        ] {
            let (found_least, found_most, stuck) = pace(&lasting(found), is_changed);
            assert_eq!((found_least, found_most, stuck.is_some()), (least, most, is_stuck), "{what}");
        }
        let stuck = |why: &str| pace(&lasting(Found { plan: refused(why), ..fine() }), false).2;
        assert_eq!(stuck("no"), stuck("no"));
        assert_ne!(stuck("node 1 is 12 behind"), stuck("node 1 is 7 behind"), "it goes on");
    }
}
