//! How a cluster begins, and that it does so once.

use super::*;

/// Every node of a volume is of this cluster, and has not begun unless said otherwise.
fn of_cluster(seen: Seen, ordinal: u32, cluster: &str) -> Seen {
    seen.node(ordinal, |status| status.cluster = Some(cluster.into()))
}

fn name(adopted: Option<&str>) -> Is {
    Is::Step(Step::Name { adopted: adopted.map(str::to_owned), begun: false, restored: false })
}

/// The cluster of the volumes goes on.
fn go_on(cluster: &str) -> Is {
    Is::Step(Step::Name { adopted: Some(cluster.into()), begun: true, restored: false })
}

fn begin(nodes: u32) -> Is {
    Is::Step(Step::Begin { ordinals: (0..nodes).collect() })
}

/// The cluster is named, and nothing more.
fn named(nodes: u32) -> Seen {
    fresh(nodes).with(|view| view.cluster = Some(OURS.into()))
}

#[test]
fn a_cluster_is_named_when_every_node_has_said_what_its_volume_holds() {
    check(vec![
        ("all are empty", fresh(3), name(None)),
        ("alone", fresh(1), name(None)),
        ("no pod yet", fresh(3).absent(0).absent(1).absent(2), Is::Waits("node 0 does not answer yet")),
        ("one is not there", fresh(3).absent(1), Is::Waits("node 1 does not answer yet")),
        ("one does not answer", fresh(3).down(2), Is::Waits("node 2 does not answer yet")),
    ]);
}

#[test]
fn the_cluster_that_volumes_have_is_adopted() {
    check(vec![
        ("all have it", (0..3).fold(fresh(3), |seen, ordinal| of_cluster(seen, ordinal, "01old")), name(Some("01old"))),
        ("one has it, two volumes are new", of_cluster(fresh(3), 2, "01old"), name(Some("01old"))),
    ]);
}

#[test]
fn a_cluster_on_volumes_beyond_what_is_wanted_is_found_too() {
    // Otherwise another one would begin, and these volumes would be deleted as surplus.
    let fewer = || fresh(3).wanted(1);
    check(vec![
        ("the last volume has it", of_cluster(fewer(), 2, "01old"), name(Some("01old"))),
        ("the last one does not answer", fewer().down(2), Is::Waits("node 2 does not answer yet")),
        (
            "one that is wanted has it, and it may have begun on another",
            of_cluster(fewer(), 0, "01old").down(2),
            Is::Waits("node 2"),
        ),
        ("there is no pod for it yet", fewer().absent(2), Is::Waits("node 2 does not answer yet")),
        ("it goes", fewer().absent(2).claim_as(2, |claim| claim.terminating = true), name(None)),
        ("there are no such volumes", fewer().down(2).with(|view| view.claims.truncate(1)), name(None)),
    ]);
    assert_eq!(index_pods(&fewer().absent(1).absent(2).view()), 3, "there are pods that can be asked");
    let adopted = of_cluster(fewer(), 2, OURS).with(|view| view.cluster = Some(OURS.into()));
    assert_eq!(index_pods(&adopted.view()), 3, "who is a member is not known before somebody leads");
    let strange = |view: &mut View| view.claims[2].ordinal = 7;
    assert_eq!(index_pods(&fewer().with(strange).view()), 2, "no node has that address");
}

#[test]
fn what_is_to_begin_from_a_backup_never_begins_empty_beside_older_volumes() {
    let older = |seen: Seen| seen.with(|view| view.skips_backup = true);
    check(vec![
        ("nothing is on them", older(fresh(3)), Is::Refused("backup_is_not_skipped")),
        ("one of them has it", older(of_cluster(fresh(3), 2, "01old")), name(Some("01old"))),
        ("nobody knows yet what is on one", older(fresh(3).down(1)), Is::Waits("node 1 does not answer yet")),
    ]);
}

#[test]
fn volumes_of_two_clusters_are_refused() {
    let guard = Is::Refused("volumes_are_ours");
    check(vec![
        ("before it is named", of_cluster(of_cluster(fresh(3), 0, "01one"), 2, "01two"), guard.clone()),
        ("after it was named", of_cluster(named(3), 1, "01other"), guard),
    ]);
    let plan = plan(&of_cluster(named(3), 1, "01other").view());
    let why = plan.refused[0].1.to_string();
    assert!(why.contains("node 1 belongs to cluster 01other"), "{why}");
}

