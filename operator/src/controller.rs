//! Watches Registries and what is made of them, and looks at each as often as it needs: the pass
//! observe → validate → build → plan → apply → act → status.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Config, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::act::{ActError, Actor};
use crate::apply::Applier;
use crate::backups;
use crate::build::{Decided, Surroundings, build};
use crate::certificates::secrets::until;
use crate::crd::{API_VERSION, Registry};
use crate::keep::{self, Certificates};
use crate::look;
use crate::metrics::Metrics;
use crate::names::{Component, MANAGER, Names, OF};
use crate::nodes::objects;
use crate::object::text_of;
use crate::observe::{self, ObserveError, Observed};
use crate::optional::Optional;
use crate::plan::{self, Step, View};
use crate::shares::Shares;
use crate::status::{Found, status};
use crate::validate::validate;

/// Until a registry is looked at again: after a step, while something goes on, while something is refused, and at rest.
const SOON: Duration = Duration::from_millis(300);
const WORKING: Duration = Duration::from_secs(2);
const REFUSED: Duration = Duration::from_secs(5);
const AT_REST: Duration = Duration::from_secs(30);

/// A step that takes longer hangs. All that a look holds meanwhile is one of the turns of all Registries.
const ACTING: Duration = Duration::from_mins(1);
/// A look that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(2);

/// The action of events about a Registry.
const RECONCILE: &str = "Reconcile";

/// An object that cannot be read must not stop the watch of the others.
type Watched = DeserializeGuard<Registry>;

