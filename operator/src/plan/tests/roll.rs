//! Pods are made again one after the other, and only when it does no harm.

use super::super::guards::{no_member_joining, quorum_kept_without};
use super::*;

#[test]
fn followers_are_restarted_first_and_the_leader_hands_over_and_comes_last() {
    check(vec![
        ("all are old", index(3).led_by(0).old(&[0, 1, 2]), restart(1)),
        ("one is new", index(3).led_by(0).old(&[0, 2]), restart(2)),
        ("the leader is left", index(3).led_by(0).old(&[0]), transfer(0)),
        ("it has handed over", index(3).led_by(1).old(&[0]), restart(0)),
        ("all are new", index(3).led_by(0), Is::Quiet),
    ]);
}

#[test]
fn an_index_of_one_is_restarted_though_it_leads() {
    check(vec![("it is alone", index(1).old(&[0]), restart(0))]);
}

#[test]
fn one_pod_at_a_time_is_made_again() {
    let guard = Is::Refused("one_pod_at_a_time");
    let old = || index(3).led_by(0).old(&[0, 2]);
    check(vec![
        ("the one before is on its way out", old().stopping(1), guard.clone()),
        ("the one before is gone", old().absent(1), guard.clone()),
        ("the one before does not answer yet", old().down(1), guard.clone()),
        ("the one before is not ready yet", old().unready(1), guard),
        ("it goes itself", old().stopping(2), Is::Waits("the pod of node 2 is made again")),
    ]);
}

#[test]
fn no_pod_is_made_again_while_the_index_is_not_well() {
    let old = || index(3).led_by(0).old(&[0, 1, 2]);
    check(vec![
        ("nobody leads", old().led_by_nobody(), Is::Refused("somebody_leads")),
        ("another is behind", old().behind(2), Is::Refused("all_caught_up")),
        ("another says nothing", old().pod(2, silent), Is::Refused("one_pod_at_a_time")),
    ]);
    // While somebody joins, the others are needed: `joining` acts first, and the guard stands behind it.
    let joining = index(3).learner(1).caught_up(1).view();
    assert_eq!(no_member_joining(&joining, None).unwrap_err().guard, "no_member_joining");
    assert!(no_member_joining(&joining, Some(1)).is_ok() && no_member_joining(&index(3).view(), None).is_ok());
}

/// The pod is ready, and the operator cannot reach it.
fn silent(pod: &mut Pod) {
    pod.said = Said::Nothing("timeout".into());
}

#[test]
fn a_pod_that_is_not_ready_is_made_again_before_those_that_are() {
    check(vec![("the last one is not ready", index(3).led_by(0).old(&[0, 1, 2]).unready(2), restart(2))]);
}

#[test]
fn a_broken_pod_of_an_old_template_is_made_again_first_and_without_a_quorum() {
    check(vec![
        ("with a quorum", index(3).led_by(0).old(&[1, 2]).down(2), restart_broken(2)),
        ("without one", index(3).old(&[0, 1]).down(0).down(1), restart_broken(0)),
        ("before the cluster has begun", fresh(3).old(&[1]).down(1), restart_broken(1)),
        ("and all at once then", fresh(3).down(0).old(&[1, 2]).down(1).down(2), restart_broken(1)),
        ("before a volume is given up", index(3).led_by(0).lost(1).old(&[2]).down(2), restart_broken(2)),
        (
            "it is on its way already",
            index(3).led_by(0).old(&[2]).down(2).stopping(2),
            Is::Waits("node 2 is made again"),
        ),
        ("it is of the new template: what would change?", index(3).led_by(0).down(2), Is::Quiet),
        ("it is ready, and only the operator does not reach it", index(3).old(&[0]).pod(0, silent), restart(0)),
    ]);
}

