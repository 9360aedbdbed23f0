//! Who changed what, in the order of the log.

pub(super) mod words;

use http::StatusCode;
use serde_json::json;

use super::body::AuditRecord;
use super::{Answer, Desk, json as reply};
use crate::index::access::ListAudit;
use crate::oci::name::RepositoryName;

#[utoipa::path(get, path = "/api/v1/audit", params(("after" = Option<u64>, Query, description = "records behind this position"), ("n" = Option<usize>, Query), ("repository" = Option<String>, Query), ("who" = Option<String>, Query)), responses((status = 200, description = "Records, the oldest first, and where to go on")))]
pub async fn list(
    desk: Desk<'_>,
    after: u64,
    limit: usize,
    repository: Option<RepositoryName>,
    who: Option<String>,
) -> Answer {
    let page = desk.index.query(ListAudit { after, limit, repository, who }).await?;
    let records: Vec<_> = page.items.into_iter().map(AuditRecord::from).collect();
    reply(StatusCode::OK, &json!({ "records": records, "next": page.next }))
}
