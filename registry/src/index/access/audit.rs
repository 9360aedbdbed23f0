//! The audit: what it keeps of a change, and how it is asked for.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::AccessChange;
use crate::auth::caller::Denial;
use crate::auth::secret::PasswordHash;
use crate::index::command::Time;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// One record of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audited {
    /// The position of the entry.
    pub position: u64,
    pub time: Time,
    /// The subject; none: nobody known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// The name of the command.
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The account, group or policy that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was to be changed, without secrets; none below [`crate::index::level::AUDIT`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Box<AccessChange>>,
    /// Why it was not allowed; none: it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Denial>,
}

/// Records of the audit behind a position, the oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListAudit {
    pub after: u64,
    pub limit: usize,
    pub repository: Option<RepositoryName>,
    pub who: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    pub items: Vec<Audited>,
    /// Where to go on; none: that was all.
    pub next: Option<u64>,
}

impl AccessChange {
    /// The same without hashes of passwords and tokens and without private keys: what the audit keeps.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut change = self.clone();
        match &mut change {
            Self::PutAccount(put) => put.password.iter_mut().for_each(PasswordHash::blank),
            Self::SetPassword { password, .. } => password.iter_mut().for_each(PasswordHash::blank),
            Self::PutToken(put) => put.hash.clear(),
            Self::PutKey { key, .. } => key.private.clear(),
            Self::OfferFirst { hash, .. } => hash.clear(),
            Self::TakeFirst { hash, password, .. } => {
                hash.clear();
                password.blank();
            }
            // Tokens are named by their ids, and the client secret of an issuer is told to everyone.
            Self::DeleteAccount { .. }
            | Self::DeleteToken { .. }
            | Self::NoteUse { .. }
            | Self::ChangeGroup { .. }
            | Self::PutPolicy { .. }
            | Self::DeletePolicy { .. }
            | Self::PutQuota { .. }
            | Self::DeleteQuota { .. }
            | Self::PutIssuer { .. }
            | Self::DeleteIssuer { .. } => {}
        }
        change
    }
}
