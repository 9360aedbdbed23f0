//! The plan as tables: what is seen, and what is done, refused or waited for then. A file a step; [`simulation`] lets the
//! plan work on a model until nothing is left to do.

#![allow(clippy::unwrap_used, reason = "a test")]

mod bootstrap;
mod grow;
mod model;
mod replace;
mod roll;
mod shrink;
mod simulation;
mod volumes;

use roadstead::index::peers::wire::{Member, NodeStatus};

use super::view::Unplaced;
use super::*;
use crate::names::{MOST_NODES, Names};

const OURS: &str = "01ours";
const END: u64 = 1000;
const GIB: u64 = 1 << 30;

fn addresses() -> Vec<String> {
    Names { name: "r".into(), namespace: "ns".into() }.all_nodes()
}

fn address(ordinal: u32) -> String {
    addresses()[ordinal as usize].clone()
}

/// The id that the node of an ordinal has at first.
fn id(ordinal: u32) -> u64 {
    100 + u64::from(ordinal)
}

/// The id of the node that an empty volume of an ordinal gets.
fn new_id(ordinal: u32) -> u64 {
    200 + u64::from(ordinal)
}

fn uid(ordinal: u32) -> String {
    format!("pod-{ordinal}")
}

fn claim_uid(ordinal: u32) -> String {
    format!("claim-{ordinal}")
}

/// A node that belongs to nothing.
pub(crate) fn empty_node(id: u64, ordinal: u32) -> NodeStatus {
    NodeStatus {
        id,
        name: address(ordinal),
        cluster: None,
        epoch: None,
        leader: None,
        term: 0,
        end: 0,
        applied: 0,
        members: Vec::new(),
        level: 1,
        level_in_force: 1,
        wall: 0,
        version: "1".into(),
        sums: Vec::new(),
        acknowledged: None,
        seen: Vec::new(),
        time_paused: false,
        has_space: true,
        matched: Vec::new(),
    }
}

/// An index as a test writes it down: what is not said is well.
#[derive(Clone)]
struct Seen {
    view: View,
    leader: Option<u64>,
    /// Members that the leader knows to have nothing yet.
    beginners: Vec<u64>,
}

/// So many voters that are well; the last of them leads.
fn index(nodes: u32) -> Seen {
    let mut seen = Seen {
        view: View {
            wanted: nodes,
            cluster: Some(OURS.into()),
            begun: true,
            template: "new".into(),
            replicas: nodes,
            size: 10 * GIB,
            set_size: 10 * GIB,
            raises: true,
            addresses: addresses(),
            ..View::default()
        },
        leader: Some(id(nodes - 1)),
        beginners: Vec::new(),
    };
    for ordinal in 0..nodes {
        seen = seen.pod_with(ordinal, empty_node(id(ordinal), ordinal)).claim(ordinal);
    }
    let members = (0..nodes).map(|ordinal| Member { id: id(ordinal), name: address(ordinal), voter: true });
    let members: Vec<_> = members.collect();
    seen.each(|status| {
        status.cluster = Some(OURS.into());
        status.epoch = Some(1);
        status.members.clone_from(&members);
        (status.end, status.applied, status.term) = (END, END, 3);
    })
}

/// Pods of a Registry that was just made.
fn fresh(nodes: u32) -> Seen {
    let mut seen =
        index(nodes).each(|status| *status = NodeStatus { name: status.name.clone(), ..empty_node(status.id, 0) });
    (seen.view.cluster, seen.view.begun, seen.leader) = (None, false, None);
    seen
}

impl Seen {
    fn with(mut self, change: impl FnOnce(&mut View)) -> Self {
        change(&mut self.view);
        self
    }

    fn each(mut self, change: impl Fn(&mut NodeStatus)) -> Self {
        for pod in &mut self.view.pods {
            if let Said::Status(status) = &mut pod.said {
                change(status);
            }
        }
        self
    }

    fn pod(self, ordinal: u32, change: impl FnOnce(&mut Pod)) -> Self {
        self.with(|view| change(view.pods.iter_mut().find(|pod| pod.ordinal == ordinal).unwrap()))
    }

    fn node(self, ordinal: u32, change: impl FnOnce(&mut NodeStatus)) -> Self {
        self.pod(ordinal, |pod| match &mut pod.said {
            Said::Status(status) => change(status),
            Said::Nothing(why) => panic!("node {ordinal} says nothing: {why}"),
        })
    }

    fn pod_with(self, ordinal: u32, status: NodeStatus) -> Self {
        self.with(|view| {
            view.pods.push(Pod {
                ordinal,
                uid: uid(ordinal),
                ready: true,
                template: Some("new".into()),
                said: Said::Status(Box::new(status)),
                ..Pod::default()
            });
            view.pods.sort_by_key(|pod| pod.ordinal);
            view.replicas = view.replicas.max(ordinal + 1);
        })
    }

