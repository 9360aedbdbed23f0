//! The plan works on a model to which things happen, until it has all that is wanted. What it does on the way never takes
//! a majority away, stops at most one pod, and gives no volume up that is needed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::Config;

use super::model::{Kind, Model, Phase, Template, name};
use super::*;

/// Passes after which the plan must have come to rest when nothing happens any more.
const LONGEST: usize = 150;
const CASES: u32 = 300;

/// What happens to a cluster, and what its owner wants of it.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// One more pass.
    Nothing,
    Want(u32),
    Template(Kind),
    Larger,
    Write(u64),
    Crash(u32),
    /// Somebody else evicts a pod.
    Evict(u32),
    /// The operator does not reach a pod, or does again.
    Mute(u32),
    /// A node falls behind, or goes on.
    Slow(u32),
    Wipe(u32),
    LoseMachine(u32),
    /// The operator ends within the next step.
    Half,
    /// Another leads.
    Elect(u32),
    /// The Registry is deleted and made again; its volumes stay.
    MakeAgain,
    /// The same, and a volume is gone with it.
    MakeAgainWithout(u32),
}

fn happens() -> impl Strategy<Value = Happens> {
    let kinds = prop_oneof![3 => Just(Kind::Good), 1 => Just(Kind::Crashes), 1 => Just(Kind::Unready)];
    prop_oneof![
        8 => Just(Happens::Nothing),
        3 => prop_oneof![Just(1_u32), Just(3), Just(5)].prop_map(Happens::Want),
        2 => kinds.prop_map(Happens::Template),
        1 => Just(Happens::Larger),
        2 => (1..400_u64).prop_map(Happens::Write),
        2 => (0..5_u32).prop_map(Happens::Crash),
        1 => (0..5_u32).prop_map(Happens::Evict),
        2 => (0..5_u32).prop_map(Happens::Mute),
        1 => (0..5_u32).prop_map(Happens::Slow),
        1 => (0..5_u32).prop_map(Happens::Wipe),
        1 => (0..5_u32).prop_map(Happens::LoseMachine),
        2 => Just(Happens::Half),
        1 => (0..5_u32).prop_map(Happens::Elect),
        1 => Just(Happens::MakeAgain),
        1 => (0..5_u32).prop_map(Happens::MakeAgainWithout),
    ]
}

/// A model that the plan works on.
struct Run {
    model: Model,
    half: bool,
    /// What happened, for whoever reads of a failure.
    story: String,
}

impl Run {
    fn new(wanted: u32) -> Self {
        Self { model: Model::new(wanted), half: false, story: String::new() }
    }

    fn happen(&mut self, happens: Happens) {
        if !matches!(happens, Happens::Nothing) {
            let _ = writeln!(self.story, "! {happens:?}");
        }
        let may_lose = |ordinal| self.may_lose(ordinal);
        match happens {
            Happens::Want(wanted) => self.model.wanted = wanted,
            Happens::Template(kind) => {
                self.model.template = Template { number: self.model.template.number + 1, kind };
            }
            Happens::Larger => self.model.size += GIB,
            Happens::Write(entries) => self.model.write(entries),
            Happens::Crash(ordinal) => {
                if let Some(pod) = self.model.pods.get_mut(&ordinal).filter(|pod| pod.phase == Phase::Running) {
                    pod.phase = Phase::Starting;
                }
            }
            Happens::Evict(ordinal) => {
                // The budget lets one go when all are ready.
                if self.model.pods.keys().all(|ordinal| self.model.is_ready(*ordinal))
                    && let Some(pod) = self.model.pods.get_mut(&ordinal)
                {
                    pod.phase = Phase::Stopping;
                }
            }
            Happens::Mute(ordinal) => {
                if let Some(pod) = self.model.pods.get_mut(&ordinal) {
                    pod.is_muted ^= true;
                }
            }
            Happens::Slow(ordinal) => {
                if let Some(volume) = self.model.volumes.get_mut(&ordinal) {
                    volume.is_slow ^= true;
                }
            }
            Happens::Wipe(ordinal) if may_lose(ordinal) => self.model.wipe(ordinal),
            Happens::LoseMachine(ordinal) if may_lose(ordinal) => self.model.lose(ordinal),
            Happens::MakeAgainWithout(ordinal) if may_lose(ordinal) => self.model.make_again_without(ordinal),
            Happens::Nothing | Happens::Wipe(_) | Happens::LoseMachine(_) | Happens::MakeAgainWithout(_) => {}
            Happens::Half => self.half = true,
            Happens::Elect(ordinal) => self.model.elect_if_well(ordinal),
            Happens::MakeAgain => self.model.make_again(),
        }
    }

