//! One look at a Registry: observe → validate → build → plan → apply → act → status. What is done, told and measured is done
//! here; what is decided is decided elsewhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::{Api, ResourceExt};

use crate::act::{ActError, Actor};
use crate::apply::Change;
use crate::build::{Decided, Surroundings, build, index_set, template_of};
use crate::certificates::live;
use crate::controller::{Operator, PassError, RECONCILE, Read, Watched, chain};
use crate::crd::Registry;
use crate::first;
use crate::keep::{self, Certificates};
use crate::look;
use crate::names::Names;
use crate::nodes::objects;
use crate::object::Object;
use crate::observe::{self, Observed};
use crate::pace::pace;
use crate::plan::{self, Step, View};
use crate::status::troubles::troubles;
use crate::status::{Found, status};
use crate::turns::Asks;
use crate::validate::validate;

/// A step that takes longer hangs: what runs in pods is for the author of a Registry to choose.
const ACTING: Duration = Duration::from_mins(1);

impl Operator {
    pub(crate) async fn pass(&self, watched: &Watched) -> Result<Action, PassError> {
        let (name, namespace) = (watched.name_any(), watched.namespace().unwrap_or_default());
        // Read anew: what was decided in the last pass stands in its status, and the watch may be behind.
        let api = Api::<Read>::namespaced(self.client.clone(), &namespace);
        let Some(fresh) = api.get_opt(&name).await.map_err(PassError::Read)? else {
            let names = Names { name, namespace };
            self.metrics.forget(&names.namespace, &names.name);
            if let Some(nodes) = &self.around.nodes {
                objects::remove(&self.client, nodes, &names).await.map_err(PassError::Nodes)?;
            }
            return Ok(Action::await_change());
        };
        let registry = fresh.0.map_err(|invalid| PassError::Unreadable(invalid.error))?;
        if registry.metadata.deletion_timestamp.is_some() {
            return Ok(Action::await_change()); // what it owns goes with it
        }
        self.look_at(&registry).await
    }

    async fn look_at(&self, registry: &Registry) -> Result<Action, PassError> {
        let names = Names::of(registry);
        let mut observed = observe::objects(&self.client, registry, &self.optional).await?;
        let problems = validate(registry, &observed.secrets);
        observe::loaded(&mut observed).await;
        if let Some(nodes) = &self.around.nodes
            && registry.spec.tells_nodes()
        {
            observed.reports = objects::reports(&self.client, nodes, &names).await.map_err(PassError::Nodes)?;
        }
        let service = observed.service_address(&names);
        let certificates = keep::keep(registry, &observed, service, Timestamp::now().as_second());
        let dialer = certificates.identity.clone().map(|identity| observe::dialer(&names, &observed.pods, identity));
        if let Some(dialer) = &dialer {
            observe::nodes(&names, &mut observed, dialer).await;
        }

        let (around, waits_for_turn) =
            self.around(registry, &observed, problems.is_empty() && certificates.failed.is_none());
        let (objects, view) = design(registry, &around, &observed, &certificates);
        let is_single = registry.spec.is_single();
        let mut found = Found {
            problems: &problems,
            view: (!is_single).then_some(&view),
            plan: if is_single { plan::plan_of_single(&view) } else { plan::plan(&view) },
            failed: None,
            step_failed: None,
            certificates: certificates.failed.clone().map_or_else(|| Ok(certificates.waiting.clone()), Err),
            unusable_trust: certificates.unusable_trust.clone(),
            held: live::in_use(registry, &observed.secrets),
            has_trust: certificates.clients_trust.is_some(),
            may_tell_nodes: self.may_tell_nodes(registry).await?,
            troubles: Vec::new(),
            passing: Vec::new(),
            is_changed: false,
            waits_for_turn,
            missing_kinds: self.optional.missing(registry),
        };
        // Leave that was taken back is so of a Registry that is paused or wrong, too.
        let is_forbidden = registry.spec.tells_nodes() && found.may_tell_nodes.is_err();
        let mut is_changed = is_forbidden && self.tell_nodes_of(registry, &certificates, &mut found).await;
        is_changed |= match (registry.spec.paused, problems.is_empty() && certificates.failed.is_none()) {
            (true, _) => false,
            (false, true) => {
                let mut is_changed = self.apply(registry, &objects, &observed, &certificates, &mut found).await;
                is_changed |= self.offer_first(registry, &view, &observed, dialer.as_ref()).await;
                if found.failed.is_none() {
                    is_changed |= self.step(registry, &view, dialer.as_ref(), &mut found).await;
                }
                is_changed
            }
            (false, false) => self.renew(registry, &observed, &certificates, &mut found).await,
        };
        found.is_changed = is_changed;
        if is_changed {
            self.turns.moves(&registry.uid().unwrap_or_default(), Instant::now());
        }
        let (uid, was_in_trouble) = (registry.uid().unwrap_or_default(), registry.was("Degraded"));
        let all = troubles(registry, &observed, &found);
        (found.troubles, found.passing) = self.memory.sorted(&uid, all, was_in_trouble, Instant::now());
        for news in self.memory.news(&uid, &found.troubles, Instant::now()) {
            self.tell(registry, RECONCILE, EventType::Warning, &news.reason, &news.message).await;
        }
        let failed = found.failed.as_deref().or(certificates.failed.as_deref());
        if let Some(error) = failed {
            self.metrics.steps.with_label_values(&["Apply", "failed"]).inc();
            tracing::warn!(
                registry = registry.name_any(),
                namespace = registry.namespace(),
                error,
                "a Registry could not be built"
            );
        }
        self.say(registry, &observed, &found).await?;
        Ok(Action::requeue(self.next_look(registry, &found, is_changed)))
    }

