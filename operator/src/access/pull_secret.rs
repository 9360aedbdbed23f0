//! The Secret by which pods pull as a robot: what is in it, whose it is, and which namespaces want it.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::Trouble;
use crate::act::exactly;
use crate::names::{MANAGER, ROBOT};

/// On a pull secret: namespace, name and uid of the RegistryRobot that it is of.
pub const ROBOT_OF: &str = "roadstead.dev/robot-of";
/// Until when its token is fresh; it is good for longer.
pub const FRESH_UNTIL: &str = "roadstead.dev/fresh-until";
/// On a Namespace: that it takes pull secrets from RegistryRobots of that namespace.
pub const FROM: &str = "roadstead.dev/pull-secrets-from";
const DOCKER: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// The RegistryRobot that a pull secret is of: namespace and name.
pub fn robot_of(annotations: &BTreeMap<String, String>) -> Option<(String, String)> {
    let mut parts = annotations.get(ROBOT_OF)?.split('/').map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

/// A pull secret as it should be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The Secret's.
    pub name: String,
    /// The RegistryRobot's.
    pub robot: String,
    /// What [`ROBOT_OF`] says.
    pub of: String,
    pub config: String,
    pub until: Timestamp,
}

/// What docker and kubelet read: how to log in at a host.
pub fn config(host: &str, user: &str, token: &str) -> String {
    let auth = ByteString(format!("{user}:{token}").into_bytes());
    json!({ "auths": { host: { "username": user, "password": token, "auth": auth } } }).to_string()
}

/// The token in a pull secret.
pub fn token_in(secret: &Secret) -> Option<String> {
    let config: Value = serde_json::from_slice(&secret.data.as_ref()?.get(KEY)?.0).ok()?;
    let host = config.get("auths")?.as_object()?.values().next()?;
    Some(host.get("password")?.as_str()?.to_owned())
}

/// Whether a Secret is of this RegistryRobot.
pub fn is_of(secret: &Secret, of: &str) -> bool {
    secret.annotations().get(ROBOT_OF).is_some_and(|found| found == of)
}

/// Whether a namespace takes pull secrets from another one; none: there is no such namespace. Pure.
pub fn consent(from: &str, to: &str, namespace: Option<&Namespace>) -> Result<(), Trouble> {
    if from == to {
        return Ok(());
    }
    let Some(namespace) = namespace else {
        return Err(Trouble::new("NamespaceMissing", format!("there is no namespace {to}")));
    };
    if namespace.labels().get(FROM).is_some_and(|said| said == from) {
        return Ok(());
    }
    let message = format!(
        "the namespace {to} does not say that it takes pull secrets from here: kubectl label namespace {to} {FROM}={from}"
    );
    Err(Trouble::new("NoConsent", message))
}

impl Wanted {
    fn metadata(&self) -> Value {
        json!({
            "name": self.name,
            "labels": { "app.kubernetes.io/managed-by": MANAGER, ROBOT: self.robot },
            "annotations": { ROBOT_OF: self.of, FRESH_UNTIL: self.until.to_string() },
        })
    }

    /// Whether a Secret is just as it should be. Pure.
    fn is(&self, secret: &Secret) -> bool {
        let metadata = serde_json::to_value(&secret.metadata).unwrap_or_default();
        let data = secret.data.as_ref();
        let is_config = data.and_then(|data| data.get(KEY)).is_some_and(|config| config.0 == self.config.as_bytes());
        is_config && data.is_some_and(|data| data.len() == 1) && crate::object::has(&metadata, &self.metadata())
    }

    /// What changes a Secret of this robot, and nothing that has come in its place. Pure.
    fn patch(&self, secret: &Secret) -> Value {
        let mut data = json!({ KEY: ByteString(self.config.clone().into_bytes()) });
        for other in secret.data.iter().flatten().map(|(key, _)| key).filter(|key| *key != KEY) {
            data[other] = Value::Null;
        }
        let mut metadata = self.metadata();
        metadata["uid"] = json!(secret.metadata.uid);
        metadata["resourceVersion"] = json!(secret.metadata.resource_version);
        json!({ "metadata": metadata, "data": data })
    }

