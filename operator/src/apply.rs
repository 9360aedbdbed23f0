//! Makes the objects of a registry what they should be: only those that are not, so that a registry at rest causes no
//! writes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::{Api, Client, ResourceExt};
use roadstead::metrics::sum_of;
use serde_json::Value;

use crate::act::exactly;
use crate::crd::Registry;
use crate::names::{MANAGER, Names};
use crate::object::{KINDS, Kind, Object, has, text_of};
use crate::observe::Observed;
use crate::optional::Optional;

/// On each object: what it was made from.
const APPLIED: &str = "roadstead.dev/applied";
/// On a Secret that cert-manager made: the Certificate that asked for it.
const CERTIFICATE: &str = "cert-manager.io/certificate-name";
/// An object that nobody looked at for this long is gone.
const GONE: Duration = Duration::from_hours(1);

/// What was done to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `Created`, `Updated` or `Deleted`.
    pub reason: &'static str,
    pub kind: &'static str,
    pub name: String,
}

/// Why an object could not be made what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("could not apply the {kind} {name}")]
    Apply {
        kind: &'static str,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("could not read the {kind} {name}")]
    Read {
        kind: &'static str,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("could not delete the {kind} {name}")]
    Delete {
        kind: &'static str,
        name: String,
        #[source]
        source: kube::Error,
    },
    #[error("the {kind} {name} is there and belongs to something else: delete or rename it")]
    Foreign { kind: &'static str, name: String },
}

/// Applies, and remembers in which form the API server has what was applied.
#[allow(missing_debug_implementations, reason = "a client of the API server has none")]
pub struct Applier {
    client: Client,
    /// By the uid of an object.
    known: Mutex<HashMap<String, Known>>,
}

/// What was applied: the sum of it, which version of the object came of it, and when that was last looked at.
struct Known {
    sum: String,
    version: String,
    seen: Instant,
}

impl Applier {
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Applies what differs, and deletes what should no longer be there. It stops at the first that fails.
    pub async fn apply(
        &self,
        registry: &Registry,
        wanted: &[Object],
        observed: &Observed,
        optional: &Optional,
    ) -> Result<Vec<Change>, ApplyError> {
        let (names, uid) = (&Names::of(registry), registry.metadata.uid.as_deref().unwrap_or_default());
        let mut changes = Vec::new();
        for kind in KINDS.into_iter().filter(|kind| optional.has(*kind)) {
            for object in wanted.iter().filter(|object| object.kind == kind) {
                changes.extend(self.one(names, object, observed).await?);
            }
        }
        for ((kind, name), live) in &observed.objects {
            let is_wanted = wanted.iter().any(|object| object.kind == *kind && object.name == *name);
            // Others copy our labels onto what they make: cert-manager does so from an Ingress.
            let is_ours = owner(live) == Some(uid);
            if is_wanted || !is_ours || !kind.prunable || live.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let api = self.api(&names.namespace, *kind);
            match api.delete(name, &exactly(&live.uid().unwrap_or_default())).await {
                Ok(_) => changes.push(Change { reason: "Deleted", kind: kind.kind, name: name.clone() }),
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(source) => return Err(ApplyError::Delete { kind: kind.kind, name: name.clone(), source }),
            }
        }
        Ok(changes)
    }

    async fn one(&self, names: &Names, object: &Object, observed: &Observed) -> Result<Option<Change>, ApplyError> {
        let ours = object.value.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
        let (live, owner) = if object.kind.kind == "Secret" {
            let live = observed.secrets.get(&object.name);
            (live.map(|secret| serde_json::to_value(secret).unwrap_or(Value::Null)), live.and_then(owner))
        } else {
            let live = observed.objects.get(&(object.kind, object.name.clone()));
            (live.map(text_of), live.and_then(owner))
        };
        // One without an owner is taken over: somebody said so by our label.
        let is_foreign = if live.is_some() {
            owner.is_some() && owner != ours
        } else {
            self.is_foreign(names, object, observed).await?
        };
        if is_foreign {
            return Err(ApplyError::Foreign { kind: object.kind.kind, name: object.name.clone() });
        }
        self.put(&names.namespace, object, live).await
    }

    /// Applies an object, if what is there differs.
    pub async fn put(
        &self,
        namespace: &str,
        object: &Object,
        live: Option<Value>,
    ) -> Result<Option<Change>, ApplyError> {
        let object = &marked(object);
        let kind = object.kind;
        if let Some(live) = &live
            && (has(live, &without_type(&object.value)) || self.is_known(live, &object.value))
        {
            return Ok(None);
        }
        let mut params = PatchParams::apply(MANAGER).force();
        params.field_validation = Some(ValidationDirective::Strict);
        let applied = self.api(namespace, kind).patch(&object.name, &params, &Patch::Apply(&object.value)).await;
        let applied =
            applied.map_err(|source| ApplyError::Apply { kind: kind.kind, name: object.name.clone(), source })?;
        let (uid, version) = (applied.uid().unwrap_or_default(), applied.resource_version().unwrap_or_default());
        let before = live.as_ref().and_then(|live| live.pointer("/metadata/resourceVersion")).and_then(Value::as_str);
        let is_same = before == Some(version.as_str());
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| now.saturating_duration_since(known.seen) < GONE);
        known.insert(uid, Known { sum: sum(&object.value), version: generation(&text_of(&applied)), seen: now });
        drop(known);
        let reason = if live.is_some() { "Updated" } else { "Created" };
        Ok((!is_same).then(|| Change { reason, kind: kind.kind, name: object.name.clone() }))
    }

    /// Whether the object came of applying just this, and nobody has changed what it says since: the API server writes some
    /// values in another way than we do.
    fn is_known(&self, live: &Value, wanted: &Value) -> bool {
        let Some(uid) = live.pointer("/metadata/uid").and_then(Value::as_str) else { return false };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get_mut(uid).is_some_and(|known| {
            known.seen = Instant::now();
            known.version == generation(live) && known.sum == sum(wanted)
        })
    }

    /// Whether an object of this name is there that is not ours: it is not found by our labels.
    async fn is_foreign(&self, names: &Names, object: &Object, observed: &Observed) -> Result<bool, ApplyError> {
        let ours = object.value.pointer("/metadata/ownerReferences/0/uid").and_then(Value::as_str);
        let (kind, name) = (object.kind.kind, &object.name);
        let live = self.api(&names.namespace, object.kind).get_opt(name).await;
        let live = live.map_err(|source| ApplyError::Read { kind, name: name.clone(), source })?;
        let Some(live) = live else { return Ok(false) };
        // What cert-manager was asked for by this Registry, which is to have a certificate of ours now.
        let asked_for = live.annotations().get(CERTIFICATE).filter(|_| kind == "Secret");
        let certificate = asked_for.and_then(|certificate| observed.object("Certificate", certificate));
        if certificate.is_some_and(|certificate| owner(certificate) == ours) {
            return Ok(false);
        }
        // One without an owner is taken over only if somebody said so by our label, which `observed` would have found.
        Ok(owner(&live).is_none_or(|owner| Some(owner) != ours))
    }

    pub fn api(&self, namespace: &str, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }
}

/// The uid of what controls an object.
fn owner(object: &impl ResourceExt) -> Option<&str> {
    let controller = object.owner_references().iter().find(|owner| owner.controller == Some(true));
    controller.map(|owner| owner.uid.as_str())
}

/// The object with a sum of itself: what is no longer wanted of it is not to be seen by what is there, but by this.
fn marked(object: &Object) -> Object {
    let mut marked = object.clone();
    let sum = sum(&object.value);
    if let Some(metadata) = marked.value.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new()));
        annotations[APPLIED] = Value::String(sum.chars().take(16).collect());
    }
    marked
}