    /// Makes the objects, and what nodes are told, as they should be. Gives whether anything was written.
    async fn apply(
        &self,
        registry: &Registry,
        objects: &[Object],
        observed: &Observed,
        certificates: &Certificates,
        found: &mut Found<'_>,
    ) -> bool {
        let mut is_changed = false;
        match self.applier.apply(registry, objects, observed, &self.optional).await {
            Ok(changes) => {
                is_changed = !changes.is_empty();
                self.tell_changes(registry, &changes).await;
                self.tell_news(registry, certificates).await;
            }
            Err(error) => found.failed = Some(chain(&error)),
        }
        is_changed | self.tell_nodes_of(registry, certificates, found).await
    }

    /// While there is no administrator, whoever may read the Secret can make the first. Gives whether anything was written.
    async fn offer_first(
        &self,
        registry: &Registry,
        view: &View,
        observed: &Observed,
        dialer: Option<&Arc<dyn roadstead::index::peers::dial::Dial>>,
    ) -> bool {
        match first::offer(&self.memory, &self.applier, registry, view, &observed.secrets, dialer).await {
            Ok(change) => {
                self.tell_changes(registry, change.as_slice()).await;
                change.is_some()
            }
            Err(error) => {
                // It is tried again with the next look, and nothing waits for it.
                tracing::warn!(
                    registry = registry.name_any(),
                    namespace = registry.namespace(),
                    error = chain(&error),
                    "no token for a first administrator"
                );
                false
            }
        }
    }

    /// Makes what nodes are told as it should be. Gives whether anything was written.
    async fn tell_nodes_of(&self, registry: &Registry, certificates: &Certificates, found: &mut Found<'_>) -> bool {
        match self.tell_nodes(registry, certificates, found.may_tell_nodes.is_ok()).await {
            Ok(is_told) => is_told,
            Err(error) => {
                found.failed = Some(format!("could not make what nodes are told: {error}"));
                false
            }
        }
    }

    /// Of a Registry that is not built because something is wrong: certificates of what runs are renewed all the same.
    async fn renew(
        &self,
        registry: &Registry,
        observed: &Observed,
        certificates: &Certificates,
        found: &mut Found<'_>,
    ) -> bool {
        let renewed = keep::renewed(registry, observed, &certificates.objects);
        // Without the other objects, so that none of them is taken for one that is no longer wanted.
        let secrets = Observed { secrets: observed.secrets.clone(), ..Observed::default() };
        match self.applier.apply(registry, &renewed, &secrets, &self.optional).await {
            Ok(changes) => {
                self.tell_changes(registry, &changes).await;
                if !changes.is_empty() {
                    self.tell_news(registry, certificates).await;
                }
                !changes.is_empty()
            }
            Err(error) => {
                found.failed = Some(chain(&error));
                false
            }
        }
    }