#[test]
fn a_mistake_does_not_take_a_pod_that_is_down_for_a_moment() {
    // Node 1 was made of the mistake; node 2 comes back by itself from what it was made from before.
    let guard = Is::Refused("new_pods_answer");
    let mistake = || index(3).led_by(0).old(&[0, 2]).down(1).down(2);
    check(vec![
        ("nobody leads", mistake(), guard.clone()),
        ("of five, somebody leads", index(5).led_by(0).old(&[0, 2, 3, 4]).down(1).down(2), guard.clone()),
        ("its pod is only starting", mistake().pod(1, |pod| pod.terminating = true), guard),
        // What is new works, and needs the other for a majority to be ready.
        ("the new one answers", mistake().node_again(1).led_by_nobody(), restart_broken(2)),
    ]);
}

#[test]
fn a_mistake_stops_at_the_first_pod_and_its_fix_rolls_out() {
    // The first pod of the mistake never becomes ready.
    let mistake = index(3).led_by(0).old(&[0, 2]).unready(1);
    check(vec![("the mistake", mistake, Is::Refused("one_pod_at_a_time"))]);
    // Then the template changes again: all are old, and the broken one comes first.
    let fix = || index(3).led_by(0).old(&[0, 1, 2]);
    check(vec![
        ("it does not run", fix().down(1), restart_broken(1)),
        ("it runs and is not ready", fix().unready(1), restart(1)),
        // All are unready for a reason that the new template mends.
        ("all are unready, and well", fix().unready(0).unready(1).unready(2), restart(1)),
        ("one is mended", index(3).led_by(0).old(&[0, 2]).unready(0).unready(2), restart(2)),
    ]);
}

#[test]
fn a_roll_never_makes_two_voters_of_five_wait_for_it() {
    check(vec![
        (
            "one is lost otherwise",
            index(5).led_by(0).old(&[0, 1, 2, 3, 4]).pod(4, silent),
            Is::Refused("one_pod_at_a_time"),
        ),
        ("one is behind", index(5).led_by(0).old(&[1]).behind(4), Is::Refused("all_caught_up")),
    ]);
}

#[test]
fn what_joins_is_a_voter_before_pods_are_made_again() {
    check(vec![
        ("it catches up", index(3).learner(1).old(&[0, 2]), Is::Waits("node 1 catches up")),
        ("it has caught up", index(3).learner(1).caught_up(1).old(&[0, 2]), promote(1, Some(id(1)))),
    ]);
}

#[test]
fn pods_of_an_index_that_has_not_begun_are_made_again_freely() {
    // Two clusters: nothing goes on but what may mend it.
    let other = |status: &mut NodeStatus| status.cluster = Some("01other".into());
    let seen = fresh(3).with(|view| view.cluster = Some(OURS.into())).node(0, other).old(&[0, 1, 2]);
    check(vec![("none has begun", seen, restart(0))]);
}

#[test]
fn surplus_pods_that_are_no_members_are_not_waited_for_by_the_majority() {
    let view = index(3).empty(3).view();
    assert!(quorum_kept_without(&view, 3).is_ok(), "it is no member");
    assert!(quorum_kept_without(&view, 0).is_ok(), "two of three stay");
    assert_eq!(quorum_kept_without(&index(3).behind(1).view(), 0).unwrap_err().guard, "quorum_kept_without");
    assert!(quorum_kept_without(&index(3).behind(1).view(), 1).is_ok(), "the one that is not well");
    assert!(quorum_kept_without(&index(5).behind(1).view(), 0).is_ok(), "three of five stay");
    assert!(quorum_kept_without(&index(2).led_by(0).view(), 1).is_err(), "two need both");
    assert!(quorum_kept_without(&index(1).view(), 0).is_ok(), "one that is alone cannot but stop for a moment");
}

#[test]
fn nodes_that_answer_and_come_to_no_leader_are_made_from_what_mends_them() {
    let old = || index(3).old(&[0, 1, 2]).led_by_nobody().unready(0).unready(1).unready(2);
    let stuck = || old().with(|view| view.stuck = true);
    let news = |seen: Seen| seen.pod(0, |pod| pod.template = Some("new".into()));
    check(vec![
        ("an election goes on", old(), Is::Refused("somebody_leads")),
        ("nobody leads for long", stuck(), restart_broken(0)),
        ("the first was made anew, and answers", news(stuck()), restart_broken(1)),
        ("the first was made anew, and does not answer", news(stuck()).down(0), Is::Refused("new_pods_answer")),
    ]);
}
