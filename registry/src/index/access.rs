//! Accounts, tokens, policies and keys: what may be changed about them, what may be asked, and questions and commands that
//! go with the one who asks, so that the index judges what he may do in the same view or entry.
//!
//! These types are a wire format and a disk format, under the rules of [`super::command`]. All of them need
//! [`super::level::ACCESS`].

mod audit;

use std::collections::BTreeSet;
use std::net::IpAddr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command::{Command, Time};
use super::query::Query;
use crate::auth::caller::{Caller, Denial};
use crate::auth::issuer::Issuer;
use crate::auth::policy::{Grant, Policy, Verb};
use crate::auth::quota::Quota;
use crate::auth::secret::PasswordHash;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
pub use audit::{AuditPage, Audited, ListAudit};

/// A command, by somebody: it is applied only if he may do it by the state that the entry finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnBehalf {
    pub caller: Caller,
    pub command: Command,
}

/// A change of who may do what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessChange {
    /// Makes an account, or changes one; what is none stays.
    PutAccount(PutAccount),
    DeleteAccount {
        name: String,
    },
    /// From now on this is the password, and no other; none: the account has none any more.
    SetPassword {
        account: String,
        password: Option<PasswordHash>,
    },
    PutToken(PutToken),
    DeleteToken {
        account: String,
        id: String,
    },
    /// When tokens were used last, about.
    NoteUse {
        tokens: Vec<(String, Time)>,
    },
    /// Takes accounts into a group and out of it.
    ChangeGroup {
        group: String,
        add: Vec<String>,
        remove: Vec<String>,
    },
    PutPolicy {
        name: String,
        policy: Policy,
    },
    DeletePolicy {
        name: String,
    },
    PutQuota {
        name: String,
        quota: Quota,
    },
    DeleteQuota {
        name: String,
    },
    /// Tokens of this issuer are believed from now on, as it says.
    PutIssuer {
        name: String,
        issuer: Issuer,
    },
    DeleteIssuer {
        name: String,
    },
    /// Signs bearer tokens from now on, unless the newest key is younger than `unless_younger` milliseconds.
    PutKey {
        key: SigningKey,
        unless_younger: u64,
    },
    /// Whoever has the token with this hash may make the first administrator, until then.
    OfferFirst {
        hash: Bytes,
        expires: Time,
    },
    /// The first administrator, made by whoever has that token.
    TakeFirst {
        hash: Bytes,
        name: String,
        password: PasswordHash,
        /// Where the request came from. Needs [`super::level::AUDIT`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<IpAddr>,
    },
}

impl AccessChange {
    /// The name in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PutAccount(_) => "put_account",
            Self::DeleteAccount { .. } => "delete_account",
            Self::SetPassword { .. } => "set_password",
            Self::PutToken(_) => "put_token",
            Self::DeleteToken { .. } => "delete_token",
            Self::NoteUse { .. } => "note_use",
            Self::ChangeGroup { .. } => "change_group",
            Self::PutPolicy { .. } => "put_policy",
            Self::DeletePolicy { .. } => "delete_policy",
            Self::PutQuota { .. } => "put_quota",
            Self::DeleteQuota { .. } => "delete_quota",
            Self::PutIssuer { .. } => "put_issuer",
            Self::DeleteIssuer { .. } => "delete_issuer",
            Self::PutKey { .. } => "put_key",
            Self::OfferFirst { .. } => "offer_first",
            Self::TakeFirst { .. } => "take_first",
        }
    }
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A person: has a password, tokens, and what policies grant.
    User,
    /// A program: has tokens, and what is granted to it alone.
    Robot,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Robot => "robot",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutAccount {
    pub name: String,
    pub kind: Kind,
    /// Only if there is none of this name.
    pub is_new: bool,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub is_disabled: Option<bool>,
    #[serde(default)]
    pub is_administrator: Option<bool>,
    #[serde(default)]
    pub expires: Option<Ends>,
    #[serde(default)]
    pub grants: Option<Vec<Grant>>,
    /// The groups that a user is in, and no others.
    #[serde(default)]
    pub groups: Option<BTreeSet<String>>,
    /// What it is at first, if it is made by this.
    #[serde(default)]
    pub password: Option<PasswordHash>,
}

impl PutAccount {
    /// One that makes this account and says nothing of it, or changes nothing of it.
    pub fn of(name: impl Into<String>, kind: Kind, is_new: bool) -> Self {
        Self {
            name: name.into(),
            kind,
            is_new,
            description: None,
            is_disabled: None,
            is_administrator: None,
            expires: None,
            grants: None,
            groups: None,
            password: None,
        }
    }
}

/// When an account ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    Never,
    At(Time),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutToken {
    pub id: String,
    pub account: String,
    /// See [`crate::auth::secret::TokenText::hash`].
    pub hash: Bytes,
    pub description: String,
    #[serde(default)]
    pub expires: Option<Time>,
    /// What it is limited to; none: all that its account may do.
    #[serde(default)]
    pub limits: Option<Vec<Grant>>,
    /// Of the others of this account at most so many stay, the newest: that is how a secret is changed with overlap.
    #[serde(default)]
    pub keep: Option<u32>,
}

