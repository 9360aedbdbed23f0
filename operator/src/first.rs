//! The first administrator of a registry: while it has none, a Secret holds a token, good once and for a day, with which whoever
//! may read it makes one. What is in the Secret afterwards is good for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use roadstead::api::body::FirstOffer;
use roadstead::api::calls::{API, ApiCall, ApiReply};
use roadstead::index::level::ACCESS;
use roadstead::index::peers::connection::{CallError, Peer};
use roadstead::index::peers::dial::Dial;

use crate::apply::{Applier, ApplyError, Change};
use crate::certificates::secrets::secret;
use crate::crd::Registry;
use crate::crd::registry::Anonymous;
use crate::memory::Memory;
use crate::names::Names;
use crate::plan::View;

/// How long a node may take to answer, and how much it may say.
const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER: usize = 64 << 10;
/// When what the Secret holds is good for nothing any more.
const UNTIL: &str = "roadstead.dev/good-until";

/// Why there is no token for the first administrator.
#[derive(Debug, thiserror::Error)]
pub enum FirstError {
    #[error("could not ask the index for a token that makes the first administrator")]
    Ask(#[from] CallError),
    #[error("the index gave no token for the first administrator, but {status}: {body}")]
    Refused { status: u16, body: String },
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Whether a token is to be asked for: somebody must log in, and there is none that is good. Pure.
fn is_due(registry: &Registry, secret: Option<&Secret>, now: Timestamp) -> bool {
    let until = secret.and_then(|secret| secret.annotations().get(UNTIL)?.parse::<Timestamp>().ok());
    registry.spec.access.anonymous != Anonymous::Delete && until.is_none_or(|until| until <= now)
}

/// Sees to it that the Secret holds a token, if one is needed. Gives what was written.
pub(crate) async fn offer(
    memory: &Memory,
    applier: &Applier,
    registry: &Registry,
    view: &View,
    secrets: &BTreeMap<String, Secret>,
    dialer: Option<&Arc<dyn Dial>>,
) -> Result<Option<Change>, FirstError> {
    let (names, uid) = (Names::of(registry), registry.uid().unwrap_or_default());
    let name = names.first_administrator();
    let live = secrets.get(&name);
    if !is_due(registry, live, Timestamp::now()) || memory.has_administrator(&uid, Instant::now()) {
        return Ok(None);
    }
    let leader = view.leader().filter(|leader| leader.level_in_force >= ACCESS);
    let (Some(leader), Some(dialer)) = (leader, dialer) else { return Ok(None) };
    let call =
        ApiCall { method: "POST".into(), path: "first-administrator/offer".into(), query: None, body: "{}".into() };
    let peer = Peer::limited(&leader.name, Arc::clone(dialer), ANSWER);
    let reply: ApiReply = peer.call(API, &call, PATIENCE).await?;
    let offer: FirstOffer = match (reply.status, serde_json::from_slice(&reply.body)) {
        (201, Ok(offer)) => offer,
        // There is one.
        (409, _) => {
            memory.note_administrator(&uid, Instant::now());
            return Ok(None);
        }
        (status, _) => {
            return Err(FirstError::Refused { status, body: String::from_utf8_lossy(&reply.body).into_owned() });
        }
    };
    let data = BTreeMap::from([("token".to_owned(), offer.token)]);
    let object = secret(registry, &name, "Opaque", &BTreeMap::from([(UNTIL.to_owned(), offer.expires)]), data);
    let live = live.map(|secret| serde_json::to_value(secret).unwrap_or(serde_json::Value::Null));
    Ok(applier.put(&names.namespace, &object, live).await?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_asked_for_when_somebody_must_log_in_and_none_is_good() {
        let registry = |anonymous: &str| -> Registry {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry", "metadata": { "name": "images" },
                "spec": { "hostname": "registry.example.com", "access": { "anonymous": anonymous }, "storage": { "claim": { "size": "1Gi" } } },
            }))
            .unwrap()
        };
        let secret = |until: &str| Secret {
            metadata: serde_json::from_value(serde_json::json!({ "annotations": { UNTIL: until } })).unwrap(),
            ..Secret::default()
        };
        let now: Timestamp = "2026-11-28T12:00:00Z".parse().unwrap();
        let due = |anonymous: &str, secret: Option<&Secret>| is_due(&registry(anonymous), secret, now);
        assert!(due("Nothing", None) && due("Pull", None) && due("Push", None));
        assert!(!due("Delete", None), "everyone may do everything");
        assert!(!due("Pull", Some(&secret("2026-11-28T12:00:01Z"))));
        assert!(due("Pull", Some(&secret("2026-11-28T12:00:00Z"))), "it is over");
        assert!(due("Pull", Some(&secret("nonsense"))) && due("Pull", Some(&Secret::default())));
    }
}