    fn claim(self, ordinal: u32) -> Self {
        let size = 10 * GIB;
        self.with(|view| {
            let uid = claim_uid(ordinal);
            let class = Some("standard".to_owned());
            let claim =
                Claim { ordinal, uid, asked: size, has: size, class, can_expand: Some(true), ..Claim::default() };
            view.claims.push(claim);
            view.claims.sort_by_key(|claim| claim.ordinal);
        })
    }

    fn claims_can_expand(self, can: Option<bool>) -> Self {
        self.with(|view| view.claims.iter_mut().for_each(|claim| claim.can_expand = can))
    }

    fn claim_as(self, ordinal: u32, change: impl FnOnce(&mut Claim)) -> Self {
        self.with(|view| change(view.claims.iter_mut().find(|claim| claim.ordinal == ordinal).unwrap()))
    }

    fn wanted(self, nodes: u32) -> Self {
        self.with(|view| view.wanted = nodes)
    }

    fn led_by(mut self, ordinal: u32) -> Self {
        self.leader = Some(id(ordinal));
        self
    }

    fn led_by_nobody(mut self) -> Self {
        self.leader = None;
        self
    }

    /// The node does not answer, and its pod is not ready.
    fn down(self, ordinal: u32) -> Self {
        self.pod(ordinal, |pod| {
            pod.said = Said::Nothing("connection refused".into());
            pod.ready = false;
        })
    }

    /// The node answers again, and its pod is not ready.
    fn node_again(self, ordinal: u32) -> Self {
        let status = self.view.pods.iter().find_map(Pod::status).unwrap().clone();
        self.pod(ordinal, |pod| {
            pod.said = Said::Status(Box::new(NodeStatus { id: id(ordinal), name: address(ordinal), ..status }));
        })
    }

    fn unready(self, ordinal: u32) -> Self {
        self.pod(ordinal, |pod| pod.ready = false)
    }

    fn stopping(self, ordinal: u32) -> Self {
        self.pod(ordinal, |pod| pod.terminating = true)
    }

    fn behind(self, ordinal: u32) -> Self {
        self.node(ordinal, |status| status.applied = END / 2)
    }

    fn old(self, ordinals: &[u32]) -> Self {
        ordinals.iter().fold(self, |seen, ordinal| seen.pod(*ordinal, |pod| pod.template = Some("old".into())))
    }

    /// There is no such pod.
    fn absent(self, ordinal: u32) -> Self {
        self.with(|view| view.pods.retain(|pod| pod.ordinal != ordinal))
    }

    /// The volume of a pod is empty, so its node has a new id. A pod that was not there is there now.
    fn empty(self, ordinal: u32) -> Self {
        let is_new = self.view.pod(ordinal).is_none();
        let seen = if is_new { self.pod_with(ordinal, empty_node(0, ordinal)).claim(ordinal) } else { self };
        seen.pod(ordinal, |pod| pod.said = Said::Status(Box::new(empty_node(new_id(ordinal), ordinal))))
    }

    /// The machine of the pod's volume is no more.
    fn lost(self, ordinal: u32) -> Self {
        self.down(ordinal).pod(ordinal, |pod| {
            pod.unplaced = Some(Unplaced { reason: "the machine m of its volume is no more".into(), is_lost: true });
        })
    }

    /// The node of this id becomes a member, as all say that are members.
    fn member(self, id: u64, ordinal: u32, voter: bool) -> Self {
        self.each(|status| {
            if !status.members.is_empty() {
                status.members.push(Member { id, name: address(ordinal), voter });
            }
        })
    }

    /// The node of this id is a member no more, as all say that still are.
    fn left(self, gone: u64) -> Self {
        self.each(|status| {
            if status.id != gone {
                status.members.retain(|member| member.id != gone);
            }
        })
    }

    /// And itself has heard of it.
    fn left_everywhere(self, gone: u64) -> Self {
        self.each(|status| status.members.retain(|member| member.id != gone))
    }

    /// The node on the empty volume of a pod becomes a learner that has nothing yet.
    fn learner(mut self, ordinal: u32) -> Self {
        let learner = new_id(ordinal);
        self.beginners.push(learner);
        let seen = self.empty(ordinal).member(learner, ordinal, false);
        seen.node(ordinal, |status| status.cluster = Some(OURS.into()))
    }

    /// That learner has all that the leader has, and follows it.
    fn caught_up(mut self, ordinal: u32) -> Self {
        self.beginners.retain(|learner| *learner != new_id(ordinal));
        let members = self.view.pods.iter().filter_map(Pod::status).find(|status| Some(status.id) == self.leader);
        let members = members.unwrap().members.clone();
        self.node(ordinal, |status| {
            status.members = members;
            (status.end, status.applied, status.term) = (END, END, 3);
        })
    }

    fn view(&self) -> View {
        let leader = self.leader;
        let seen = self.clone().each(|status| {
            if !status.members.is_empty() {
                status.leader = leader;
            }
            if Some(status.id) == leader {
                let has = |member: &Member| (member.id, if self.beginners.contains(&member.id) { 0 } else { END });
                status.matched = status.members.iter().map(has).collect();
            }
        });
        seen.view
    }
}

