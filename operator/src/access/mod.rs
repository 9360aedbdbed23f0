//! Looks after RegistryUsers, RegistryRobots and RegistryPolicies: makes the accounts and policies of registries what they
//! say. One controller for each kind; what differs between them is in a file a kind, behind [`Access`].

pub mod call;
pub mod door;
pub mod policy;
pub mod pull_secret;
pub mod robot;
pub mod token;
pub mod user;
pub mod work;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Config, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::controller::{AT_REST, BUSY, Operator, PAGE, PassError, REFUSED, api, chain};
use crate::crd::access::Applied;
use crate::crd::{RegistryPolicy, RegistryRobot, RegistryUser};
use crate::memory;
use crate::names::{FINALIZER, ROBOT};
use crate::watches::Watches;
use call::Door;
use work::Work;

/// On an object: an account or policy of its name that is there already becomes its own.
pub const ADOPT: &str = "roadstead.dev/adopt";
/// A look that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(2);

/// A kind of object that is kept in a registry.
pub trait Access:
    Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    type Status: AccessStatus;
    /// What all of them are called in metrics.
    const WATCH: &'static str;

    fn registry(&self) -> &str;
    fn status(&self) -> Option<&Self::Status>;
    /// Makes what is in the registry as the object says. Gives when to look again at the latest, and what to say.
    fn keep(work: &mut Work<'_, Self>, door: &Door) -> impl Future<Output = Result<Kept, Trouble>> + Send;
    /// Does what needs no registry, while that cannot be reached.
    fn apart(_work: &mut Work<'_, Self>) -> impl Future<Output = Result<(), Trouble>> + Send {
        async { Ok(()) }
    }
    /// Takes out of the registry what is the object's; without a door there is no registry any more.
    fn remove(work: &mut Work<'_, Self>, door: Option<&Door>) -> impl Future<Output = Result<(), Trouble>> + Send;
}

/// What is said of such an object.
pub trait AccessStatus: Clone + Default + Debug + PartialEq + Serialize + Send + Sync + 'static {
    fn conditions(&self) -> &[Condition];
    fn say(&mut self, generation: Option<i64>, condition: Condition);
    fn applied(&self) -> Option<&Applied>;
    fn apply(&mut self, applied: Option<Applied>);
}

macro_rules! access_status {
    ($($status:ty),*) => {$(
        impl AccessStatus for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn say(&mut self, generation: Option<i64>, condition: Condition) {
                self.observed_generation = generation;
                self.conditions = vec![condition];
            }

            fn applied(&self) -> Option<&Applied> {
                self.applied.as_ref()
            }

            fn apply(&mut self, applied: Option<Applied>) {
                self.applied = applied;
            }
        }
    )*};
}
access_status!(crate::crd::RegistryUserStatus, crate::crd::RegistryRobotStatus, crate::crd::RegistryPolicyStatus);

/// An object that is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub message: String,
    /// Until something is due.
    pub due: Duration,
}

impl Kept {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), due: AT_REST }
    }
}

/// Why an object is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For a condition: stable, and one word.
    pub reason: &'static str,
    pub message: String,
}

impl Trouble {
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// The API server did not let something be read or written.
    fn api(what: &str, error: &kube::Error) -> Self {
        Self::new("ApiRefused", format!("could not {what}: {}", chain(error)))
    }
}

/// Whose an account or policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// There is none.
    Make,
    /// It is there, and the object's.
    Keep,
    /// It is there, and somebody else's.
    Taken,
}

/// Whose the account or policy of a name is. `applied` is what was noted of it; `looks_ours`, whether what is there looks as what
/// the object would make: that counts only where it was going to make it, and never learnt whether it did. Pure.
pub fn claim(is_there: bool, name: &str, applied: Option<&Applied>, looks_ours: bool, adopts: bool) -> Claim {
    let noted = applied.filter(|applied| applied.name == name);
    let is_ours = noted.is_some_and(|applied| applied.sum.is_some() || looks_ours);
    match (is_there, is_ours || adopts) {
        (false, _) => Claim::Make,
        (true, true) => Claim::Keep,
        (true, false) => Claim::Taken,
    }
}

