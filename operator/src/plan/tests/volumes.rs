//! Volumes grow, and feature levels rise.

use super::*;

/// Volumes are to be twice as large.
fn larger(nodes: u32) -> Seen {
    index(nodes).with(|view| view.size = 20 * GIB)
}

fn is_large(claim: &mut Claim) {
    claim.asked = 20 * GIB;
}

fn expand(ordinal: u32) -> Is {
    Is::Step(Step::Expand { ordinal })
}

#[test]
fn each_claim_grows_and_then_the_set_is_made_anew() {
    let first = larger(3).claim_as(0, is_large);
    let all = || larger(3).claim_as(0, is_large).claim_as(1, is_large).claim_as(2, is_large);
    check(vec![
        ("the first", larger(3), expand(0)),
        ("the next", first.clone(), expand(1)),
        ("one that goes is left out", first.claim_as(1, |claim| claim.terminating = true), expand(2)),
        ("the set", all(), Is::Step(Step::RecreateSet)),
        ("the set is gone for a moment", all().with(|view| view.set_size = 0), Is::Quiet),
        ("the set is new", all().with(|view| view.set_size = 20 * GIB), Is::Quiet),
        ("a claim that is larger is left alone", index(3).claim_as(0, is_large), Is::Quiet),
    ]);
}

#[test]
fn a_volume_does_not_grow_when_its_class_does_not_let_it() {
    let with = |can: Option<bool>| larger(3).with(|view| view.can_expand = can);
    check(vec![
        ("it does not", with(Some(false)), Is::Refused("class_allows_expansion")),
        ("it is not known", with(None), Is::Refused("class_allows_expansion")),
    ]);
    let why = |can| plan(&with(can).view()).refused[0].1.why.clone();
    assert_ne!(why(Some(false)), why(None));
}

#[test]
fn a_set_without_claims_is_made_anew_for_those_to_come() {
    let seen = larger(3).with(|view| view.claims.clear());
    check(vec![("no claims", seen, Is::Step(Step::RecreateSet))]);
}

#[test]
fn volumes_grow_also_while_a_node_is_down() {
    check(vec![("it is full, perhaps", larger(3).down(1), expand(0))]);
}

#[test]
fn the_volume_of_a_registry_on_a_claim_grows_and_nothing_else_is_planned_for_it() {
    let only = || View { size: 20 * GIB, set_size: 10 * GIB, can_expand: Some(true), ..index(1).view() };
    let alone = |change: &dyn Fn(&mut View)| {
        // Nothing is known of its node: it is not asked.
        let mut view = View { pods: Vec::new(), cluster: None, begun: false, wanted: 0, ..only() };
        change(&mut view);
        plan_of_single(&view)
    };
    let step = |step| Plan { step: Some(step), ..Plan::default() };
    assert_eq!(alone(&|_| {}), step(Step::Expand { ordinal: 0 }));
    assert_eq!(alone(&|view| view.claims[0].asked = 20 * GIB), step(Step::RecreateSet));
    assert!(alone(&|view| (view.claims[0].asked, view.set_size) = (20 * GIB, 20 * GIB)).is_quiet());
    assert!(alone(&|view| (view.size, view.claims[0].asked) = (10 * GIB, 50 * GIB)).is_quiet(), "enlarged by hand");
    let refused = alone(&|view| view.can_expand = Some(false)).refused;
    assert_eq!(refused[0].1.guard, "class_allows_expansion");
}

/// Every node knows a level more than is in force.
fn newer(nodes: u32) -> Seen {
    index(nodes).each(|status| status.level = 2)
}

fn raise() -> Is {
    Is::Step(Step::Raise { level: 2 })
}

#[test]
fn a_level_is_put_in_force_when_every_node_knows_it() {
    check(vec![
        ("all know it", newer(3), raise()),
        ("alone", newer(1), raise()),
        ("one does not", newer(3).node(0, |status| status.level = 1), Is::Refused("all_know_the_level")),
        ("only one does", index(3).node(0, |status| status.level = 2), Is::Refused("all_know_the_level")),
        ("one does not say", newer(3).down(0), Is::Refused("all_caught_up")),
        ("one is behind", newer(3).behind(0), Is::Refused("all_caught_up")),
        ("it is in force", newer(3).each(|status| status.level_in_force = 2), Is::Quiet),
        ("nobody leads", newer(3).led_by_nobody(), Is::Quiet),
    ]);
}

#[test]
fn a_level_that_an_administrator_is_to_raise_is_left_alone() {
    check(vec![("by hand", newer(3).with(|view| view.raises = false), Is::Quiet)]);
}

#[test]
fn no_level_is_put_in_force_while_somebody_joins_or_pods_are_old() {
    check(vec![
        ("a learner catches up", newer(3).learner(1), Is::Waits("node 1 catches up")),
        ("pods are old", newer(3).led_by(0).old(&[1]), restart(1)),
    ]);
}
