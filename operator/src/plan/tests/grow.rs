//! More nodes: each is a learner first, and the next comes only after it has become a voter.

use super::*;

#[test]
fn one_node_becomes_three_one_after_the_other() {
    let pods_are_made = index(1).led_by(0).wanted(3);
    check(vec![
        ("there is no pod yet", pods_are_made.clone(), Is::Waits("the pod of node 1 is not there yet")),
        ("two pods came, the first joins", pods_are_made.clone().empty(1).empty(2), add(1)),
        ("only the second came: they join in order", pods_are_made.clone().empty(2), Is::Waits("the pod of node 1")),
        ("it has nothing yet", pods_are_made.clone().learner(1).empty(2), Is::Waits("node 1 catches up")),
        ("it has all", pods_are_made.learner(1).caught_up(1).empty(2), promote(1, None)),
        ("the next one joins", index(2).led_by(0).wanted(3).empty(2), add(2)),
        ("and catches up", index(2).led_by(0).wanted(3).learner(2), Is::Waits("node 2 catches up")),
        ("and is promoted", index(2).led_by(0).wanted(3).learner(2).caught_up(2), promote(2, None)),
        ("there are three", index(3), Is::Quiet),
    ]);
}

#[test]
fn three_nodes_become_five_one_after_the_other() {
    let more = || index(3).wanted(5);
    check(vec![
        ("the first joins", more().empty(3).empty(4), add(3)),
        ("the second waits for the first", more().learner(3).empty(4), Is::Waits("node 3 catches up")),
        ("the first is promoted", more().learner(3).caught_up(3).empty(4), promote(3, None)),
        ("the second joins", index(4).wanted(5).empty(4), add(4)),
        ("the second is promoted", index(4).wanted(5).learner(4).caught_up(4), promote(4, None)),
    ]);
    assert_eq!(index_pods(&more().view()), 5, "all pods are made at once: they come faster than members");
}

#[test]
fn nobody_joins_while_a_member_is_not_well() {
    let guard = Is::Refused("all_caught_up");
    let more = || index(3).wanted(5).empty(3).empty(4);
    check(vec![
        ("one is down", more().down(0), guard.clone()),
        ("one is behind", more().behind(1), guard.clone()),
        ("one is on its way out", more().stopping(1), guard.clone()),
        ("nobody leads", more().led_by_nobody(), Is::Refused("somebody_leads")),
    ]);
}

#[test]
fn a_node_joins_only_once_it_answers() {
    check(vec![(
        "it does not answer",
        index(3).wanted(5).empty(3).down(3).empty(4),
        Is::Waits("node 3 cannot join yet: connection refused"),
    )]);
}

#[test]
fn what_has_joined_but_not_heard_of_it_is_waited_for_and_not_added_again() {
    // The answer to the first call may have been lost: then it is no member, and is added again.
    let joined = |status: &mut NodeStatus| status.cluster = Some(OURS.into());
    check(vec![
        ("no member yet", index(3).wanted(5).empty(3).node(3, joined).empty(4), add(3)),
        ("a member that was told nothing", index(3).wanted(5).learner(3).empty(4), Is::Waits("node 3 catches up")),
    ]);
}

#[test]
fn a_learner_becomes_a_voter_only_while_it_is_well() {
    let learner = || index(1).led_by(0).wanted(3).learner(1).caught_up(1).empty(2);
    check(vec![
        ("it is well", learner(), promote(1, None)),
        ("it does not answer", learner().down(1), Is::Waits("node 1 joins, and does not answer")),
        ("its pod goes: the two would have no majority", learner().stopping(1), Is::Waits("node 1 is stopping")),
        ("it has not applied what it has", learner().behind(1), Is::Waits("node 1 is behind")),
        ("nobody leads", learner().led_by_nobody(), Is::Refused("somebody_leads")),
    ]);
}

#[test]
fn a_learner_whose_volume_was_lost_on_the_way_in_goes_and_the_next_one_comes() {
    // Another empty volume is at the name of the learner.
    let lost = || index(3).wanted(5).learner(3).node(3, |status| *status = empty_node(300, 3));
    check(vec![
        ("the new one joins", lost(), add(3)),
        ("the old one leaves", lost().member(300, 3, false), remove_id(new_id(3), 3)),
    ]);
}

#[test]
fn a_volume_of_a_member_that_left_is_given_up_before_its_ordinal_joins_again() {
    // Three, then one, then three again before the volume of node 2 was deleted: its id is refused for ever.
    let again = || index(3).led_by(0).left(id(2)).node(2, |status| status.leader = None);
    check(vec![
        ("it still runs", again(), give_up(2, true)),
        ("nobody leads: who is a member is not known", again().led_by_nobody(), Is::Quiet),
        (
            "the operator ended before it deleted the pod",
            again().claim_as(2, |claim| claim.terminating = true),
            give_up(2, true),
        ),
        (
            "its pod goes",
            again().stopping(2),
            Is::Waits("node 2 cannot join yet: its volume is that of a member that left"),
        ),
    ]);
    // The pods had gone already: they do not come back before the volume is no more.
    let gone = || index(3).led_by(0).left(id(2)).absent(2).with(|view| view.replicas = 2);
    assert_eq!(index_pods(&gone().view()), 2);
    check(vec![("its pod is gone", gone(), give_up(2, false))]);
    let not_noted = gone().with(|view| view.begun = false);
    assert_eq!(index_pods(&not_noted.view()), 2, "it has begun, whether that is noted or not");
    let deleted = gone().with(|view| view.claims.retain(|claim| claim.ordinal != 2));
    assert_eq!(index_pods(&deleted.view()), 3);
}

#[test]
fn the_volume_of_another_cluster_is_refused_and_does_not_hold_everything_back() {
    let other = || index(3).wanted(5).empty(3).node(3, |status| status.cluster = Some("01other".into())).empty(4);
    check(vec![
        ("it is another's", other(), Is::Refused("volumes_are_ours")),
        ("volumes grow", other().with(|view| view.size = 20 * GIB), Is::Step(Step::Expand { ordinal: 0 })),
    ]);
}