    async fn tell_changes(&self, registry: &Registry, changes: &[Change]) {
        for change in changes {
            self.metrics.writes.with_label_values(&[change.kind]).inc();
            let note = format!("{} {}", change.kind, change.name);
            self.tell(registry, RECONCILE, EventType::Normal, change.reason, &note).await;
        }
    }

    async fn tell_news(&self, registry: &Registry, certificates: &Certificates) {
        for news in &certificates.news {
            self.tell(registry, RECONCILE, EventType::Normal, "Certificates", news).await;
        }
    }

    fn next_look(&self, registry: &Registry, found: &Found<'_>, is_changed: bool) -> Duration {
        let (least, most, stuck) = pace(found, is_changed);
        self.memory.wait(&registry.uid().unwrap_or_default(), stuck, least, most, Instant::now())
    }

    /// What surrounds a Registry: the image of this release, or until it is its turn the one that its pods have. And then,
    /// what it waits for. One that is not built as it is now has no use for a turn.
    fn around(&self, registry: &Registry, observed: &Observed, is_built: bool) -> (Surroundings, Option<String>) {
        let mut around = self.around.clone();
        if registry.spec.image.is_some() || registry.spec.paused {
            return (around, None);
        }
        let has = image(registry, observed);
        if !is_built {
            around.image = has.unwrap_or(around.image);
            return (around, None);
        }
        let asks = Asks {
            uid: &registry.uid().unwrap_or_default(),
            name: &format!("{}/{}", registry.namespace().unwrap_or_default(), registry.name_any()),
            has: has.as_deref(),
            is_ready: registry.was("Ready"),
            is_failing: observed.pods.iter().any(|pod| look::is_failing(pod, &around.image)),
        };
        let waits_for_turn = self.turns.may_have(&around.image, asks, Instant::now()).err();
        if let (Some(_), Some(has)) = (&waits_for_turn, has) {
            around.image = has;
        }
        (around, waits_for_turn)
    }

    /// Whether nodes may be told of a registry, or why not.
    async fn may_tell_nodes(&self, registry: &Registry) -> Result<Result<(), String>, PassError> {
        if !registry.spec.tells_nodes() {
            return Ok(Ok(()));
        }
        let namespace = match self.around.may_tell_nodes(registry) {
            Ok(namespace) => namespace,
            Err(why) => return Ok(Err(why)),
        };
        let host = &registry.spec.hostname;
        let holder = objects::holder(&self.client, namespace, &Names::of(registry), host).await;
        Ok(match holder.map_err(PassError::Nodes)? {
            None => Ok(()),
            Some(other) => {
                Err(format!("under {host} nodes are sent to the Registry {other}: a name is for one registry"))
            }
        })
    }

    /// Does what the plan says. Gives whether anything was done.
    async fn step(
        &self,
        registry: &Registry,
        view: &View,
        dialer: Option<&Arc<dyn roadstead::index::peers::dial::Dial>>,
        found: &mut Found<'_>,
    ) -> bool {
        let Some(step) = found.plan.step.clone() else { return false };
        let actor = Actor { client: &self.client, registry, dialer, view };
        let done = tokio::time::timeout(ACTING, actor.act(&step)).await;
        let done =
            done.unwrap_or_else(|_| Err(ActError::NotNow(format!("{step}: it took too long, and is tried again"))));
        let result = if done.is_ok() { "done" } else { "failed" };
        self.metrics.steps.with_label_values(&[step.reason(), result]).inc();
        match done {
            Ok(()) => {
                tracing::info!(registry = registry.name_any(), namespace = registry.namespace(), step = %step, "a step was taken");
                if step.is_told() {
                    self.tell(registry, RECONCILE, EventType::Normal, step.reason(), &step.to_string()).await;
                }
                true
            }
            Err(ActError::NotNow(why)) => {
                found.plan.waiting.push(why);
                false
            }
            Err(error) => {
                let why = format!("{step}: {}", chain(&error));
                tracing::warn!(
                    registry = registry.name_any(),
                    namespace = registry.namespace(),
                    error = why,
                    "a step failed"
                );
                found.step_failed = Some((step.to_string(), why));
                false
            }
        }
    }