/// How long a key is known after the next has taken its place, in milliseconds: far longer than a token lives.
pub const KEY_KEPT: u64 = 3_600_000;

/// A key that signs bearer tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKey {
    pub id: String,
    /// PKCS #8.
    pub private: Bytes,
    /// The 32 bytes of the public key (RFC 8032).
    pub public: Bytes,
    pub created: Time,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("created", &self.created).finish_non_exhaustive()
    }
}

/// How exact the time of the last use of a token is, in milliseconds.
pub const USE_STEP: u64 = 5 * 60_000;

/// Whether what can be disabled and may end can be used at `now`.
pub fn is_usable(is_disabled: bool, ends: Option<Time>, now: Time) -> bool {
    !is_disabled && ends.is_none_or(|ends| now < ends)
}

/// An account as it stands, without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountView {
    pub name: String,
    pub kind: Kind,
    pub description: String,
    pub created: Time,
    pub is_disabled: bool,
    pub is_administrator: bool,
    pub expires: Option<Time>,
    pub groups: BTreeSet<String>,
    pub grants: Vec<Grant>,
    pub has_password: bool,
}

/// A token as it stands, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    pub id: String,
    pub account: String,
    pub description: String,
    pub created: Time,
    pub expires: Option<Time>,
    pub last_used: Option<Time>,
    pub limits: Option<Vec<Grant>>,
}

/// What is needed to check a password: asked by processes that serve clients, and told to nobody else. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetCredentials {
    pub account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub kind: Kind,
    pub is_disabled: bool,
    /// When the account ends.
    pub ends: Option<Time>,
    pub password: Option<PasswordHash>,
}

/// What is needed to check a token. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetToken {
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCredentials {
    pub account: String,
    pub kind: Kind,
    pub hash: Bytes,
    pub is_disabled: bool,
    /// When it ends, or its account.
    pub ends: Option<Time>,
    pub limits: Option<Vec<Grant>>,
    pub last_used: Option<Time>,
}

/// Keys that sign or signed bearer tokens, the newest first. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListKeys;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetAccount {
    pub name: String,
}

/// Accounts in the order of their names, after `last`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListAccounts {
    pub last: Option<String>,
    pub limit: usize,
}

/// The tokens of an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListTokens {
    pub account: String,
}

/// Policies in the order of their names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListPolicies;

/// Quotas in the order of their names, with what their shares hold, at most `shares` of each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListQuotas {
    pub shares: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    pub name: String,
    pub quota: Quota,
    /// Whether what was there when it was made is counted.
    pub is_counted: bool,
    /// Each share with its bytes and tags.
    pub shares: Vec<(String, u64, u64)>,
}

/// Issuers in the order of their names. Linearizable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListIssuers;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerView {
    pub name: String,
    /// See [`crate::auth::caller::Vouched`].
    pub version: u64,
    pub issuer: Issuer,
}

/// What decides whether somebody may do something.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explain {
    /// As in policies: `user:<name>`, `robot:<name>` and others, or none for nobody known.
    pub subject: Option<String>,
    /// Groups that somebody else than the index would vouch for.
    pub groups: BTreeSet<String>,
    pub verb: Verb,
    pub repository: RepositoryName,
    pub everyone: crate::config::Anonymous,
    /// The index time as the process that asks knows it, as in [`Caller::at`].
    #[serde(default)]
    pub at: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub is_allowed: bool,
    /// A sentence.
    pub reason: String,
}

/// Whether there is an administrator, and whether somebody may make the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GetFirst;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    pub administrators: u64,
    /// Until when a token for the first is good.
    pub offered_until: Option<Time>,
}

/// What somebody asks to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asks {
    /// Nothing, but that what he came with still holds.
    Nothing,
    On(Verb, RepositoryName),
    /// To keep an account: its password and its tokens.
    Keep(String),
    /// To change accounts and policies.
    Administrate,
}

/// May this caller do this?
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authorize {
    pub caller: Caller,
    pub asks: Asks,
    /// The answer must be as new as the question.
    pub is_strict: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorized {
    /// The feature level in force.
    pub level: u32,
}

/// What of these each caller may do: for the access that a bearer token will carry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Allowed {
    pub caller: Caller,
    pub wanted: Vec<(RepositoryName, crate::auth::policy::Verbs)>,
}

/// A question that is about one repository and needs a right there.
pub trait Guarded: Query {
    /// The name of the guarded form between processes; never changes.
    const GUARDED: &'static str;

    fn need(&self) -> (Verb, &RepositoryName);
}

/// A query, by somebody: answered only if he may ask it, by the same view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Asked<Q> {
    pub caller: Caller,
    /// The answer must be as new as the question, whatever it is.
    pub is_strict: bool,
    pub query: Q,
}

/// The repositories that the caller may read, in byte order, after `last`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VisibleRepositories {
    pub caller: Caller,
    pub last: Option<String>,
    pub limit: usize,
}

/// Repositories that hold a blob and that the caller may read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadableSources {
    pub caller: Caller,
    pub digest: Digest,
    pub limit: usize,
}

/// What may be asked on behalf of somebody is answered, or it is said why not.
pub type Judged<T> = Result<T, Denial>;