#[test]
fn a_cluster_begins_when_all_its_nodes_answer_and_then_only() {
    check(vec![
        ("all answer", named(3), begin(3)),
        ("alone", named(1), begin(1)),
        ("some have joined already", of_cluster(named(3), 1, OURS), begin(3)),
        ("one does not answer", named(3).down(1), Is::Waits("node 1 does not answer yet: connection refused")),
        ("one is not there", named(3).absent(2), Is::Waits("the pod of node 2 is not there yet")),
        (
            "it may have begun on a volume beyond what is wanted",
            named(3).wanted(1).down(1),
            Is::Waits("node 1 does not"),
        ),
        ("that volume was never there", named(3).wanted(1).down(1).claim_as(1, |claim| claim.has = 0), begin(1)),
        ("those beyond what is wanted are empty", named(3).wanted(1), begin(1)),
        ("its machine is gone before it began", named(3).lost(1), give_up(1, true)),
    ]);
}

#[test]
fn a_pod_without_a_machine_is_told_before_that_it_is_silent() {
    let seen = named(3).down(1).pod(1, |pod| {
        pod.unplaced = Some(Unplaced { reason: "0/3 nodes are available".into(), is_lost: false });
    });
    check(vec![("unplaced", seen, Is::Waits("0/3 nodes are available"))]);
}

#[test]
fn that_a_cluster_has_begun_is_noted_also_when_the_answer_was_lost() {
    let begun = || index(3).with(|view| view.begun = false);
    check(vec![
        ("it runs", begun(), Is::Step(Step::NoteBegun)),
        ("it runs, and a node is away", begun().down(0), Is::Step(Step::NoteBegun)),
        ("it runs, and another number is wanted by now", begun().wanted(1), Is::Step(Step::NoteBegun)),
        ("nobody leads yet", begun().led_by_nobody(), Is::Waits("node 0 has begun, and nobody leads yet")),
        (
            "one has begun, and the others have not heard of it",
            begun().led_by_nobody().empty(1).empty(2),
            Is::Waits("node 0 has begun"),
        ),
        ("it has begun, and its first entry is not written", begun().each(|status| status.epoch = None), found(3)),
        (
            "the same, and another number is wanted by now",
            begun().each(|status| status.epoch = None).wanted(1),
            found(3),
        ),
    ]);
}

fn found(nodes: u32) -> Is {
    let members = (0..nodes).map(|ordinal| (id(ordinal), address(ordinal))).collect();
    Is::Step(Step::Found { leader: address(nodes - 1), members })
}

/// A Registry that was made again over volumes whose cluster has begun.
fn made_again(nodes: u32) -> Seen {
    index(nodes).led_by_nobody().with(|view| (view.cluster, view.begun) = (None, false))
}

#[test]
fn a_cluster_that_has_begun_goes_on_and_never_begins_on_volumes_that_are_empty() {
    check(vec![
        ("all volumes are there", made_again(3), go_on(OURS)),
        ("one is empty", made_again(3).empty(0), go_on(OURS)),
        ("one is empty, and only that one is wanted", made_again(3).empty(0).wanted(1), go_on(OURS)),
        ("of five, three are empty and wanted", made_again(5).empty(0).empty(1).empty(2).wanted(3), go_on(OURS)),
        ("one beyond what is wanted is silent", made_again(3).wanted(1).down(2), go_on(OURS)),
        (
            "one that is wanted is silent: it may be of another cluster",
            made_again(3).down(1),
            Is::Waits("node 1 does not"),
        ),
        ("its machine is gone", made_again(3).lost(1), go_on(OURS)),
    ]);
    // And before anybody leads, nothing is done to what is there.
    let named = |seen: Seen| seen.with(|view| (view.cluster, view.begun) = (Some(OURS.into()), true));
    check(vec![
        ("the empty one is wanted", named(made_again(3).empty(0).wanted(1)), Is::Refused("somebody_leads")),
        (
            "a majority is gone",
            named(made_again(5).empty(0).empty(1).empty(2).wanted(3)),
            Is::Refused("somebody_leads"),
        ),
    ]);
}

#[test]
fn a_cluster_that_has_begun_never_begins_again() {
    let wiped = (0..3).fold(index(3), Seen::empty);
    let plan = plan(&wiped.view());
    assert!(!matches!(plan.step, Some(Step::Begin { .. } | Step::Name { .. })), "{plan:?}");
    check(vec![("all volumes are empty", wiped, Is::Refused("somebody_leads"))]);
}

#[test]
fn a_registry_that_took_over_volumes_has_pods_for_all_members_of_their_cluster() {
    // Five volumes, of which the new Registry wants three.
    let seen = index(5).wanted(3).with(|view| view.begun = false);
    assert_eq!(index_pods(&seen.view()), 5);
}