    async fn tell_nodes(&self, registry: &Registry, certificates: &Certificates, may: bool) -> Result<bool, String> {
        let Some(nodes) = &self.around.nodes else { return Ok(false) };
        if !registry.spec.tells_nodes() || !may {
            let removed = objects::remove(&self.client, nodes, &Names::of(registry)).await;
            let removed = removed.map_err(|error| chain(&error))?;
            if removed {
                let note = "what nodes were told, in the namespace for nodes";
                self.tell(registry, RECONCILE, EventType::Normal, "Deleted", note).await;
            }
            return Ok(removed);
        }
        let wanted = objects::build(registry, nodes, &self.around.image, certificates.clients_trust.as_deref());
        let changes = objects::apply(&self.applier, nodes, &wanted).await.map_err(|error| chain(&error))?;
        self.tell_changes(registry, &changes).await;
        Ok(!changes.is_empty())
    }

    /// Writes the status, if it says something else than the one that is there.
    async fn say(&self, registry: &Registry, observed: &Observed, found: &Found<'_>) -> Result<(), PassError> {
        let names = Names::of(registry);
        let mut now = status(registry, observed, found, &Time(Timestamp::now()));
        // What a step wrote into the status itself stays as it wrote it.
        if let Some(Step::Name { .. } | Step::Begin { .. } | Step::Found { .. } | Step::NoteBegun) = found.plan.step
            && let Some(index) = &mut now.index
        {
            index.cluster = None;
            index.bootstrapped = None;
        }
        let is =
            |kind: &str| now.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
        // Whatever else is wrong with it: its pods are all made from what is wanted, and run.
        let is_made =
            |pod: &plan::Pod| found.view.is_some_and(|view| pod.ready && pod.template.as_ref() == Some(&view.template));
        if is("Ready") && !is("Progressing") && found.view.is_none_or(|view| view.pods.iter().all(is_made)) {
            self.turns.rests(&registry.uid().unwrap_or_default());
        }
        self.measure(&names, found, is("Ready"));
        if registry.status.as_ref() == Some(&now) {
            return Ok(());
        }
        self.write_status(registry, &now).await
    }

    fn measure(&self, names: &Names, found: &Found<'_>, is_ready: bool) {
        let of = [names.namespace.as_str(), names.name.as_str()];
        self.metrics.ready.with_label_values(&of).set(i64::from(is_ready));
        if let Some(view) = found.view {
            let well = (0..view.wanted).filter(|ordinal| view.votes_well(*ordinal)).count();
            self.metrics.index_wanted.with_label_values(&of).set(i64::from(view.wanted));
            self.metrics.index_well.with_label_values(&of).set(well as i64);
            self.metrics.index_led.with_label_values(&of).set(i64::from(view.leader().is_some()));
        }
        self.metrics.certificates(of[0], of[1], &live::spans(&found.held));
    }
}

/// The objects as they should be, and what the plan looks at.
fn design(
    registry: &Registry,
    around: &Surroundings,
    observed: &Observed,
    certificates: &Certificates,
) -> (Vec<Object>, View) {
    let mut decided = Decided {
        index_pods: registry.spec.index.replicas.max(1) as u32,
        clients_trust: certificates.clients_trust.clone(),
        is_begun: false,
        restores: false,
        set_volume: look::set(registry, observed).as_ref().and_then(look::set_volume),
        keys: look::keys(registry, observed),
    };
    let view = if registry.spec.is_single() {
        look::volumes(registry, observed)
    } else {
        let set = index_set(registry, around, &decided);
        let template = template_of(&set.value).unwrap_or_default();
        let view = look::view(registry, observed, template, Timestamp::now());
        decided.index_pods = plan::index_pods(&view);
        // Once there are pods, they stay: an index that is away for a moment is no reason to take them.
        decided.is_begun = view.begun;
        decided.restores = !view.begun && !view.skips_backup;
        view
    };
    let mut objects = certificates.objects.clone();
    objects.extend(build(registry, around, &decided));
    (objects, view)
}

/// The image that pods of a Registry are to have now.
fn image(registry: &Registry, observed: &Observed) -> Option<String> {
    let set = look::set(registry, observed)?;
    Some(set.pointer("/spec/template/spec/containers/0/image")?.as_str()?.to_owned())
}