/// Runs until the process is told to end.
pub async fn run(operator: Operator, namespace: Option<String>) {
    tokio::join!(
        watch(&operator, namespace.as_ref(), |controller: Controller<Watched<RegistryUser>>| controller),
        watch(&operator, namespace.as_ref(), |controller: Controller<Watched<RegistryRobot>>| {
            // A pull secret that somebody changes or deletes is made again at once.
            let secrets = api::<PartialObjectMeta<Secret>>(&operator.client, namespace.as_ref());
            controller.watches(secrets, watcher::Config::default().labels(ROBOT).page_size(PAGE), |secret| {
                let (namespace, name) = pull_secret::robot_of(secret.annotations())?;
                Some(ObjectRef::new(&name).within(&namespace))
            })
        }),
        watch(&operator, namespace.as_ref(), |controller: Controller<Watched<RegistryPolicy>>| controller),
    );
}

type Watched<K> = PartialObjectMeta<K>;

async fn watch<K: Access>(
    operator: &Operator,
    within: Option<&String>,
    with: impl FnOnce(Controller<Watched<K>>) -> Controller<Watched<K>>,
) {
    let watches = Watches::new(K::WATCH, &operator.metrics);
    let controller =
        Controller::new(api::<Watched<K>>(&operator.client, within), watcher::Config::default().page_size(PAGE));
    with(controller)
        .with_config(Config::default().debounce(Duration::from_millis(100)).concurrency(16))
        .shutdown_on_signal()
        .run(reconcile::<K>, failed::<K>, Arc::new(operator.clone()))
        .for_each(|result| {
            watches.look(result.err());
            std::future::ready(())
        })
        .await;
}

async fn reconcile<K: Access>(watched: Arc<Watched<K>>, operator: Arc<Operator>) -> Result<Action, PassError> {
    let Some(_share) = operator.shares.take(&watched.namespace().unwrap_or_default()) else {
        return Ok(Action::requeue(BUSY));
    };
    tokio::time::timeout(LONGEST, Box::pin(pass(&watched, &operator))).await.unwrap_or(Err(PassError::Slow))
}

async fn pass<K: Access>(watched: &Watched<K>, operator: &Operator) -> Result<Action, PassError> {
    let (name, namespace) = (watched.name_any(), watched.namespace().unwrap_or_default());
    // Read anew: what was noted in the last pass stands in its status, and the watch may be behind.
    let api = Api::<DeserializeGuard<K>>::namespaced(operator.client.clone(), &namespace);
    let Some(fresh) = api.get_opt(&name).await.map_err(PassError::Read)? else { return Ok(Action::await_change()) };
    let object = fresh.0.map_err(|invalid| PassError::Unreadable(invalid.error))?;
    let is_deleted = object.meta().deletion_timestamp.is_some();
    if is_deleted && !object.finalizers().iter().any(|one| one == FINALIZER) {
        return Ok(Action::await_change()); // others keep it
    }
    let door = door::open(operator, &namespace, object.registry()).await;
    let known = door.as_ref().ok().cloned();
    let mut work = Work::new(&object, operator);
    let looked = if is_deleted {
        match work.end(door).await {
            Ok(()) => return Ok(Action::await_change()),
            Err(trouble) => Err(trouble),
        }
    } else {
        let looked = work.look(door).await;
        // Another node leads by now: that is no news about the object.
        if looked.is_err() && known.is_some_and(|known| known.is_broken()) {
            work.look(door::open(operator, &namespace, object.registry()).await).await
        } else {
            looked
        }
    };
    let (least, stuck) = match looked {
        Ok(Kept { message, due }) => {
            work.say("True", "Applied", &message);
            (due.min(AT_REST), None)
        }
        Err(trouble) => {
            work.say("False", trouble.reason, &trouble.message);
            (REFUSED, Some(trouble))
        }
    };
    let (uid, now) = (object.uid().unwrap_or_default(), Instant::now());
    if let Some(Trouble { reason, message }) = &stuck {
        let said = memory::Trouble::counting(reason, "", message, message.clone());
        for news in operator.memory.news(&uid, &[said], now) {
            work.tell(EventType::Warning, &news.reason, &news.message).await;
        }
    }
    work.write().await?;
    let stuck = stuck.map(|trouble| trouble.message);
    Ok(Action::requeue(operator.memory.wait(&uid, stuck, least, AT_REST, now)))
}

fn failed<K: Access>(watched: Arc<Watched<K>>, error: &PassError, operator: Arc<Operator>) -> Action {
    let (name, namespace) = (watched.name_any(), watched.namespace());
    tracing::warn!(kind = %K::kind(&()), name, namespace, error = chain(error), "could not look after an object");
    if matches!(error, PassError::Unreadable(_)) {
        operator.metrics.broken.inc();
    }
    let uid = watched.uid().unwrap_or_default();
    Action::requeue(operator.memory.wait(&uid, Some(chain(error)), REFUSED, AT_REST, Instant::now()))
}

#[cfg(test)]
mod tests;