    /// Whether those without this volume are still a majority: what is lost then can be mended.
    fn may_lose(&self, ordinal: u32) -> bool {
        let model = &self.model;
        let voters = model.voters();
        let well = voters.iter().filter(|id| model.ordinal(**id) != Some(ordinal) && model.is_well(**id)).count();
        let is_new = model.cluster.is_some() && model.formed.is_none();
        model.volumes.contains_key(&ordinal) && (is_new || (model.begun && well * 2 > voters.len()))
    }

    /// One pass of the operator. Gives whether nothing was left to do.
    fn pass(&mut self) -> bool {
        let view = self.model.view();
        let (plan, pods) = (plan(&view), index_pods(&view));
        let _ = writeln!(
            self.story,
            "  {pods} pods, step {:?}, refused {:?}, waiting {:?}",
            plan.step,
            plan.refused.iter().map(|(_, refusal)| refusal.to_string()).collect::<Vec<_>>(),
            plan.waiting
        );
        let is_taken = |ordinal: &u32| *ordinal >= pods && self.model.is_member(*ordinal);
        if let Some(ordinal) = self.model.pods.keys().copied().find(is_taken) {
            self.fail(&format!("the pod of member {ordinal} would be taken away"));
        }
        self.model.apply(pods);
        if let Some(step) = &plan.step {
            let needs_leader = matches!(
                step,
                Step::Add { .. }
                    | Step::Promote { .. }
                    | Step::Remove { .. }
                    | Step::Transfer { .. }
                    | Step::Raise { .. }
                    | Step::NoteBegun
                    | Step::Found { .. }
            ) || (matches!(step, Step::DeleteClaim { .. }) && self.model.formed.is_some());
            if needs_leader && view.leader().is_none() {
                self.fail("nobody knows who is a member");
            }
            self.step(step);
        }
        self.model.pass_time();
        plan.is_quiet()
    }

    fn step(&mut self, step: &Step) {
        self.judge(step);
        let (had, voters) = (self.model.has_majority(), self.model.voters());
        self.model.act(step, std::mem::take(&mut self.half));
        let is_alone = voters.len() == 1 && matches!(step, Step::Restart { .. });
        if had && !is_alone && !self.model.has_majority() {
            self.fail("the step took the majority away");
        }
        if self.model.stopped.len() > 1 {
            self.fail(&format!("pods {:?} are down by steps", self.model.stopped));
        }
    }

    /// What no step may do, whatever came before it.
    fn judge(&self, step: &Step) {
        let model = &self.model;
        match step {
            Step::Name { .. } | Step::NoteBegun if model.begun => self.fail("it has begun already"),
            Step::Begin { .. } if model.formed.is_some() => self.fail("it begins again, beside the one that is there"),
            Step::Found { .. } if model.founded => self.fail("its first entry is written already"),
            Step::Restart { ordinal, .. } => {
                let id = model.volumes.get(ordinal).map(|volume| volume.id);
                let leads = model.leader.is_some() && model.leader == id && model.runs(*ordinal);
                if leads && model.voters().len() > 1 {
                    self.fail("the leader is stopped");
                }
            }
            Step::DeleteClaim { ordinal, .. } => {
                let volume = &model.volumes[ordinal];
                if model.is_member(*ordinal) && !volume.is_lost {
                    self.fail("the volume of a member is deleted");
                }
            }
            _ => {}
        }
    }

