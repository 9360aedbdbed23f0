//! How the operator gets at a registry's index: through the node that leads, which is remembered for a while, since many
//! objects may be of one registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, ResourceExt};
use roadstead::index::level::ACCESS;
use roadstead::index::peers::connection::Peer;

use super::Trouble;
use super::call::Door;
use crate::controller::Operator;
use crate::crd::Registry;
use crate::names::Names;
use crate::{keep, look, observe};

/// For so long whoever led is taken for the leader.
const LEADS: Duration = Duration::from_secs(20);
/// The longest answer that is read, in bytes: all policies together are at most a MiB.
const LARGEST: usize = 4 << 20;

/// The ways that are known, by the uid of a Registry. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<Mutex<HashMap<String, (Instant, Door)>>>);

/// Why there is no way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The registry is no more, and with it what was in it.
    Gone(Trouble),
    /// Nothing was ever put into it this way.
    Never(Trouble),
    /// For now.
    For(Trouble),
}

impl Closed {
    pub fn into_trouble(self) -> Trouble {
        match self {
            Self::Gone(trouble) | Self::Never(trouble) | Self::For(trouble) => trouble,
        }
    }
}

impl Doors {
    fn known(&self, uid: &str, hostname: &str, now: Instant) -> Option<Door> {
        let mut doors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        doors.retain(|_, (found, door)| now.saturating_duration_since(*found) < LEADS && !door.is_broken());
        doors.get(uid).filter(|(_, door)| door.hostname == hostname).map(|(_, door)| door.clone())
    }

    fn remember(&self, uid: &str, door: &Door, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), (now, door.clone()));
    }
}

/// What of a Registry closes the way, whatever its index says. Pure.
fn closed(registry: Option<&Registry>, namespace: &str, name: &str) -> Option<Closed> {
    let Some(registry) = registry else {
        return Some(Closed::Gone(Trouble::new(
            "RegistryMissing",
            format!("there is no Registry {name} in {namespace}"),
        )));
    };
    if registry.metadata.deletion_timestamp.is_some() {
        return Some(Closed::Gone(Trouble::new("RegistryMissing", format!("the Registry {name} is being deleted"))));
    }
    if registry.spec.is_single() {
        let message = format!(
            "a Registry on storage.claim is one process, which the operator cannot ask: use its own program, \
             kubectl -n {namespace} exec -i {name}-0 -- roadstead user, robot or policy"
        );
        return Some(Closed::Never(Trouble::new("NotSupported", message)));
    }
    let is_paused = registry.spec.paused;
    is_paused.then(|| Closed::For(Trouble::new("Paused", format!("the Registry {name} is paused: nothing is changed"))))
}

/// The way into a registry.
pub async fn open(operator: &Operator, namespace: &str, name: &str) -> Result<Door, Closed> {
    let not_ready = |why: String| Closed::For(Trouble::new("RegistryNotReady", why));
    let registry = Api::<Registry>::namespaced(operator.client.clone(), namespace).get_opt(name).await;
    let registry = registry.map_err(|error| Closed::For(Trouble::api(&format!("read the Registry {name}"), &error)))?;
    if let Some(closed) = closed(registry.as_ref(), namespace, name) {
        return Err(closed);
    }
    let Some(registry) = registry else { return Err(not_ready("there is no Registry".into())) };
    let (uid, hostname) = (registry.uid().unwrap_or_default(), &registry.spec.hostname);
    if let Some(door) = operator.doors.known(&uid, hostname, Instant::now()) {
        return Ok(door);
    }
    let names = Names::of(&registry);
    let observed = observe::index(&operator.client, &registry).await;
    let mut observed = observed.map_err(|error| not_ready(crate::controller::chain(&error)))?;
    let identity = keep::identity(&registry, &observed, Timestamp::now().as_second()).map_err(not_ready)?;
    let dialer = observe::dialer(&names, &observed.pods, identity);
    observe::nodes(&names, &mut observed, &dialer).await;
    let view = look::view(&registry, &observed, "", Timestamp::now());
    let leader =
        view.leader().ok_or_else(|| not_ready(format!("no majority of the index of {name} follows a leader")))?;
    if leader.level_in_force < ACCESS {
        let message = format!(
            "the index of {name} has the feature level {} in force, and accounts need {ACCESS}: it is raised by itself once all its nodes know \
             it, unless spec.index.featureLevel is Manual",
            leader.level_in_force
        );
        return Err(Closed::Never(Trouble::new("NotSupported", message)));
    }
    let door = Door::to(Peer::limited(&leader.name, dialer, LARGEST), hostname);
    operator.doors.remember(&uid, &door, Instant::now());
    Ok(door)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn registry(metadata: &Value, spec: &Value) -> Registry {
        let (mut whole, mut named) = (json!({ "hostname": "r.example.com" }), json!({ "name": "images" }));
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        named.as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry", "metadata": named, "spec": whole,
        }))
        .unwrap()
    }

    #[test]
    fn what_stands_in_the_way_is_said_by_its_reason() {
        let s3 = json!({ "storage": { "s3": { "bucket": "b" } } });
        let claim = json!({ "storage": { "claim": { "size": "1Gi" } }, "paused": true });
        let paused = json!({ "storage": { "s3": { "bucket": "b" } }, "paused": true });
        let deleted = json!({ "deletionTimestamp": "2026-11-28T12:00:00Z" });
        for (registry, reason, is_final) in [
            (None, "RegistryMissing", true),
            (Some(registry(&deleted, &paused)), "RegistryMissing", true),
            (Some(registry(&json!({}), &claim)), "NotSupported", true),
            (Some(registry(&json!({}), &paused)), "Paused", false),
        ] {
            let closed = closed(registry.as_ref(), "ns", "images").unwrap();
            assert_eq!(!matches!(closed, Closed::For(_)), is_final, "{closed:?}");
            assert_eq!(closed.into_trouble().reason, reason);
        }
        assert_eq!(closed(Some(&registry(&json!({}), &s3)), "ns", "images"), None);
    }

    #[test]
    fn a_way_is_remembered_for_a_while_and_not_once_nobody_answered() {
        let (doors, now) = (Doors::default(), Instant::now());
        let door = Door::new(Arc::new(|_| unreachable!("nobody calls")), "r.example.com");
        doors.remember("uid", &door, now);
        assert!(doors.known("uid", "r.example.com", now).is_some());
        assert!(doors.known("uid", "other.example.com", now).is_none(), "clients reach it by another name now");
        assert!(doors.known("other", "r.example.com", now).is_none());
        assert!(doors.known("uid", "r.example.com", now + LEADS).is_none());
    }
}
