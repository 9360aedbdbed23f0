//! [`decide`]: may this caller do this? One table over every action, so that an endpoint without a permission does not
//! compile. Pure: it must never look at what is stored.

use crate::config::{Access, Anonymous};
use crate::oci::action::Action;

/// Who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Anonymous,
}

/// What is granted to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What callers without an identity may do.
    pub anonymous: Anonymous,
}

impl Policy {
    /// What the configuration grants. Nothing said means everything: `config::check` lets that pass on loopback only.
    pub fn new(access: &Access) -> Self {
        Self { anonymous: access.anonymous.unwrap_or(Anonymous::Delete) }
    }
}

/// What is done about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// The caller may know that it is there, but not do this.
    Deny,
    /// The caller may not know whether it is there: answer as if it were not.
    AsIfAbsent,
}

/// The level that an action needs; none: anyone may do it.
///
/// What belongs to an upload needs the right to push, also to look at it. Deleting is the only thing that takes away
/// what others rely on, and has a level of its own.
pub const fn needed(action: &Action) -> Option<Anonymous> {
    match action {
        // Clients ask this to find out how to log in; it tells nothing.
        Action::CheckVersion => None,
        Action::ListRepositories { .. }
        | Action::GetBlob { .. }
        | Action::GetManifest { .. }
        | Action::ListTags { .. }
        | Action::TagHistory { .. }
        | Action::ListReferrers { .. } => Some(Anonymous::Pull),
        Action::StartUpload { .. }
        | Action::UploadStatus { .. }
        | Action::AppendUpload { .. }
        | Action::FinishUpload { .. }
        | Action::CancelUpload { .. }
        | Action::PutManifest { .. } => Some(Anonymous::Push),
        Action::DeleteBlob { .. } | Action::DeleteManifest { .. } | Action::DeleteTag { .. } => Some(Anonymous::Delete),
    }
}

/// Decides whether `identity` may do `action`.
pub fn decide(identity: &Identity, action: &Action, policy: Policy) -> Decision {
    let granted = match identity {
        Identity::Anonymous => policy.anonymous,
    };
    match needed(action) {
        None => Decision::Allow,
        Some(level) if level <= granted => Decision::Allow,
        // Whoever may not read must not learn what exists from the difference between "no" and "not there".
        Some(_) if granted < Anonymous::Pull => Decision::AsIfAbsent,
        Some(_) => Decision::Deny,
    }
}

/// Whether `identity` may read what is stored.
pub fn may_pull(identity: &Identity, policy: Policy) -> bool {
    match identity {
        Identity::Anonymous => policy.anonymous >= Anonymous::Pull,
    }
}

#[cfg(test)]
mod tests;
