//! Policies, and what decides a question.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::json;

use super::body::NamedPolicy;
use super::{Answer, Desk, bad, done, json as reply, missing};
use crate::auth::policy::{Policy, Subjects, Verb};
use crate::index::access::{AccessChange, Explain, ListIssuers, ListPolicies};
use crate::oci::name::RepositoryName;

/// What subjects begin with, besides the names of issuers.
const KINDS: [&str; 6] = ["user", "robot", "group", "ldap", "kubernetes", "certificate"];

#[utoipa::path(get, path = "/api/v1/policies", responses((status = 200, description = "All policies in the order of their names")))]
pub async fn list(desk: Desk<'_>) -> Answer {
    let found = desk.index.query(ListPolicies).await?;
    let found: Vec<_> =
        found.into_iter().map(|(name, policy)| NamedPolicy { name, policy, warnings: Vec::new() }).collect();
    reply(StatusCode::OK, &json!({ "policies": found }))
}

#[utoipa::path(get, path = "/api/v1/policies/{name}", responses((status = 200, body = NamedPolicy)))]
pub async fn get(desk: Desk<'_>, name: &str) -> Answer {
    let found = desk.index.query(ListPolicies).await?.into_iter().find(|(known, _)| known == name);
    let (name, policy) = found.ok_or_else(|| missing(format!("there is no policy {name}")))?;
    reply(StatusCode::OK, &NamedPolicy { name, policy, warnings: Vec::new() })
}

#[utoipa::path(put, path = "/api/v1/policies/{name}", request_body(content = Object), responses((status = 200, body = NamedPolicy)))]
pub async fn put(desk: Desk<'_>, name: &str, policy: Policy) -> Answer {
    let issuers = desk.index.query(ListIssuers).await?;
    let warnings: Vec<_> = nobodies(&policy, |kind| issuers.iter().any(|issuer| issuer.name == kind))
        .into_iter()
        .map(|subject| format!("nobody is called {subject}: no issuer has that name, nor is it user, robot or group"))
        .collect();
    desk.change(AccessChange::PutPolicy { name: name.to_owned(), policy: policy.clone() }).await?;
    reply(StatusCode::OK, &NamedPolicy { name: name.to_owned(), policy, warnings })
}

/// Subjects of a kind that nobody has: most likely a slip, or their issuer is not there yet.
fn nobodies(policy: &Policy, is_issuer: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let subjects = policy.rules.iter().flat_map(|rule| &rule.subjects).map(Subjects::as_str);
    let is_nobody =
        |text: &&str| text.split_once(':').is_some_and(|(kind, _)| !KINDS.contains(&kind) && !is_issuer(kind));
    subjects.filter(is_nobody).collect()
}

#[utoipa::path(delete, path = "/api/v1/policies/{name}", responses((status = 204, description = "Its rules are not in force any more")))]
pub async fn delete(desk: Desk<'_>, name: &str) -> Answer {
    desk.change(AccessChange::DeletePolicy { name: name.to_owned() }).await?;
    done()
}

/// Which rule decides.
#[utoipa::path(get, path = "/api/v1/explain", params(("subject" = Option<String>, Query, description = "user:<name>, robot:<name>, ldap:<name>, that of another issuer, or anonymous"), ("group" = Vec<String>, Query, description = "groups that somebody else vouches for"), ("verb" = String, Query), ("repository" = String, Query)), responses((status = 200, description = "Whether it is allowed, and why")))]
pub async fn explain(
    desk: Desk<'_>,
    subject: Option<&str>,
    groups: &BTreeSet<String>,
    verb: Verb,
    repository: &RepositoryName,
) -> Answer {
    if let Some(words) =
        subject.filter(|subject| subject.starts_with("group:") || ["everyone", "authenticated"].contains(subject))
    {
        let text = format!(
            "{words} is nobody: say who asks, such as user:<name>, and the groups that he is in besides with --group"
        );
        return Err(bad(text));
    }
    let ask = Explain {
        subject: subject.map(str::to_owned),
        groups: groups.clone(),
        verb,
        repository: repository.clone(),
        everyone: desk.everyone,
        at: desk.index.time(),
    };
    let found = desk.index.query(ask).await?;
    reply(StatusCode::OK, &json!({ "allowed": found.is_allowed, "reason": found.reason }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_subject_that_nobody_has_is_told() {
        let subjects = json!(["user:bob", "usr:bob", "grp:dev", "ci:main", "group:ci:dev", "everyone", "robots:*"]);
        let rule = json!({ "subjects": subjects, "repositories": ["**"], "role": "pull" });
        let policy: Policy = serde_json::from_value(json!({ "rules": [rule] })).unwrap();
        assert_eq!(nobodies(&policy, |kind| kind == "ci"), BTreeSet::from(["grp:dev", "robots:*", "usr:bob"]));
    }
}
