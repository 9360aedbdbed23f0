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
    let with = |can: Option<bool>| larger(3).claims_can_expand(can);
    check(vec![
        ("it does not", with(Some(false)), Is::Refused("class_allows_expansion")),
        ("it is not known", with(None), Is::Refused("class_allows_expansion")),
    ]);
    let why = |can| plan(&with(can).view()).refused[0].1.why.clone();
    assert_ne!(why(Some(false)), why(None));
}

#[test]
fn a_size_that_could_not_be_had_is_taken_back() {
    let large = |seen: Seen| seen.claim_as(0, is_large).claim_as(1, is_large).claim_as(2, is_large);
    let refused = Is::Refused("volumes_never_shrink");
    check(vec![
        ("none was made larger", index(3), Is::Quiet),
        ("one was, before it was found out", index(3).claim_as(0, is_large), Is::Quiet),
        ("all were, and the set says so", large(index(3).with(|view| view.set_size = 20 * GIB)), refused),
        (
            "those that are large go",
            large(index(1).claim(1).claim(2).with(|view| view.set_size = 20 * GIB))
                .with(|view| view.claims.iter_mut().for_each(|claim| claim.terminating = true)),
            Is::Step(Step::RecreateSet),
        ),
    ]);
}

/// Claims ask for a class that there is not, and have no volumes.
fn misspelt(claim: &mut Claim) {
    (claim.is_unmade, claim.class, claim.class_is_missing) = (true, Some("fsat".into()), true);
    claim.version = "7".into();
}

#[test]
fn a_claim_without_a_volume_is_made_anew_when_another_class_is_wanted() {
    let seen = || fresh(1).down(0).claim_as(0, misspelt).with(|view| view.set_class = Some("fsat".into()));
    let wants = |seen: Seen, class: Option<&str>, set: Option<&str>| {
        seen.with(|view| (view.class, view.set_class) = (class.map(str::to_owned), set.map(str::to_owned)))
    };
    let remade = |class: Option<&str>| {
        let (uid, pod) = (claim_uid(0), seen().view.pod(0).map(|pod| pod.uid.clone()));
        Is::Step(Step::RemakeClaim { ordinal: 0, uid, version: "7".into(), pod, class: class.map(str::to_owned) })
    };
    let made = |claim: &mut Claim| claim.is_unmade = false;
    check(vec![
        ("it is corrected", wants(seen(), Some("fast"), Some("fsat")), Is::Step(Step::RecreateSet)),
        ("and the set says so", wants(seen(), Some("fast"), Some("fast")), remade(Some("fast"))),
        ("the set is away", wants(seen(), Some("fast"), None).with(|view| view.set_size = 0), remade(Some("fast"))),
        ("the default is wanted", wants(seen(), None, None), remade(None)),
        ("the default, and the set does not say so", wants(seen(), None, Some("fsat")), Is::Step(Step::RecreateSet)),
        (
            "it is on its way",
            wants(seen(), Some("fast"), Some("fast")).claim_as(0, |claim| claim.terminating = true),
            Is::Waits("node 0"),
        ),
        ("it has one by now", wants(seen(), Some("fast"), Some("fast")).claim_as(0, made), Is::Waits("node 0")),
        ("it is as wanted", wants(seen(), Some("fsat"), Some("fsat")), Is::Waits("node 0")),
    ]);
}

#[test]
fn volumes_that_exist_keep_their_class_and_those_to_come_do_not() {
    let wants =
        |set: &str| index(3).with(|view| (view.class, view.set_class) = (Some("fast".into()), Some(set.to_owned())));
    check(vec![
        ("the set comes first", wants("standard"), Is::Step(Step::RecreateSet)),
        ("and then it is told", wants("fast"), Is::Refused("volumes_keep_their_class")),
        ("the default is any", index(3), Is::Quiet),
    ]);
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
    let only = || View { size: 20 * GIB, set_size: 10 * GIB, ..index(1).view() };
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
    let refused = alone(&|view| view.claims[0].can_expand = Some(false)).refused;
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
