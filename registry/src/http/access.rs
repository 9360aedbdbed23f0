//! What the caller of a request may do: asks [`crate::auth::decide`] and gives its decision the form of an answer.

use http::StatusCode;

use super::Call;
use crate::auth::decide::{Decision, Identity, Policy, decide, may_pull};
use crate::error::{ApiError, Code};
use crate::index::command::Refusal;
use crate::oci::action::Action;
use crate::oci::name::RepositoryName;

/// Refuses what the caller may not do.
pub fn check(call: &Call, action: &Action) -> Result<(), ApiError> {
    match decide(&Identity::Anonymous, action, Policy::new(&call.app.config.access)) {
        Decision::Allow => Ok(()),
        Decision::Deny => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            Code::Denied,
            "this registry does not let everyone do this; its administrator sets access.anonymous",
        )),
        // Word for word what a repository that does not exist gets.
        Decision::AsIfAbsent => Err(Refusal::RepositoryUnknown.into()),
    }
}

/// Whether blobs of the repository may be mounted from.
pub fn may_read(call: &Call, _repository: &RepositoryName) -> bool {
    may_pull(&Identity::Anonymous, Policy::new(&call.app.config.access))
}
