//! A RegistryUser: an account with a password from a Secret.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use roadstead::api::body::{Account, ChangeAccountFields, NewAccount, NewPassword};

use super::call::Door;
use super::work::Work;
use super::{Access, Claim, Kept, Trouble};
use crate::crd::access::Applied;
use crate::crd::user::PasswordSecret;
use crate::crd::{RegistryUser, RegistryUserStatus};
use crate::names::{OF, ROBOT};
use crate::validate::{CERTIFICATE, FOREIGN_SECRETS};

impl Access for RegistryUser {
    type Status = RegistryUserStatus;
    const WATCH: &'static str = "users";

    fn registry(&self) -> &str {
        &self.spec.registry
    }

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    async fn keep(work: &mut Work<'_, Self>, door: &Door) -> Result<Kept, Trouble> {
        let name = work.object.username();
        let fields = fields(work.object, &work.title());
        let password = password(work).await;
        let found = account(work, door, "user", &name, &fields).await?;
        let Some(found) = found else {
            let (password, version) = password?;
            work.note(&name).await?;
            let new = NewAccount { name: name.clone(), password: Some(password), change: fields.clone() };
            door.send("POST", "users", &new).await?.done()?;
            work.status.password = Some(version);
            work.made(&name, &fields);
            work.did("Created", &format!("the user {name} of {}", work.object.spec.registry)).await;
            return Ok(kept(&name));
        };
        // What he may do does not wait for his password: a user who is to be shut out is.
        change(work, door, "user", &found, &fields).await?;
        let (password, version) = password?;
        if work.status.password.as_ref() != Some(&version) || !found.has_password {
            door.send("PUT", &format!("users/{name}/password"), &NewPassword { password }).await?.done()?;
            work.status.password = Some(version);
            work.did("PasswordSet", &format!("the password of the user {name}")).await;
        }
        Ok(kept(&name))
    }

    async fn remove(work: &mut Work<'_, Self>, door: Option<&Door>) -> Result<(), Trouble> {
        delete(work, door, "user").await
    }
}

fn kept(name: &str) -> Kept {
    Kept::new(format!("the user {name} is as this object says"))
}

/// What is said of the account.
fn fields(user: &RegistryUser, title: &str) -> ChangeAccountFields {
    ChangeAccountFields {
        description: Some(title.to_owned()),
        disabled: Some(user.spec.disabled),
        administrator: Some(user.spec.administrator),
        expires: Some(None),
        groups: Some(user.spec.groups.iter().cloned().collect()),
        grants: None,
    }
}

/// The password, and by which version of its Secret it is known again: no sum of it may stand where others read.
async fn password(work: &Work<'_, RegistryUser>) -> Result<(String, String), Trouble> {
    let wanted = &work.object.spec.password_secret;
    let api = Api::<Secret>::namespaced(work.operator.client.clone(), &work.namespace());
    let secret = api.get_opt(&wanted.name).await;
    let secret = secret.map_err(|error| Trouble::api(&format!("read the Secret {}", wanted.name), &error))?;
    let version = secret.as_ref().map(|secret| {
        format!("{}/{}/{}", secret.uid().unwrap_or_default(), wanted.key, secret.resource_version().unwrap_or_default())
    });
    Ok((read(wanted, secret.as_ref())?, version.unwrap_or_default()))
}

/// The password in a Secret, if that is one for passwords. Pure.
fn read(wanted: &PasswordSecret, secret: Option<&Secret>) -> Result<String, Trouble> {
    let PasswordSecret { name, key } = wanted;
    let missing = |what: &str| Trouble::new("SecretMissing", format!("spec.passwordSecret: {what}"));
    let secret = secret.ok_or_else(|| missing(&format!("there is no Secret {name} in this namespace")))?;
    let kind = secret.type_.as_deref().unwrap_or_default();
    let is_ours = [OF, ROBOT].iter().any(|label| secret.labels().contains_key(*label));
    if is_ours || FOREIGN_SECRETS.contains(&kind) || kind == CERTIFICATE {
        let whose = if is_ours { "the operator" } else { kind };
        let message =
            format!("spec.passwordSecret: the Secret {name} is for something else ({whose}): make one of its own");
        return Err(Trouble::new("ForeignSecret", message));
    }
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let bytes = bytes.ok_or_else(|| missing(&format!("the Secret {name} has no key {key}")))?;
    let text = std::str::from_utf8(&bytes.0).map_err(|_| missing(&format!("{key} of the Secret {name} is no text")))?;
    // That of a file that an editor wrote ends with a line's end.
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() { Err(missing(&format!("{key} of the Secret {name} is empty"))) } else { Ok(text.to_owned()) }
}

/// The account of this kind and name, if it is there and the object's; none: it may be made.
pub(super) async fn account<K: Access>(
    work: &mut Work<'_, K>,
    door: &Door,
    kind: &str,
    name: &str,
    fields: &ChangeAccountFields,
) -> Result<Option<Account>, Trouble> {
    let found: Option<Account> = door.get(&format!("{kind}s/{name}")).await?;
    let looks_ours = found.as_ref().is_some_and(|found| Some(&found.description) == fields.description.as_ref());
    match work.claim(name, found.is_some(), looks_ours) {
        Claim::Keep => {
            work.note(name).await?;
            Ok(found)
        }
        Claim::Taken => Err(work.taken(kind, name)),
        Claim::Make => {
            // Both kinds have one table of names.
            let other = if kind == "user" { "robot" } else { "user" };
            match door.get::<Account>(&format!("{other}s/{name}")).await? {
                None => Ok(None),
                Some(_) => Err(Trouble::new(
                    "Exists",
                    format!("there is a {other} {name} already: give this {kind} another name"),
                )),
            }
        }
    }
}