/// What a plan comes to.
#[derive(Clone, Debug, PartialEq)]
enum Is {
    Step(Step),
    /// No step, and this guard is told.
    Refused(&'static str),
    /// No step, and this is told.
    Waits(&'static str),
    Quiet,
}

type Rows = Vec<(&'static str, Seen, Is)>;

fn check(rows: Rows) {
    for (what, seen, expected) in rows {
        let plan = plan(&seen.view());
        let is_so = match &expected {
            Is::Step(step) => plan.step.as_ref() == Some(step),
            Is::Refused(guard) => {
                plan.step.is_none() && plan.refused.iter().any(|(_, refusal)| refusal.guard == *guard)
            }
            Is::Waits(text) => plan.step.is_none() && plan.waiting.iter().any(|waiting| waiting.contains(text)),
            Is::Quiet => plan.is_quiet(),
        };
        assert!(is_so, "{what}: expected {expected:?}, and the plan is {plan:#?}");
    }
}

fn restart(ordinal: u32) -> Is {
    Is::Step(Step::Restart { ordinal, uid: uid(ordinal), reason: "what it was made from has changed".into() })
}

/// Because it does not run.
fn restart_broken(ordinal: u32) -> Is {
    let reason = "it does not run, and what it was made from has changed".into();
    Is::Step(Step::Restart { ordinal, uid: uid(ordinal), reason })
}

fn add(ordinal: u32) -> Is {
    Is::Step(Step::Add { ordinal })
}

fn promote(ordinal: u32, replace: Option<u64>) -> Is {
    Is::Step(Step::Promote { ordinal, id: new_id(ordinal), replace })
}

fn remove(ordinal: u32) -> Is {
    remove_id(id(ordinal), ordinal)
}

fn remove_id(id: u64, ordinal: u32) -> Is {
    Is::Step(Step::Remove { id, name: address(ordinal) })
}

fn transfer(ordinal: u32) -> Is {
    Is::Step(Step::Transfer { ordinal })
}

/// A volume is given up, with its pod or after it.
fn give_up(ordinal: u32, pod: bool) -> Is {
    Is::Step(Step::DeleteClaim { ordinal, uid: claim_uid(ordinal), pod: pod.then(|| uid(ordinal)) })
}

#[test]
fn an_index_that_is_as_wanted_is_left_alone() {
    for nodes in [1, 3, 5] {
        check(vec![("as wanted", index(nodes), Is::Quiet)]);
        assert_eq!(index_pods(&index(nodes).view()), nodes);
    }
}

#[test]
fn what_is_refused_is_told_with_its_guard_and_what_was_wanted() {
    let plan = plan(&index(3).old(&[0]).behind(1).view());
    let (wants, refusal) = plan.refused.first().unwrap();
    assert_eq!(wants, "the pod of node 0 to be made again");
    assert_eq!(refusal.to_string(), "node 1 is behind (all_caught_up)");
}

#[test]
fn one_that_is_refused_does_not_hold_back_what_comes_after_it() {
    // The volume cannot grow, and pods can be made again all the same.
    let seen = index(3).old(&[0]).with(|view| view.size = 20 * GIB).claims_can_expand(Some(false));
    let plan = plan(&seen.view());
    assert_eq!(plan.refused.len(), 1);
    assert!(matches!(plan.step, Some(Step::Restart { ordinal: 0, .. })), "{plan:?}");
}

#[test]
fn who_leads_is_whom_a_majority_follows_in_the_same_term() {
    let leader = |seen: Seen| seen.view().leader().map(|status| status.id);
    assert_eq!(leader(index(3)), Some(id(2)));
    assert_eq!(leader(index(3).down(0)), Some(id(2)), "two of three follow");
    assert_eq!(leader(index(3).down(0).down(1)), None, "one of three follows");
    assert_eq!(leader(index(3).down(2)), None, "the leader itself says nothing");
    let view = index(3).node(0, |status| status.term = 2).node(1, |status| status.term = 2).view();
    assert_eq!(view.leader(), None, "the others are of an earlier term");
    assert_eq!(leader(index(3).node(2, |status| status.cluster = Some("01other".into()))), None);
    // A learner counts for nothing.
    assert_eq!(leader(index(3).learner(3).caught_up(3).down(0).down(1)), None);
}

#[test]
fn nodes_that_have_fallen_out_say_nothing_of_who_leads() {
    // Node 0 believes to lead in an earlier term still.
    let mut view = index(3).view();
    if let Said::Status(status) = &mut view.pods[0].said {
        (status.leader, status.term) = (Some(id(0)), 2);
    }
    assert_eq!(view.leader().unwrap().id, id(2));
    assert!(view.is_well(&view.members()[0].clone()).unwrap_err().contains("does not follow"));
}

#[test]
fn no_ordinal_is_outside_of_what_certificates_are_for() {
    assert_eq!(addresses().len(), MOST_NODES as usize);
    let view = index(5).view();
    assert_eq!(view.ordinal_of(&address(4)), Some(4));
    assert_eq!(view.ordinal_of("elsewhere:5001"), None);
    assert_eq!(view.member_of(7), None);
}
