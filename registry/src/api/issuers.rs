//! Issuers of tokens who are trusted, and where people log in with one.

use http::StatusCode;
use serde_json::json;

use super::body::NamedIssuer;
use super::{Answer, Desk, done, json as reply, missing};
use crate::auth::issuer::Issuer;
use crate::index::access::{AccessChange, IssuerView, ListIssuers};

impl From<IssuerView> for NamedIssuer {
    fn from(view: IssuerView) -> Self {
        Self { name: view.name, issuer: view.issuer }
    }
}

#[utoipa::path(get, path = "/api/v1/issuers", responses((status = 200, description = "All issuers in the order of their names")))]
pub async fn list(desk: Desk<'_>) -> Answer {
    let found: Vec<_> = desk.index.query(ListIssuers).await?.into_iter().map(NamedIssuer::from).collect();
    reply(StatusCode::OK, &json!({ "issuers": found }))
}

#[utoipa::path(get, path = "/api/v1/issuers/{name}", responses((status = 200, body = NamedIssuer)))]
pub async fn get(desk: Desk<'_>, name: &str) -> Answer {
    let found = desk.index.query(ListIssuers).await?.into_iter().find(|view| view.name == name);
    reply(StatusCode::OK, &NamedIssuer::from(found.ok_or_else(|| missing(format!("there is no issuer {name}")))?))
}

#[utoipa::path(put, path = "/api/v1/issuers/{name}", request_body(content = Object), responses((status = 200, body = NamedIssuer)))]
pub async fn put(desk: Desk<'_>, name: &str, issuer: Issuer) -> Answer {
    desk.change(AccessChange::PutIssuer { name: name.to_owned(), issuer }).await?;
    get(desk, name).await
}

#[utoipa::path(delete, path = "/api/v1/issuers/{name}", responses((status = 204, description = "Its tokens are good for nothing any more")))]
pub async fn delete(desk: Desk<'_>, name: &str) -> Answer {
    desk.change(AccessChange::DeleteIssuer { name: name.to_owned() }).await?;
    done()
}

/// Where people can log in with a program of their own: for everyone, since nobody has logged in yet.
#[utoipa::path(get, path = "/api/v1/login", responses((status = 200, description = "Issuers with a client for people")))]
pub async fn login(desk: Desk<'_>) -> Answer {
    let found = desk.index.query(ListIssuers).await?.into_iter().filter_map(|view| {
        let client = view.issuer.client_id?;
        Some(json!({
            "name": view.name, "issuer": view.issuer.issuer, "clientId": client, "scopes": view.issuer.scopes,
            "clientSecret": view.issuer.client_secret,
        }))
    });
    reply(StatusCode::OK, &json!({ "issuers": found.collect::<Vec<_>>() }))
}