    fn fail(&self, why: &str) -> ! {
        panic!("{why}\n{}\n{:#?}", self.story, self.model);
    }

    /// Nothing happens any more but what mends: the plan comes to rest, with all that is wanted.
    fn come_to_rest(&mut self) {
        self.half = false;
        self.model.calm_down();
        let mut at_rest = 0;
        for _ in 0..LONGEST {
            let before = self.model.clone();
            at_rest = if self.pass() && before.is_as(&self.model) { at_rest + 1 } else { 0 };
            if at_rest == 3 {
                return self.check_rest();
            }
        }
        self.fail("it does not come to rest");
    }

    fn check_rest(&self) {
        let model = &self.model;
        let all: BTreeSet<u32> = (0..model.wanted).collect();
        let members: BTreeSet<u32> = model.members.iter().filter_map(|member| model.ordinal(member.id)).collect();
        let is_right = members == all
            && model.members.len() == all.len()
            && model.members.iter().all(|member| member.voter && model.is_well(member.id))
            && model.pods.keys().copied().eq(all.iter().copied())
            && model.pods.iter().all(|(ordinal, pod)| pod.template == model.template && model.is_ready(*ordinal))
            && model.volumes.keys().copied().eq(all.iter().copied())
            && model.volumes.values().all(|volume| volume.asked >= model.size && !volume.terminating)
            && model.set.as_ref().is_some_and(|set| set.size == model.size && set.replicas == model.wanted)
            && model.level == model.template.number;
        if !is_right {
            self.fail("it came to rest without what is wanted");
        }
    }
}

fn settings() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config { cases: cases.unwrap_or(CASES), failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn whatever_happens_the_plan_does_no_harm_and_comes_to_rest_with_what_is_wanted(
        wanted in prop_oneof![Just(1_u32), Just(3), Just(5)],
        story in prop::collection::vec(happens(), 0..60),
    ) {
        let mut run = Run::new(wanted);
        for happens in story {
            run.happen(happens);
            run.pass();
        }
        run.come_to_rest();
    }
}

#[test]
fn an_index_is_made_grows_shrinks_and_is_rolled_step_by_step() {
    let mut run = Run::new(1);
    run.come_to_rest();
    for happens in [
        Happens::Want(5),
        Happens::Template(Kind::Good),
        Happens::Want(3),
        Happens::Larger,
        Happens::Wipe(0),
        Happens::LoseMachine(1),
        Happens::Want(1),
        Happens::MakeAgain,
    ] {
        run.happen(happens);
        run.come_to_rest();
    }
    for step in [
        "Name",
        "Begin",
        "Add",
        "Promote",
        "Remove",
        "Transfer",
        "Restart",
        "DeleteClaim",
        "Expand",
        "RecreateSet",
        "Raise",
    ] {
        assert!(run.story.contains(&format!("step Some({step}")), "{step} was never taken: {}", run.story);
    }
}

#[test]
fn a_template_that_does_not_work_costs_one_pod_and_its_fix_is_rolled_out() {
    for kind in [Kind::Crashes, Kind::Unready] {
        let mut run = Run::new(3);
        run.come_to_rest();
        run.happen(Happens::Template(kind));
        for _ in 0..50 {
            run.pass();
        }
        let bad = run.model.pods.values().filter(|pod| pod.template.kind == kind).count();
        assert_eq!(bad, 1, "{kind:?}: {}", run.story);
        assert!(run.model.has_majority());
        run.happen(Happens::Template(Kind::Good));
        run.come_to_rest();
        assert!(run.model.pods.values().all(|pod| name(pod.template) == name(run.model.template)));
    }
}
