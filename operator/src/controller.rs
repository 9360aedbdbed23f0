//! Watches Registries and what is made of them, and lets each be looked at as often as it needs. [`crate::pass`] is one look.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams};
use kube::core::{DeserializeGuard, PartialObjectMeta, Status};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Config, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::access::door::Doors;
use crate::apply::Applier;
use crate::build::Surroundings;
use crate::crd::{API_VERSION, Registry};
use crate::events::Events;
use crate::memory::{Memory, Trouble};
use crate::metrics::Metrics;
use crate::names::{MANAGER, OF};
use crate::observe::ObserveError;
use crate::optional::Optional;
use crate::shares::Shares;
use crate::turns::Turns;
use crate::watches::Watches;
use crate::{access, backups};

/// Until a registry is looked at again: when something is refused, and at rest.
pub(crate) const REFUSED: Duration = Duration::from_secs(5);
pub(crate) const AT_REST: Duration = Duration::from_secs(30);
/// Until it may be this one's turn among those of its namespace.
pub(crate) const BUSY: Duration = Duration::from_secs(1);
/// At most, while passes fail.
pub(crate) const FAILING: Duration = Duration::from_mins(1);

/// The action of events about a Registry.
pub(crate) const RECONCILE: &str = "Reconcile";

/// A look that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(2);
/// How often it is looked which objects are gone.
const GONE: Duration = Duration::from_mins(1);

/// Registries are watched by their metadata: what else stands in them is read by each pass, and takes no memory until then.
pub(crate) type Watched = PartialObjectMeta<Registry>;
/// One that cannot be read must not stop the others.
pub(crate) type Read = DeserializeGuard<Registry>;
/// Objects in one answer to a watch that begins. Who may make them may make them large.
pub(crate) const PAGE: u32 = 50;

/// What a pass needs.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Operator {
    pub client: Client,
    pub applier: Arc<Applier>,
    pub events: Arc<Events>,
    pub metrics: Metrics,
    pub memory: Memory,
    pub turns: Arc<Turns>,
    pub doors: Doors,
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
    #[error("could not read the object")]
    Read(#[source] kube::Error),
    #[error("the object cannot be read: {0}")]
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
        tokio::join!(
            watch(operator.clone(), namespace.clone()),
            backups::run(operator.clone(), namespace.clone()),
            access::run(operator.clone(), namespace)
        );
    });
    futures::future::join_all(runs).await;
}

async fn watch(operator: Operator, namespace: Option<String>) {
    let client = operator.client.clone();
    let within = namespace.as_ref();
    let any = watcher::Config::default().page_size(PAGE);
    let ours = any.clone().labels(OF);
    let metrics = operator.metrics.clone();
    let watches = Watches::new("registries", &metrics);
    let controller = Controller::new(api::<Watched>(&client, within), any);
    let forgetting = forget(controller.store(), |is_there| metrics.keep_registries(is_there), namespace.clone());
    let passes = controller
        .with_config(Config::default().debounce(Duration::from_millis(100)).concurrency(32))
        .owns(api::<StatefulSet>(&client, within), ours.clone())
        .owns(api::<Deployment>(&client, within), ours.clone())
        .owns(api::<Service>(&client, within), ours.clone())
        .owns(api::<ConfigMap>(&client, within), ours.clone())
        .owns(api::<Secret>(&client, within), ours.clone())
        .owns(api::<NetworkPolicy>(&client, within), ours.clone())
        .owns(api::<PodDisruptionBudget>(&client, within), ours.clone())
        .watches(api::<PartialObjectMeta<Pod>>(&client, within), ours, |pod| {
            let name = pod.labels().get(OF).cloned();
            Some(ObjectRef::new(&name?).within(&pod.namespace()?))
        })
        .shutdown_on_signal()
        .run(reconcile, failed, Arc::new(operator))
        .for_each(|result| {
            watches.look(result.err());
            std::future::ready(())
        });
    tokio::select! { () = passes => {}, () = forgetting => {} }
}