    /// Makes the Secret in a namespace as it should be. Gives what was done.
    pub async fn put(
        &self,
        client: &Client,
        namespace: &str,
        live: Option<&Secret>,
    ) -> Result<Option<&'static str>, Trouble> {
        let failed = |error| Trouble::api(&format!("write the Secret {} in {namespace}", self.name), &error);
        let api = Api::<Secret>::namespaced(client.clone(), namespace);
        let Some(live) = live else {
            let data = json!({ KEY: ByteString(self.config.clone().into_bytes()) });
            let secret = json!({ "metadata": self.metadata(), "type": DOCKER, "data": data });
            let secret = serde_json::from_value(secret).map_err(kube::Error::SerdeError).map_err(failed)?;
            // Never over one that has come meanwhile.
            let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
            return api.create(&params, &secret).await.map(|_| Some("Created")).map_err(failed);
        };
        if self.is(live) {
            return Ok(None);
        }
        if live.type_.as_deref() != Some(DOCKER) {
            let message = format!(
                "the Secret {} in {namespace} is of this robot and of another type: delete it, and it is made anew",
                self.name
            );
            return Err(Trouble::new("SecretTaken", message));
        }
        let patch = Patch::Merge(self.patch(live));
        api.patch(&self.name, &PatchParams::default(), &patch).await.map(|_| Some("Updated")).map_err(failed)
    }
}

/// Deletes a pull secret, if it is of this robot. Gives whether it was there.
pub async fn remove(client: &Client, namespace: &str, name: &str, of: &str) -> Result<bool, Trouble> {
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let live = api.get_opt(name).await;
    let live = live.map_err(|error| Trouble::api(&format!("read the Secret {name} in {namespace}"), &error))?;
    let Some(live) = live.filter(|live| is_of(live, of)) else { return Ok(false) };
    match api.delete(name, &exactly(&live.uid().unwrap_or_default())).await {
        Ok(_) => Ok(true),
        // It is gone, or another one has come in its place.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(Trouble::api(&format!("delete the Secret {name} in {namespace}"), &error)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            name: "pull".into(),
            robot: "nodes".into(),
            of: "images/nodes/uid".into(),
            config: config("r.example.com", "nodes", "rst_1"),
            until: "2026-11-29T12:00:00Z".parse().unwrap(),
        }
    }

    fn secret(change: impl FnOnce(&mut Value)) -> Secret {
        let data = json!({ KEY: ByteString(wanted().config.into_bytes()) });
        let mut secret = json!({ "metadata": wanted().metadata(), "type": DOCKER, "data": data });
        change(&mut secret);
        serde_json::from_value(secret).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let secret = secret(|_| {});
        assert_eq!(token_in(&secret).as_deref(), Some("rst_1"));
        assert_eq!(robot_of(secret.annotations()), Some(("images".into(), "nodes".into())));
        assert!(is_of(&secret, "images/nodes/uid") && !is_of(&secret, "images/nodes/another"));
        assert!(wanted().config.contains(r#""auth":"bm9kZXM6cnN0XzE=""#), "{}", wanted().config);
        assert_eq!(token_in(&Secret::default()), None);
    }

    #[test]
    fn whatever_somebody_changes_is_put_back() {
        assert!(wanted().is(&secret(|_| {})));
        assert!(wanted().is(&secret(|secret| secret["metadata"]["labels"]["theirs"] = json!("x"))));
        for change in [
            (|secret: &mut Value| secret["data"][KEY] = json!("e30=")) as fn(&mut Value),
            |secret| secret["data"]["more"] = json!("eA=="),
            |secret| secret["data"] = json!({}),
            |secret| secret["metadata"]["labels"] = json!({}),
            |secret| secret["metadata"]["annotations"][FRESH_UNTIL] = json!("2030-01-01T00:00:00Z"),
        ] {
            let changed = secret(change);
            assert!(!wanted().is(&changed), "{changed:?}");
        }
        let patch = wanted().patch(&secret(|secret| secret["data"]["more"] = json!("eA==")));
        assert!(patch["data"]["more"].is_null() && patch["data"][KEY].is_string(), "{patch}");
    }

    #[test]
    fn other_namespaces_say_themselves_from_where_they_take_secrets() {
        let labelled = |from: &str| Namespace {
            metadata: serde_json::from_value(json!({ "name": "team", "labels": { FROM: from } })).unwrap(),
            ..Namespace::default()
        };
        for (to, namespace, reason) in [
            ("images", None, None),
            ("team", Some(labelled("images")), None),
            ("team", Some(labelled("other")), Some("NoConsent")),
            ("team", Some(Namespace::default()), Some("NoConsent")),
            ("team", None, Some("NamespaceMissing")),
        ] {
            let said = consent("images", to, namespace.as_ref()).err();
            assert_eq!(said.as_ref().map(|trouble| trouble.reason), reason, "{to} {namespace:?}");
            if reason == Some("NoConsent") {
                let advice = "kubectl label namespace team roadstead.dev/pull-secrets-from=images";
                assert!(said.unwrap().message.ends_with(advice));
            }
        }
    }
}
