//! A node whose volume is gone is made again in the place of the one it was.

use super::*;

#[test]
fn an_empty_volume_at_the_name_of_a_member_joins_and_takes_its_place() {
    let wiped = || index(3).empty(1);
    check(vec![
        ("it joins as a learner", wiped(), add(1)),
        ("it has nothing yet", index(3).learner(1), Is::Waits("node 1 catches up")),
        ("it takes the place of the old one", index(3).learner(1).caught_up(1), promote(1, Some(id(1)))),
        ("the old one is gone", index(3).learner(1).caught_up(1).left(id(1)).each(vote), Is::Quiet),
    ]);
}

/// Every learner is a voter now.
fn vote(status: &mut NodeStatus) {
    status.members.iter_mut().for_each(|member| member.voter = true);
}

#[test]
fn nothing_takes_a_place_without_a_leader_or_beside_another_that_joins() {
    check(vec![
        ("nobody leads", index(3).empty(1).led_by_nobody(), Is::Refused("somebody_leads")),
        ("two of three volumes are empty", index(3).empty(0).empty(1), Is::Refused("somebody_leads")),
        ("the only volume is empty", index(1).empty(0), Is::Refused("somebody_leads")),
        ("two of five are empty, the first joins", index(5).empty(0).empty(1), add(0)),
        (
            "the second waits until the first has caught up",
            index(5).learner(0).empty(1),
            Is::Waits("node 0 catches up"),
        ),
        ("its pod is on its way out", index(3).empty(1).stopping(1), Is::Quiet),
    ]);
    let plan = plan(&index(5).learner(0).empty(1).view());
    assert_eq!(plan.refused[0].1.guard, "no_member_joining");
}

#[test]
fn a_volume_whose_machine_is_gone_is_given_up_while_the_others_are_a_majority() {
    check(vec![
        ("of three", index(3).lost(0), give_up(0, true)),
        ("of five, two are lost", index(5).lost(0).lost(1), give_up(0, true)),
        ("it is given up already", index(3).lost(0).claim_as(0, |claim| claim.terminating = true), Is::Quiet),
        ("it is told to wait", index(3).down(0).pod(0, unplaced), Is::Quiet),
    ]);
}

/// There is no machine for it now, and there may be one later.
fn unplaced(pod: &mut Pod) {
    pod.unplaced = Some(Unplaced { reason: "0/3 nodes are available".into(), is_lost: false });
}

#[test]
fn a_volume_is_kept_when_it_may_be_needed_for_a_majority() {
    let guard = Is::Refused("quorum_kept_without");
    check(vec![
        ("another is behind", index(3).lost(0).behind(1), guard.clone()),
        ("another is on its way out", index(3).lost(0).stopping(1), guard.clone()),
        ("two of five are behind", index(5).lost(0).behind(1).behind(2), guard),
        ("another is down, so nobody leads", index(3).lost(0).down(1), Is::Refused("somebody_leads")),
        ("nobody leads", index(3).lost(0).led_by_nobody(), Is::Refused("somebody_leads")),
        ("it is the only one", index(1).lost(0), Is::Refused("somebody_leads")),
    ]);
}

#[test]
fn a_volume_that_is_lost_is_given_up_before_pods_are_made_again() {
    check(vec![("pods are old", index(3).old(&[1, 2]).lost(0), give_up(0, true))]);
}

#[test]
fn a_node_that_lost_its_volume_twice_takes_the_place_of_the_first() {
    // The voter, and a learner that came in its place; then that volume was lost too.
    let twice = || index(3).learner(1).node(1, |status| *status = empty_node(300, 1));
    check(vec![
        ("the third one joins", twice(), add(1)),
        ("the second one leaves", twice().member(300, 1, false), remove_id(new_id(1), 1)),
        ("nobody leads: who is a member is not known", twice().led_by_nobody(), Is::Refused("somebody_leads")),
    ]);
}

#[test]
fn a_learner_that_was_removed_makes_room_for_one_that_takes_the_place() {
    // It was to take the place of node 1, and was removed: its id is refused for ever.
    let removed = || index(3).learner(1).caught_up(1).left_everywhere(new_id(1));
    check(vec![
        ("its volume is given up", removed(), give_up(1, true)),
        ("nobody leads: who is a member is not known", removed().led_by_nobody(), Is::Quiet),
        ("it goes", removed().stopping(1), Is::Quiet),
        (
            "it knows more than the leader told: it has joined just now",
            removed().node(1, |status| status.end = END + 1),
            Is::Quiet,
        ),
        ("it is of another cluster", removed().node(1, |status| status.cluster = Some("01other".into())), Is::Quiet),
    ]);
}

#[test]
fn who_has_just_begun_is_not_taken_for_a_volume_that_was_lost() {
    // The cluster began on another node, and this one has not heard of it.
    let seen = index(3).node(0, |status| {
        status.members.clear();
        (status.end, status.applied, status.term) = (0, 0, 0);
    });
    check(vec![("nothing is to be done", seen, Is::Quiet)]);
}

#[test]
fn the_volume_of_a_member_that_left_is_given_up_though_its_node_never_answers_again() {
    // It was to leave, the volume was noted, and the ordinal is wanted again before the pod was gone.
    let left = || index(4).led_by(0).left_everywhere(id(3)).down(3).claim_as(3, |claim| claim.left = Some(id(3)));
    check(vec![
        ("it is silent for ever", left(), give_up(3, true)),
        ("nobody leads: who is a member is not known", left().led_by_nobody(), Is::Waits("node 3 cannot join yet")),
        ("it is a member still", index(3).down(1).claim_as(1, |claim| claim.left = Some(id(1))), Is::Quiet),
        (
            "it was rebuilt as another member, without which there is no majority",
            index(3).down(1).claim_as(1, |claim| claim.left = Some(7)).behind(0),
            Is::Refused("quorum_kept_without"),
        ),
    ]);
}

#[test]
fn a_volume_of_the_cluster_before_it_was_restored_counts_for_nothing_and_is_not_deleted() {
    let earlier = |seen: Seen, ordinal| {
        seen.each(|status| status.epoch = Some(2)).node(ordinal, |status| {
            (status.epoch, status.term, status.end, status.applied) = (Some(1), 90, 5 * END, 5 * END);
        })
    };
    let guard = Is::Refused("volumes_are_of_this_life");
    check(vec![
        ("at the place of a member", earlier(index(3), 0), guard.clone()),
        ("at a place that is to be filled", earlier(index(4).led_by(0).left(id(3)), 3), guard),
    ]);
    let leads = earlier(index(3), 2).view();
    assert!(leads.leader().is_none(), "one of an earlier life leads nobody");
}