/// What a pass needs.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Operator {
    pub client: Client,
    pub applier: Arc<Applier>,
    pub recorder: Recorder,
    pub metrics: Metrics,
    pub optional: Optional,
    pub around: Surroundings,
    pub shares: Shares,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    #[error(transparent)]
    Observe(#[from] ObserveError),
    #[error("could not write the status")]
    Status(#[source] kube::Error),
    #[error("could not make what nodes are told")]
    Nodes(#[source] kube::Error),
    #[error("the API server or the nodes did not answer in time")]
    Slow,
    #[error("could not read the Registry")]
    Read(#[source] kube::Error),
    #[error("the Registry cannot be read: {0}")]
    Unreadable(String),
}

/// Runs until the process is told to end.
pub async fn run(operator: Operator, namespaces: &[String]) {
    let runs = if namespaces.is_empty() {
        vec![None]
    } else {
        namespaces.iter().map(|namespace| Some(namespace.clone())).collect()
    };
    let runs = runs.into_iter().map(|namespace| async {
        tokio::join!(watch(operator.clone(), namespace.clone()), backups::run(operator.clone(), namespace));
    });
    futures::future::join_all(runs).await;
}

async fn watch(operator: Operator, namespace: Option<String>) {
    let client = operator.client.clone();
    let within = namespace.as_ref();
    let ours = watcher::Config::default().labels(OF);
    Controller::new(api::<Watched>(&client, within), watcher::Config::default())
        .with_config(Config::default().debounce(Duration::from_millis(100)).concurrency(32))
        .owns(api::<StatefulSet>(&client, within), ours.clone())
        .owns(api::<Deployment>(&client, within), ours.clone())
        .owns(api::<Service>(&client, within), ours.clone())
        .owns(api::<ConfigMap>(&client, within), ours.clone())
        .owns(api::<Secret>(&client, within), ours.clone())
        .owns(api::<NetworkPolicy>(&client, within), ours.clone())
        .owns(api::<PodDisruptionBudget>(&client, within), ours.clone())
        .watches(api::<Pod>(&client, within), ours, |pod| {
            let name = pod.labels().get(OF).cloned();
            Some(ObjectRef::new(&name?).within(&pod.namespace()?))
        })
        .shutdown_on_signal()
        .run(reconcile, failed, Arc::new(operator))
        .for_each(|result| async move {
            if let Err(error) = result {
                tracing::debug!(%error, "a pass did not come to its end");
            }
        })
        .await;
}

/// The objects of one namespace, or of all.
fn api<K>(client: &Client, namespace: Option<&String>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

async fn reconcile(watched: Arc<Watched>, operator: Arc<Operator>) -> Result<Action, PassError> {
    let Some(_share) = operator.shares.take(&watched.namespace().unwrap_or_default()) else {
        return Ok(Action::requeue(WORKING));
    };
    let began = Instant::now();
    let pass = tokio::time::timeout(LONGEST, Box::pin(operator.pass(&watched))).await;
    let result = pass.unwrap_or(Err(PassError::Slow));
    let word = if result.is_ok() { "done" } else { "failed" };
    operator.metrics.passes.with_label_values(&[word]).observe(began.elapsed().as_secs_f64());
    result
}

fn failed(watched: Arc<Watched>, error: &PassError, operator: Arc<Operator>) -> Action {
    let name = watched.name_any();
    tracing::warn!(
        registry = name,
        namespace = watched.namespace(),
        error = chain(error),
        "could not look at a registry"
    );
    if matches!(error, PassError::Unreadable(_)) {
        operator.metrics.broken.inc();
        return Action::requeue(AT_REST);
    }
    Action::requeue(REFUSED)
}

impl Operator {
    async fn pass(&self, watched: &Watched) -> Result<Action, PassError> {
        let (name, namespace) = (watched.name_any(), watched.namespace().unwrap_or_default());
        // Read anew: what was decided in the last pass stands in its status, and the watch may be behind.
        let api = Api::<Watched>::namespaced(self.client.clone(), &namespace);
        let Some(fresh) = api.get_opt(&name).await.map_err(PassError::Read)? else {
            let names = Names { name, namespace };
            let secrets = [names.tls(), names.peers(Component::Index), names.peers(Component::Registry)];
            self.metrics.forget(&names.namespace, &names.name, &secrets);
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
        let may_change = problems.is_empty() && !registry.spec.paused;
        observe::loaded(&mut observed).await;
        if let Some(nodes) = &self.around.nodes
            && registry.spec.tells_nodes()
        {
            observed.reports = objects::reports(&self.client, nodes, &names).await.map_err(PassError::Nodes)?;
        }
        let service = observed.service_address(&names);
        let kept = keep::keep(registry, &observed, service, Timestamp::now().as_second());
        let certificates = kept.as_ref().cloned().unwrap_or_default();
        let dialer = certificates.identity.clone().map(|identity| observe::dialer(&names, &observed.pods, identity));
        if let Some(dialer) = &dialer {
            observe::nodes(&names, &mut observed, dialer).await;
        }

        let (objects, view) = self.design(registry, &observed, &certificates);
        let plan = view.as_ref().map(plan::plan).unwrap_or_default();
        let mut found = Found {
            problems: &problems,
            view: view.as_ref(),
            plan,
            failed: None,
            step_failed: None,
            certificates: kept.as_ref().map(|kept| kept.waiting.clone()).map_err(Clone::clone),
            has_trust: certificates.clients_trust.is_some(),
            may_tell_nodes: self.may_tell_nodes(registry).await?,
        };
        let mut is_changed = false;
        if may_change && kept.is_ok() {
            match self.applier.apply(registry, &objects, &observed, &self.optional).await {
                Ok(changes) => {
                    is_changed = !changes.is_empty();
                    for change in changes {
                        self.metrics.writes.with_label_values(&[change.kind]).inc();
                        self.tell(
                            registry,
                            RECONCILE,
                            EventType::Normal,
                            change.reason,
                            &format!("{} {}", change.kind, change.name),
                        )
                        .await;
                    }
                    for news in &certificates.news {
                        self.tell(registry, RECONCILE, EventType::Normal, "Certificates", news).await;
                    }
                }
                Err(error) => found.failed = Some(chain(&error)),
            }
            match self.tell_nodes(registry, &certificates, found.may_tell_nodes.is_ok()).await {
                Ok(is_told) => is_changed |= is_told,
                Err(error) => found.failed = Some(format!("could not make what nodes are told: {error}")),
            }
            if let (None, Some(view)) = (&found.failed, &view) {
                is_changed |= self.step(registry, view, dialer.as_ref(), &mut found).await;
            }
        }
        self.say(registry, &observed, &found).await?;
        Ok(Action::requeue(if is_changed {
            SOON
        } else if !found.plan.waiting.is_empty() || certificates.waiting.is_some() || found.failed.is_some() {
            WORKING
        } else if !found.plan.is_quiet() || !problems.is_empty() {
            REFUSED
        } else {
            AT_REST
        }))
    }

    /// The objects as they should be, and what the plan looks at.
    fn design(
        &self,
        registry: &Registry,
        observed: &Observed,
        certificates: &Certificates,
    ) -> (Vec<crate::object::Object>, Option<View>) {
        let names = Names::of(registry);
        let is_single = registry.spec.is_single();
        let mut decided = Decided {
            index_pods: registry.spec.index.replicas.max(1) as u32,
            clients_trust: certificates.clients_trust.clone(),
            is_begun: false,
            set_size: observed
                .object("StatefulSet", &if is_single { names.registry() } else { names.index() })
                .map(text_of)
                .as_ref()
                .and_then(look::set_size),
        };
        let view = (!is_single).then(|| {
            let objects = build(registry, &self.around, &decided);
            let set = objects.iter().find(|object| object.kind.kind == "StatefulSet");
            let template = set.and_then(|set| crate::build::template_of(&set.value)).unwrap_or_default();
            look::view(registry, observed, template, Timestamp::now())
        });
        if let Some(view) = &view {
            decided.index_pods = plan::index_pods(view);
            // Once there are pods, they stay: an index that is away for a moment is no reason to take them.
            decided.is_begun = view.begun;
        }
        let mut objects = certificates.objects.clone();
        objects.extend(build(registry, &self.around, &decided));
        (objects, view)
    }

    /// Does what the plan says. Gives whether anything was done.
    async fn step(
        &self,
        registry: &Registry,
        view: &View,
        dialer: Option<&Arc<dyn roadstead::index::peers::dial::Dial>>,
        found: &mut Found<'_>,
    ) -> bool {
        for (wants, refusal) in &found.plan.refused {
            self.tell(registry, RECONCILE, EventType::Warning, "Refused", &format!("{wants}: {refusal}")).await;
        }
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
                self.tell(registry, RECONCILE, EventType::Warning, "StepFailed", &why).await;
                found.step_failed = Some(why);
                false
            }
        }
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

    /// Makes what nodes are told of the registry as it should be. Gives whether anything was written.
    async fn tell_nodes(&self, registry: &Registry, certificates: &Certificates, may: bool) -> Result<bool, String> {
        let Some(nodes) = &self.around.nodes else { return Ok(false) };
        if !registry.spec.tells_nodes() || !may {
            let removed = objects::remove(&self.client, nodes, &Names::of(registry)).await;
            return removed.map_err(|error| chain(&error));
        }
        let wanted = objects::build(registry, nodes, &self.around.image, certificates.clients_trust.as_deref());
        let changes = objects::apply(&self.applier, nodes, &wanted).await.map_err(|error| chain(&error))?;
        for change in &changes {
            self.metrics.writes.with_label_values(&[change.kind]).inc();
        }
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
        let is_ready = now.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        self.measure(&names, observed, found, is_ready);
        if registry.status.as_ref() == Some(&now) {
            return Ok(());
        }
        self.write_status(registry, &now).await
    }

    /// Writes a status onto exactly the object that was looked at: one of the same name may have come in its place.
    pub async fn write_status<K, S>(&self, object: &K, status: &S) -> Result<(), PassError>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
        S: Serialize,
    {
        let api = Api::<K>::namespaced(self.client.clone(), &object.namespace().unwrap_or_default());
        let metadata = json!({ "uid": object.meta().uid });
        let patch = json!({ "apiVersion": API_VERSION, "kind": K::kind(&()), "metadata": metadata, "status": status });
        let params = PatchParams::apply(MANAGER).force();
        match api.patch_status(&object.name_any(), &params, &Patch::Apply(patch)).await {
            Ok(_) => Ok(()),
            // It was deleted in the meantime.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(PassError::Status(error)),
        }
    }

    fn measure(&self, names: &Names, observed: &Observed, found: &Found<'_>, is_ready: bool) {
        let of = [names.namespace.as_str(), names.name.as_str()];
        self.metrics.ready.with_label_values(&of).set(i64::from(is_ready));
        if let Some(view) = found.view {
            let well = (0..view.wanted).filter(|ordinal| view.votes_well(*ordinal)).count();
            self.metrics.index_wanted.with_label_values(&of).set(i64::from(view.wanted));
            self.metrics.index_well.with_label_values(&of).set(well as i64);
            self.metrics.index_led.with_label_values(&of).set(i64::from(view.leader().is_some()));
        }
        for (secret, until) in observed.secrets.iter().filter_map(|(name, secret)| Some((name, until(secret)?))) {
            self.metrics.certificates_expire.with_label_values(&[of[0], of[1], secret]).set(until);
        }
    }

    /// Publishes an event about an object.
    pub async fn tell<K>(&self, object: &K, action: &str, kind: EventType, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let note: String = note.chars().take(1000).collect();
        let event =
            Event { type_: kind, reason: reason.into(), note: Some(note), action: action.into(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &object.object_ref(&())).await {
            tracing::debug!(%error, "could not publish an event");
        }
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