fn sum(value: &Value) -> String {
    sum_of(value.to_string().as_bytes())
}

/// Grows when somebody changes what an object says. Kinds without one change their version with every write.
fn generation(live: &Value) -> String {
    let metadata = live.get("metadata");
    let of = |name: &str| metadata.and_then(|metadata| metadata.get(name)).filter(|value| !value.is_null());
    of("generation").or_else(|| of("resourceVersion")).map(ToString::to_string).unwrap_or_default()
}

/// Items of a list do not say what they are.
fn without_type(value: &Value) -> Value {
    let mut value = value.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    value
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    /// An API server that has nothing, and the calls that came to it.
    fn server() -> (Applier, Arc<Mutex<Vec<String>>>) {
        let nothing =
            json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404 });
        server_that_has(404, &nothing)
    }

    /// An API server that gives one answer to all who read.
    fn server_that_has(code: u16, what: &Value) -> (Applier, Arc<Mutex<Vec<String>>>) {
        let what = what.clone();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&calls);
        let service = tower::service_fn(move |request: Request<Body>| {
            let call = format!("{} {}", request.method(), request.uri().path().rsplit('/').next().unwrap());
            let is_get = request.method() == http::Method::GET;
            noted.lock().unwrap().push(call);
            let answer = if is_get {
                what.clone()
            } else {
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } })
            };
            let answer = Response::builder()
                .status(if is_get { code } else { 200 })
                .body(Body::from(answer.to_string().into_bytes()));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        (Applier::new(Client::new(service, "ns")), calls)
    }

    fn registry() -> Registry {
        serde_json::from_value(json!({
            "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns", "uid": "ours" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "b" } } },
        }))
        .unwrap()
    }

    fn observed(kind: &str, names: &[(&str, Option<&str>)]) -> Observed {
        let mut observed = Observed::default();
        for (name, controller) in names {
            let owners: Vec<Value> = controller
                .iter()
                .map(|uid| json!({ "apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": true }))
                .collect();
            let metadata = json!({ "name": name, "uid": format!("{name}-uid"), "ownerReferences": owners });
            let object = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            observed.objects.insert((Kind::named(kind).unwrap(), (*name).to_owned()), object);
        }
        observed
    }

    #[tokio::test]
    async fn only_what_this_registry_controls_is_pruned() {
        let (applier, calls) = server();
        let observed =
            observed("Ingress", &[("mine", Some("ours")), ("of-an-earlier-one", Some("old")), ("nobodys", None)]);
        let changes = applier.apply(&registry(), &[], &observed, &Optional::default()).await.unwrap();
        assert_eq!(changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), ["mine"]);
        assert_eq!(*calls.lock().unwrap(), ["DELETE mine"]);
    }

    #[tokio::test]
    async fn what_somebody_else_controls_is_not_adopted_even_with_our_label() {
        let observed = observed("ConfigMap", &[("theirs", Some("other")), ("mine", Some("ours")), ("nobodys", None)]);
        for (name, is_applied) in [("theirs", false), ("mine", true), ("nobodys", true)] {
            let (applier, calls) = server();
            let result =
                applier.apply(&registry(), &[to_make("ConfigMap", name)], &observed, &Optional::default()).await;
            let is_foreign = matches!(result, Err(ApplyError::Foreign { .. }));
            assert_eq!(is_foreign, !is_applied, "{name}: {result:?}");
            let patched = calls.lock().unwrap().contains(&format!("PATCH {name}"));
            assert_eq!(patched, is_applied, "{name}");
        }
    }

    fn to_make(kind: &str, name: &str) -> Object {
        let owners = json!([{ "uid": "ours", "controller": true }]);
        Object::new(json!({ "kind": kind, "metadata": { "name": name, "ownerReferences": owners } }))
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_not_taken_for_nobodys() {
        let busy = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "busy", "code": 429 });
        let (applier, calls) = server_that_has(429, &busy);
        let wanted = [to_make("ConfigMap", "r-ca")];
        let result = applier.apply(&registry(), &wanted, &Observed::default(), &Optional::default()).await;
        assert!(matches!(result, Err(ApplyError::Read { .. })), "{result:?}");
        assert_eq!(*calls.lock().unwrap(), ["GET r-ca"]);
    }

    #[tokio::test]
    async fn the_secret_that_cert_manager_made_for_this_registry_becomes_ours_and_no_other_does() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": "r-tls", "uid": "s", "annotations": { CERTIFICATE: "r-tls" } },
        });
        for (what, certificates, is_ours) in [
            ("asked for by us", vec![("r-tls", Some("ours"))], true),
            ("by somebody else", vec![("r-tls", Some("other"))], false),
            ("by nobody", vec![("r-tls", None)], false),
            ("for another", vec![("other", Some("ours"))], false),
            ("nobody knows why", vec![], false),
        ] {
            let (applier, calls) = server_that_has(200, &secret);
            let observed = observed("Certificate", &certificates);
            let result =
                applier.apply(&registry(), &[to_make("Secret", "r-tls")], &observed, &Optional::default()).await;
            assert_eq!(result.is_ok(), is_ours, "{what}: {result:?}");
            assert_eq!(calls.lock().unwrap().contains(&"PATCH r-tls".to_owned()), is_ours, "{what}");
        }
    }

    #[test]
    fn a_field_that_is_no_longer_wanted_makes_an_object_differ() {
        let metadata = json!({ "name": "a", "annotations": { "role": "x" } });
        let with = marked(&Object::new(json!({ "kind": "ServiceAccount", "metadata": metadata })));
        let without = marked(&Object::new(json!({ "kind": "ServiceAccount", "metadata": { "name": "a" } })));
        assert!(has(&with.value, &with.value));
        assert!(!has(&with.value, &without.value), "what is there has all that is wanted, and more than that");
    }
}
