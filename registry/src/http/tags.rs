//! `tags/list` and the history of a tag.

use http::{Response, StatusCode};
use serde::Serialize;

use super::reply::{self, Reply};
use super::{Call, pages};
use crate::error::{ApiError, Code};
use crate::index::command::Refusal;
use crate::index::query::{Found, ListTags, TagChange, TagHistory};
use crate::oci::action::PageRequest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

#[derive(Serialize)]
struct TagList {
    name: RepositoryName,
    tags: Vec<Tag>,
}

pub async fn list(call: &Call, repository: RepositoryName, page: &PageRequest) -> Reply {
    let limit = pages::limit(page);
    let query = ListTags { repository: repository.clone(), last: page.last.clone(), limit };
    let found = call.session.query(query).await?.ok_or_else(unknown_repository)?;
    let mut builder = Response::builder();
    if let (true, Some(last)) = (found.more, found.items.last()) {
        builder = pages::link(builder, &format!("/v2/{repository}/tags/list"), &[], limit, last.as_str());
    }
    reply::json(builder, "application/json", &TagList { name: repository, tags: found.items })
}

/// There is no such repository, or none that the client may know of.
pub fn unknown_repository() -> ApiError {
    Refusal::RepositoryUnknown.into()
}

#[derive(Serialize)]
struct History {
    name: RepositoryName,
    tag: Tag,
    /// Newest first.
    changes: Vec<TagChange>,
}

pub async fn history(call: &Call, repository: RepositoryName, tag: Tag, page: &PageRequest) -> Reply {
    let limit = pages::limit(page);
    let query = TagHistory { repository: repository.clone(), tag: tag.clone(), limit };
    match call.session.query(query).await? {
        Found::Here(mut changes) => {
            // The names of accounts are for those who have one.
            if call.session.caller.subject.is_none() {
                for change in &mut changes {
                    change.who = None;
                }
            }
            reply::json(Response::builder(), "application/json", &History { name: repository, tag, changes })
        }
        Found::NoRepository => Err(unknown_repository()),
        Found::Nothing => {
            let text = "there is no such tag in this repository, and there was none";
            Err(ApiError::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, text))
        }
    }
}