/// Forgets what was measured of objects that are gone: nothing looks at them any more, so nothing else could.
pub(crate) async fn forget<K>(store: Store<K>, keep: impl Fn(&dyn Fn(&str, &str) -> bool), namespace: Option<String>)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    if store.wait_until_ready().await.is_err() {
        return std::future::pending().await; // the watch has ended, and the process does
    }
    loop {
        tokio::time::sleep(GONE).await;
        let there: BTreeSet<_> =
            store.state().iter().map(|object| (object.namespace().unwrap_or_default(), object.name_any())).collect();
        // Those of another namespace are in another watch's store.
        let is_ours = |in_namespace: &str| namespace.as_ref().is_none_or(|ours| ours == in_namespace);
        keep(&|namespace, name| !is_ours(namespace) || there.contains(&(namespace.to_owned(), name.to_owned())));
    }
}

/// The objects of one namespace, or of all.
pub(crate) fn api<K>(client: &Client, namespace: Option<&String>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    namespace.map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace))
}

async fn reconcile(watched: Arc<Watched>, operator: Arc<Operator>) -> Result<Action, PassError> {
    let Some(_share) = operator.shares.take(&watched.namespace().unwrap_or_default()) else {
        return Ok(Action::requeue(BUSY));
    };
    let began = Instant::now();
    let pass = tokio::time::timeout(LONGEST, Box::pin(operator.pass(&watched))).await;
    let result = pass.unwrap_or(Err(PassError::Slow));
    let word = if result.is_ok() { "done" } else { "failed" };
    operator.metrics.passes.with_label_values(&[word]).observe(began.elapsed().as_secs_f64());
    if let Err(error) = &result {
        // Nothing is known that a status could say.
        let why = chain(error);
        let said = [Trouble::counting("LookFailed", "", &why, why.clone())];
        for news in operator.memory.news(&watched.uid().unwrap_or_default(), &said, Instant::now()) {
            operator.tell(&*watched, RECONCILE, EventType::Warning, &news.reason, &news.message).await;
        }
    }
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
    let least = if matches!(error, PassError::Unreadable(_)) {
        operator.metrics.broken.inc();
        AT_REST
    } else {
        REFUSED
    };
    let uid = watched.uid().unwrap_or_default();
    Action::requeue(operator.memory.wait(&uid, Some(chain(error)), least, FAILING, Instant::now()))
}

impl Operator {
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

    /// Publishes an event about an object.
    pub async fn tell<K>(&self, object: &K, action: &str, kind: EventType, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let (reason, note, action) = (reason.into(), Some(note.into()), action.into());
        let event = Event { type_: kind, reason, note, action, secondary: None };
        self.events.publish(event, &object.object_ref(&())).await;
    }
}

/// An error with what is behind it. Of what the API server answers, its words are enough.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for error in std::iter::successors(Some(error), |error| error.source()) {
        let answer = error.downcast_ref::<Status>().or_else(|| match error.downcast_ref() {
            Some(kube::Error::Api(status)) => Some(&**status),
            _ => None,
        });
        let answer = answer.filter(|status| !status.message.is_empty());
        let said = answer.map_or_else(|| error.to_string(), |status| status.message.clone());
        if words.last() != Some(&said) {
            words.push(said);
        }
        if answer.is_some() {
            break;
        }
    }
    words.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::ApplyError;

    #[test]
    fn of_what_the_api_server_answers_its_words_are_told_once() {
        let status = Status::failure("exceeded quota: small", "Forbidden").with_code(403);
        let source = kube::Error::Api(status.boxed());
        let error = ApplyError::Apply { kind: "Service", name: "r".into(), source };
        assert_eq!(chain(&error), "could not apply the Service r: exceeded quota: small");
        assert_eq!(
            chain(&PassError::Status(kube::Error::LinesCodecMaxLineLengthExceeded)).matches("could not").count(),
            1
        );
    }
}
