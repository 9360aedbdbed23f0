//! Fewer nodes: a member leaves before its pod goes, and its volume goes last.

use super::*;

#[test]
fn five_nodes_become_three_and_one_the_highest_first() {
    check(vec![
        ("the fifth leaves", index(5).led_by(0).wanted(3), remove(4)),
        ("the fourth leaves", index(4).led_by(0).wanted(3), remove(3)),
        ("it is enough", index(3).led_by(0), Is::Quiet),
        ("the third leaves", index(3).led_by(0).wanted(1), remove(2)),
        ("the second leaves", index(2).led_by(0).wanted(1), remove(1)),
        ("one is left", index(1), Is::Quiet),
    ]);
}

#[test]
fn a_leader_that_is_to_leave_hands_the_lead_over_first() {
    check(vec![
        ("it is the highest", index(5).led_by(4).wanted(3), transfer(4)),
        ("it will be its turn later", index(5).led_by(3).wanted(3), remove(4)),
        ("of two", index(2).led_by(1).wanted(1), transfer(1)),
    ]);
}

#[test]
fn no_pod_goes_before_its_member_has_left() {
    assert_eq!(index_pods(&index(5).led_by(0).wanted(3).view()), 5);
    assert_eq!(index_pods(&index(5).led_by(0).wanted(3).left(id(4)).view()), 4);
    assert_eq!(index_pods(&index(5).led_by(0).wanted(3).left(id(4)).left(id(3)).view()), 3);
    // Who is a member cannot be asked.
    let silent = (0..5).fold(index(5).wanted(1), Seen::down);
    assert_eq!(index_pods(&silent.view()), 5);
    assert_eq!(index_pods(&index(5).wanted(1).led_by_nobody().view()), 5);
    // A learner is a member too.
    assert_eq!(index_pods(&index(3).learner(3).view()), 4);
}

#[test]
fn no_pod_goes_while_the_set_is_made_anew() {
    // It would be made with fewer pods, and take the others away.
    let without_set = |seen: Seen| seen.wanted(1).with(|view| view.replicas = 0);
    assert_eq!(index_pods(&without_set(index(5)).view()), 5);
    assert_eq!(index_pods(&without_set(index(5).led_by_nobody()).view()), 5);
    assert_eq!(index_pods(&without_set((0..5).fold(index(5), Seen::down)).view()), 5, "nobody answers just now");
    // And none comes back whose member has left.
    let left = index(5).led_by(0).left(id(4)).absent(4).with(|view| view.replicas = 0);
    assert_eq!(index_pods(&left.view()), 4);
}

#[test]
fn nobody_leaves_when_those_that_stay_would_be_no_majority() {
    check(vec![
        ("the one that stays at last is down", index(3).led_by(2).wanted(1).down(0), Is::Refused("quorum_stays")),
        ("the one that stays at last is behind", index(3).led_by(2).wanted(1).behind(0), Is::Refused("quorum_stays")),
        ("nobody leads", index(3).led_by_nobody().wanted(1), Is::Refused("somebody_leads")),
        (
            "a majority stays, and one of them is not well",
            index(5).led_by(0).wanted(3).down(1),
            Is::Refused("all_wanted_caught_up"),
        ),
        ("the one that leaves need not be well", index(5).led_by(0).wanted(3).down(4), remove(4)),
    ]);
}

#[test]
fn members_that_are_not_well_do_not_keep_others_from_leaving() {
    check(vec![
        (
            "the lower one is down: without the higher one there would be no majority",
            index(3).led_by(0).wanted(1).down(1),
            remove(1),
        ),
        ("the lower one is behind", index(3).led_by(0).wanted(1).behind(1), remove(1)),
        ("two of five are down, the higher one leaves", index(5).led_by(0).wanted(1).down(3).down(4), remove(4)),
        (
            "a lower one is down, and a majority stays without the higher one",
            index(5).led_by(0).wanted(1).down(3),
            remove(4),
        ),
        ("its volume is empty: it need not come back first", index(5).led_by(0).wanted(3).empty(4), remove(4)),
        ("its machine is lost", index(5).led_by(0).wanted(3).lost(4), remove(4)),
        ("it was coming back", index(5).led_by(0).wanted(3).learner(4), remove_id(new_id(4), 4)),
    ]);
}

#[test]
fn a_learner_that_is_dead_and_not_wanted_keeps_nobody_from_coming_back() {
    // Nobody takes a place while it joins, and nobody leaves while a place is not taken.
    let seen = || index(3).learner(3).down(3).wanted(1);
    check(vec![
        ("the volume of another is empty", seen().empty(0), remove_id(new_id(3), 3)),
        ("then that one comes back", index(3).wanted(1).empty(0), add(0)),
        ("another is down", seen().down(0), remove_id(new_id(3), 3)),
        ("a higher voter is down", index(5).learner(3).down(3).down(4).wanted(3).led_by(0), remove_id(new_id(3), 3)),
    ]);
}

#[test]
fn a_volume_is_deleted_after_its_member_left_and_its_pod_is_gone() {
    let left = || index(5).led_by(0).wanted(3).left(id(4)).left(id(3));
    check(vec![
        ("the pods still run", left(), Is::Waits("the pod of node 3 goes")),
        ("a pod stops", left().stopping(3).stopping(4), Is::Waits("the pod of node 3 goes")),
        ("the pods are gone", left().absent(3).absent(4), give_up(3, false)),
        (
            "one volume goes, the other is next",
            left().absent(3).absent(4).claim_as(3, |claim| claim.terminating = true),
            give_up(4, false),
        ),
        ("nobody leads: who is a member is not known", left().absent(3).absent(4).led_by_nobody(), Is::Quiet),
        (
            "nobody leads, and the pods are counted less already",
            left().absent(3).absent(4).led_by_nobody().with(|view| view.replicas = 3),
            Is::Waits("nobody leads"),
        ),
    ]);
}

#[test]
fn no_volume_of_a_member_is_ever_surplus() {
    for wanted in [1, 3] {
        let plan = plan(&index(5).led_by(0).wanted(wanted).absent(4).view());
        assert!(!matches!(plan.step, Some(Step::DeleteClaim { .. })), "{plan:?}");
    }
}

#[test]
fn a_learner_that_is_not_wanted_any_more_leaves() {
    check(vec![
        ("it has not caught up", index(3).learner(3), remove_id(new_id(3), 3)),
        ("it does not answer", index(3).learner(3).down(3), remove_id(new_id(3), 3)),
        ("it has caught up", index(3).learner(3).caught_up(3), remove_id(new_id(3), 3)),
    ]);
}

#[test]
fn a_scale_in_that_was_taken_back_stops() {
    // Node 4 has left and is on its way out; node 3 is a member still.
    let seen = index(5).led_by(0).wanted(5).left(id(4)).absent(4).with(|view| view.replicas = 4);
    check(vec![("five again", seen, give_up(4, false))]);
    check(vec![("nothing was done yet", index(5).led_by(0), Is::Quiet)]);
}