/// Makes an account that is there as the object says.
pub(super) async fn change<K: Access>(
    work: &mut Work<'_, K>,
    door: &Door,
    kind: &str,
    found: &Account,
    wanted: &ChangeAccountFields,
) -> Result<(), Trouble> {
    let name = found.name.clone();
    if !is_as(found, wanted) {
        door.send("PATCH", &format!("{kind}s/{name}"), wanted).await?.done()?;
        work.remade(kind, &name, wanted).await;
    }
    work.made(&name, wanted);
    Ok(())
}

/// Whether an account is as it is wanted. Pure.
fn is_as(found: &Account, wanted: &ChangeAccountFields) -> bool {
    let grants = |bodies: &[roadstead::api::body::GrantBody]| roadstead::api::body::grants(bodies);
    wanted.description.as_ref().is_none_or(|text| *text == found.description)
        && wanted.disabled.is_none_or(|is| is == found.disabled)
        && wanted.administrator.is_none_or(|is| is == found.administrator)
        && wanted.expires.as_ref().is_none_or(|expires| *expires == found.expires)
        && wanted.groups.as_ref().is_none_or(|groups| *groups == found.groups)
        && wanted.grants.as_deref().is_none_or(|wanted| grants(wanted) == grants(&found.grants))
}

/// Deletes the account that is the object's.
pub(super) async fn delete<K: Access>(work: &mut Work<'_, K>, door: Option<&Door>, kind: &str) -> Result<(), Trouble> {
    let noted: Option<Applied> = super::AccessStatus::applied(&work.status).cloned();
    let (Some(door), Some(Applied { name, sum })) = (door, noted) else { return Ok(()) };
    let path = format!("{kind}s/{name}");
    if sum.is_none() {
        // It was going to be made: what is there may be somebody else's.
        let found: Option<Account> = door.get(&path).await?;
        if found.is_none_or(|found| found.description != work.title()) {
            return Ok(());
        }
    }
    if door.delete(&path).await? {
        work.did("Deleted", &format!("the {kind} {name} of {}", work.object.registry())).await;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_password_is_read_from_secrets_for_passwords_alone() {
        let wanted = PasswordSecret { name: "alice".into(), key: "password".into() };
        let secret = |kind: &str, labels: serde_json::Value, data: serde_json::Value| -> Secret {
            serde_json::from_value(
                json!({ "type": kind, "metadata": { "name": "alice", "labels": labels }, "data": data }),
            )
            .unwrap()
        };
        let good = json!({ "password": "c2VjcmV0Cg==" });
        for (secret, said) in [
            (Some(secret("Opaque", json!({}), good.clone())), Ok("secret")),
            (Some(secret("kubernetes.io/basic-auth", json!({}), good.clone())), Ok("secret")),
            (None, Err("SecretMissing")),
            (Some(secret("Opaque", json!({}), json!({ "other": "eA==" }))), Err("SecretMissing")),
            (Some(secret("Opaque", json!({}), json!({ "password": "Cg==" }))), Err("SecretMissing")),
            (Some(secret("Opaque", json!({}), json!({ "password": "//8=" }))), Err("SecretMissing")),
            (Some(secret("kubernetes.io/service-account-token", json!({}), good.clone())), Err("ForeignSecret")),
            (Some(secret("kubernetes.io/dockerconfigjson", json!({}), good.clone())), Err("ForeignSecret")),
            (Some(secret("kubernetes.io/tls", json!({}), good.clone())), Err("ForeignSecret")),
            (Some(secret("Opaque", json!({ OF: "images" }), good.clone())), Err("ForeignSecret")),
            (Some(secret("Opaque", json!({ ROBOT: "nodes" }), good.clone())), Err("ForeignSecret")),
        ] {
            let found = read(&wanted, secret.as_ref());
            assert_eq!(found.as_deref().map_err(|trouble| trouble.reason), said, "{secret:?}");
        }
    }

    #[test]
    fn an_account_differs_by_what_the_object_says_of_it_and_by_nothing_else() {
        let found: Account = serde_json::from_value(json!({
            "name": "ci", "kind": "robot", "description": "ours", "created": "2026-11-28T12:00:00Z", "disabled": false,
            "administrator": false, "groups": ["dev"], "grants": [{ "repositories": "team/**", "role": "pull" }], "hasPassword": false,
        }))
        .unwrap();
        for (change, is_same) in [
            (json!({}), true),
            (json!({ "description": "ours", "disabled": false, "administrator": false, "expires": null }), true),
            (json!({ "groups": ["dev"] }), true),
            (json!({ "grants": [{ "repositories": "team/**", "verbs": ["pull"] }] }), true),
            (json!({ "grants": [{ "repositories": "team/**", "role": "push" }] }), false),
            (json!({ "groups": ["dev", "ops"] }), false),
            (json!({ "disabled": true }), false),
            (json!({ "description": "somebody's" }), false),
            (json!({ "expires": "2027-11-28T12:00:00Z" }), false),
        ] {
            let wanted: ChangeAccountFields = serde_json::from_value(change.clone()).unwrap();
            assert_eq!(is_as(&found, &wanted), is_same, "{change}");
        }
    }
}
