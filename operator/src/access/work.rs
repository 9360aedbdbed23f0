//! One look at an object: what is noted of it, said of it and told about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::{Api, ResourceExt};
use roadstead::metrics::sum_of;
use serde::Serialize;
use serde_json::json;

use super::call::Door;
use super::door::Closed;
use super::{ADOPT, Access, AccessStatus, Claim, Kept, Trouble, claim};
use crate::controller::{Operator, PassError, chain};
use crate::crd::access::Applied;
use crate::names::FINALIZER;
use crate::status::Say;

/// What a look works with.
#[allow(missing_debug_implementations, reason = "an operator has none")]
pub struct Work<'a, K: Access> {
    pub object: &'a K,
    pub operator: &'a Operator,
    pub status: K::Status,
    /// The status as the API server has it.
    written: K::Status,
}

impl<'a, K: Access> Work<'a, K> {
    pub fn new(object: &'a K, operator: &'a Operator) -> Self {
        let status = object.status().cloned().unwrap_or_default();
        Self { object, operator, written: status.clone(), status }
    }

    pub fn namespace(&self) -> String {
        self.object.namespace().unwrap_or_default()
    }

    /// By which people know it: `RegistryUser images/alice`.
    pub fn title(&self) -> String {
        format!("{} {}/{}", K::kind(&()), self.namespace(), self.object.name_any())
    }

    /// Makes what is in the registry as the object says.
    pub(super) async fn look(&mut self, door: Result<Door, Closed>) -> Result<Kept, Trouble> {
        let door = match door {
            Ok(door) => door,
            Err(closed) => {
                let trouble = closed.into_trouble();
                if trouble.reason != "Paused" {
                    K::apart(self).await?;
                }
                return Err(trouble);
            }
        };
        self.finalizer(true).await?;
        K::keep(self, &door).await
    }

    /// Takes what is the object's out of the registry, and lets it go.
    pub(super) async fn end(&mut self, door: Result<Door, Closed>) -> Result<(), Trouble> {
        match door {
            Ok(door) => K::remove(self, Some(&door)).await?,
            // With the registry its accounts are gone.
            Err(Closed::Gone(_) | Closed::Never(_)) => K::remove(self, None).await?,
            Err(Closed::For(trouble)) => return Err(trouble),
        }
        self.finalizer(false).await
    }

    /// Keeps the object from going before its registry was told, or lets it go.
    async fn finalizer(&self, is_wanted: bool) -> Result<(), Trouble> {
        let before = self.object.finalizers();
        if before.iter().any(|one| one == FINALIZER) == is_wanted {
            return Ok(());
        }
        let mut wanted: Vec<&str> = before.iter().map(String::as_str).filter(|one| *one != FINALIZER).collect();
        wanted.extend(is_wanted.then_some(FINALIZER));
        // Exactly as it was read: others have finalizers there, too.
        let version = self.object.resource_version();
        let patch = json!({ "metadata": { "finalizers": wanted, "resourceVersion": version } });
        let api = Api::<K>::namespaced(self.operator.client.clone(), &self.namespace());
        match api.patch(&self.object.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(Trouble::api("write the finalizer of this object", &error)),
        }
    }

    /// Whose what is in the registry under `name` is.
    pub fn claim(&self, name: &str, is_there: bool, looks_ours: bool) -> Claim {
        let adopts = self.object.annotations().get(ADOPT).is_some_and(|word| word == "true");
        claim(is_there, name, self.status.applied(), looks_ours, adopts)
    }

    /// That there is something of this name, which is not the object's.
    pub fn taken(&self, what: &str, name: &str) -> Trouble {
        let message = format!(
            "there is a {what} {name} already, which this object did not make: delete it there, or let this object have it with \
             kubectl -n {} annotate {} {} {ADOPT}=true",
            self.namespace(),
            K::kind(&()).to_lowercase(),
            self.object.name_any(),
        );
        Trouble::new("Exists", message)
    }

    /// Notes that what is in the registry under `name` is the object's, before it is made.
    pub async fn note(&mut self, name: &str) -> Result<(), Trouble> {
        if self.status.applied().is_some_and(|applied| applied.name == name) {
            return Ok(());
        }
        self.status.apply(Some(Applied { name: name.to_owned(), sum: None }));
        self.save().await
    }

    /// Notes that it is made, as `what`. Gives whether that is something else than before.
    pub fn made(&mut self, name: &str, what: &impl Serialize) -> bool {
        let sum: String = sum_of(&serde_json::to_vec(what).unwrap_or_default()).chars().take(16).collect();
        let applied = Applied { name: name.to_owned(), sum: Some(sum) };
        let is_other = self.status.applied() != Some(&applied);
        self.status.apply(Some(applied));
        is_other
    }

    /// Notes that what was there is made anew, as `what`, and tells why: the object says something else, or somebody had changed it.
    pub async fn remade(&mut self, kind: &str, name: &str, what: &impl Serialize) {
        if self.made(name, what) {
            self.did("Changed", &format!("the {kind} {name} of {}", self.object.registry())).await;
        } else {
            self.did("Corrected", &format!("the {kind} {name}, which somebody had changed in the registry")).await;
        }
    }

    pub(super) fn say(&mut self, status: &'static str, reason: &str, message: &str) {
        let generation = self.object.meta().generation;
        let said = Say::new("Ready", status, reason, message);
        let condition = said.since(self.written.conditions(), generation, &Time(Timestamp::now()));
        self.status.say(generation, condition);
    }

    /// Writes what was noted, before something is done that relies on it.
    pub async fn save(&mut self) -> Result<(), Trouble> {
        self.write().await.map_err(|error| Trouble::new("ApiRefused", chain(&error)))
    }

    /// Writes the status, if it says something else than the one that is there.
    pub(super) async fn write(&mut self) -> Result<(), PassError> {
        if self.written == self.status {
            return Ok(());
        }
        self.operator.write_status(self.object, &self.status).await?;
        self.written = self.status.clone();
        Ok(())
    }

    pub async fn tell(&self, kind: EventType, reason: &str, note: &str) {
        self.operator.tell(self.object, "Access", kind, reason, note).await;
    }

    /// Tells what was done.
    pub async fn did(&self, reason: &str, note: &str) {
        self.tell(EventType::Normal, reason, note).await;
    }
}
