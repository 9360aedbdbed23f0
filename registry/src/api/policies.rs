//! Policies, and what decides a question.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::json;

use super::body::NamedPolicy;
use super::{Answer, Desk, bad, done, json as reply, missing};
use crate::auth::policy::{Policy, Verb};
use crate::index::access::{AccessChange, Explain, ListPolicies};
use crate::oci::name::RepositoryName;

#[utoipa::path(get, path = "/api/v1/policies", responses((status = 200, description = "All policies in the order of their names")))]
pub async fn list(desk: Desk<'_>) -> Answer {
    let found = desk.index.query(ListPolicies).await?;
    let found: Vec<_> = found.into_iter().map(|(name, policy)| NamedPolicy { name, policy }).collect();
    reply(StatusCode::OK, &json!({ "policies": found }))
}

#[utoipa::path(get, path = "/api/v1/policies/{name}", responses((status = 200, body = NamedPolicy)))]
pub async fn get(desk: Desk<'_>, name: &str) -> Answer {
    let found = desk.index.query(ListPolicies).await?.into_iter().find(|(known, _)| known == name);
    let (name, policy) = found.ok_or_else(|| missing(format!("there is no policy {name}")))?;
    reply(StatusCode::OK, &NamedPolicy { name, policy })
}

#[utoipa::path(put, path = "/api/v1/policies/{name}", request_body(content = Object), responses((status = 200, body = NamedPolicy)))]
pub async fn put(desk: Desk<'_>, name: &str, policy: Policy) -> Answer {
    desk.change(AccessChange::PutPolicy { name: name.to_owned(), policy }).await?;
    get(desk, name).await
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
