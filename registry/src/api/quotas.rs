//! Quotas, and what their shares hold.

use http::StatusCode;
use serde_json::json;

use super::body::{NamedQuota, QuotaBody};
use super::{Answer, Desk, bad, done, json as reply, missing};
use crate::index::access::{AccessChange, ListQuotas};

/// Shares of one quota that are told.
const SHARES: usize = 1000;

#[utoipa::path(get, path = "/api/v1/quotas", responses((status = 200, description = "All quotas with what their shares hold")))]
pub async fn list(desk: Desk<'_>) -> Answer {
    let found = desk.index.query(ListQuotas { shares: SHARES }).await?;
    reply(StatusCode::OK, &json!({ "quotas": found.into_iter().map(NamedQuota::from).collect::<Vec<_>>() }))
}

#[utoipa::path(put, path = "/api/v1/quotas/{name}", request_body = QuotaBody, responses((status = 200, body = NamedQuota)))]
pub async fn put(desk: Desk<'_>, name: &str, body: QuotaBody) -> Answer {
    let quota = body.read().map_err(bad)?;
    desk.change(AccessChange::PutQuota { name: name.to_owned(), quota }).await?;
    let found = desk.index.query(ListQuotas { shares: SHARES }).await?.into_iter().find(|quota| quota.name == name);
    let found = found.ok_or_else(|| missing(format!("there is no quota {name}")))?;
    reply(StatusCode::OK, &NamedQuota::from(found))
}

#[utoipa::path(delete, path = "/api/v1/quotas/{name}", responses((status = 204, description = "It limits nothing any more")))]
pub async fn delete(desk: Desk<'_>, name: &str) -> Answer {
    desk.change(AccessChange::DeleteQuota { name: name.to_owned() }).await?;
    done()
}
