//! `/v2/_catalog`: the repositories, ordered, in pages.

use http::Response;
use serde::Serialize;

use super::reply::{self, Reply};
use super::{Call, pages};
use crate::oci::action::PageRequest;
use crate::oci::name::RepositoryName;

#[derive(Serialize)]
struct Catalog {
    repositories: Vec<RepositoryName>,
}

pub async fn list(call: &Call, page: &PageRequest) -> Reply {
    let limit = pages::limit(page);
    let found = call.session.repositories(page.last.clone(), limit).await?;
    let mut builder = Response::builder();
    if let (true, Some(last)) = (found.more, found.items.last()) {
        builder = pages::link(builder, "/v2/_catalog", &[], limit, last.as_str());
    }
    reply::json(builder, "application/json", &Catalog { repositories: found.items })
}
