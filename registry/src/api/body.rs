//! The JSON of the administrators' API.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::auth::issuer::Issuer;
use crate::auth::policy::{Grant, Policy, Role, Verb, Verbs};
use crate::auth::quota::{Quota, SharesError};
use crate::date;
use crate::index::access::{AccountView, Audited, Kind, QuotaView, TokenView};
use crate::index::command::Time;

/// A user or a robot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    pub name: String,
    /// `user` or `robot`.
    pub kind: String,
    pub description: String,
    /// RFC 3339.
    pub created: String,
    pub disabled: bool,
    pub administrator: bool,
    /// RFC 3339; none: it does not end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<String>,
    pub groups: BTreeSet<String>,
    pub grants: Vec<GrantBody>,
    pub has_password: bool,
}

/// Verbs on repositories: those of a role, or some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantBody {
    /// A pattern: `team/**`.
    pub repositories: String,
    /// `pull`, `create`, `push`, `delete` or `admin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// `pull`, `push`, `overwrite`, `delete` and `admin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub verbs: Vec<Verb>,
}

/// A new user or robot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewAccount {
    pub name: String,
    /// Of a user: the first password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(flatten)]
    pub change: ChangeAccountFields,
}

/// By hand, since serde refuses nothing unknown where fields are flattened.
impl<'de> Deserialize<'de> for NewAccount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut fields = serde_json::Map::deserialize(deserializer)?;
        let text = |value: Option<serde_json::Value>| value.map(serde_json::from_value::<String>).transpose();
        let name = text(fields.remove("name")).map_err(D::Error::custom)?;
        let password = text(fields.remove("password")).map_err(D::Error::custom)?;
        let change = serde_json::from_value(fields.into()).map_err(D::Error::custom)?;
        Ok(Self { name: name.ok_or_else(|| D::Error::missing_field("name"))?, password, change })
    }
}

/// What may be changed of an account; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeAccountFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<bool>,
    /// RFC 3339; null: never.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option)] // absent, null and a time are three things in JSON
    pub expires: Option<Option<String>>,
    /// Of a user: the groups he is in, and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<String>>,
    /// Of a robot: all that it may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<GrantBody>>,
}

/// Tells null from absent.
#[allow(clippy::option_option)]
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPassword {
    /// 8 to 1024 bytes.
    pub password: String,
}

/// A new token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    #[serde(default)]
    pub description: String,
    /// RFC 3339; none: when its account ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// All that may be done with it; none: what the account may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Vec<GrantBody>>,
    /// So many of the tokens before it stay, the newest; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// A token, with its secret: shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IssuedToken {
    pub id: String,
    pub account: String,
    pub token: String,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    pub id: String,
    pub account: String,
    pub description: String,
    pub created: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<String>,
    /// Exact to some minutes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limits: Option<Vec<GrantBody>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    pub name: String,
    pub members: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeGroup {
    #[serde(default)]
    pub add: Vec<String>,
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A policy under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedPolicy {
    pub name: String,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub policy: Policy,
    /// What is in force and yet most likely not what was meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An issuer under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedIssuer {
    pub name: String,
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub issuer: Issuer,
}

/// How much repositories may hold together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaBody {
    /// Names, `*` for any one part, and at the end `**` for everything below: `home/*/**`.
    pub repositories: String,
    /// Each distinct digest once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<u64>,
}

/// A quota, and what its shares hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedQuota {
    pub name: String,
    pub repositories: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<u64>,
    /// Whether what was there when it was made is counted.
    pub counted: bool,
    /// The first thousand.
    pub shares: Vec<Share>,
}

/// One way to fill in the `*` of a quota, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    pub share: String,
    pub bytes: u64,
    pub tags: u64,
}

impl QuotaBody {
    pub fn read(&self) -> Result<Quota, String> {
        let repositories =
            self.repositories.parse().map_err(|error: SharesError| format!("{:?}: {error}", self.repositories))?;
        Ok(Quota { repositories, bytes: self.bytes, tags: self.tags })
    }
}

impl From<QuotaView> for NamedQuota {
    fn from(view: QuotaView) -> Self {
        Self {
            name: view.name,
            repositories: view.quota.repositories.as_str().to_owned(),
            bytes: view.quota.bytes,
            tags: view.quota.tags,
            counted: view.is_counted,
            shares: view.shares.into_iter().map(|(share, bytes, tags)| Share { share, bytes, tags }).collect(),
        }
    }
}

/// Who changed what, or was refused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRecord {
    /// Records are in the order of their positions in the log.
    pub position: u64,
    pub time: String,
    /// Absent: nobody known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The account, group or policy that was changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What was changed of it, in words; absent in records from before feature level 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    pub allowed: bool,
}

impl From<Audited> for AuditRecord {
    fn from(audited: Audited) -> Self {
        Self {
            position: audited.position,
            time: date::rfc3339(audited.time),
            who: audited.who,
            from: audited.from.map(|from| from.to_string()),
            action: audited.action,
            repository: audited.repository.map(|name| name.to_string()),
            tags: audited.tags.iter().map(|tag| tag.as_str().to_owned()).collect(),
            digest: audited.digest.map(|digest| digest.to_string()),
            subject: audited.subject,
            detail: audited.change.as_deref().and_then(super::audit::words::of),
            allowed: audited.refused.is_none(),
        }
    }
}

/// The token that makes the first administrator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FirstOffer {
    pub token: String,
    pub expires: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeFirst {
    pub token: String,
    pub name: String,
    pub password: String,
}

impl GrantBody {
    pub fn read(&self) -> Result<Grant, String> {
        let repositories = self
            .repositories
            .parse()
            .map_err(|error: crate::auth::pattern::PatternError| format!("{:?}: {error}", self.repositories))?;
        let verbs = Verbs::of(self.verbs.iter().copied());
        match (self.role, verbs.is_empty()) {
            (Some(role), true) => Ok(Grant { repositories, verbs: role.verbs() }),
            (None, false) => Ok(Grant { repositories, verbs }),
            _ => Err(format!("the grant on {} must have either a role or verbs", self.repositories)),
        }
    }

    /// The role, or else the verbs with this between them.
    pub fn what(&self, between: &str) -> String {
        match self.role {
            Some(role) => role.as_str().to_owned(),
            None => self.verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(between),
        }
    }

    pub(super) fn of(grant: &Grant) -> Self {
        let role = Role::ALL.into_iter().find(|role| role.verbs() == grant.verbs);
        let verbs = if role.is_some() { Vec::new() } else { grant.verbs.iter().collect() };
        Self { repositories: grant.repositories.as_str().to_owned(), role, verbs }
    }
}

/// Reads some grants.
pub fn grants(bodies: &[GrantBody]) -> Result<Vec<Grant>, String> {
    bodies.iter().map(GrantBody::read).collect()
}

/// Reads a time.
pub fn time(text: &str) -> Result<Time, String> {
    date::parse(text).ok_or_else(|| format!("{text:?} is no time: write it as 2027-01-31T12:00:00Z"))
}

impl From<AccountView> for Account {
    fn from(account: AccountView) -> Self {
        Self {
            name: account.name,
            kind: account.kind.as_str().to_owned(),
            description: account.description,
            created: date::rfc3339(account.created),
            disabled: account.is_disabled,
            administrator: account.is_administrator,
            expires: account.expires.map(date::rfc3339),
            groups: account.groups,
            grants: account.grants.iter().map(GrantBody::of).collect(),
            has_password: account.has_password,
        }
    }
}

impl From<TokenView> for Token {
    fn from(token: TokenView) -> Self {
        Self {
            id: token.id,
            account: token.account,
            description: token.description,
            created: date::rfc3339(token.created),
            expires: token.expires.map(date::rfc3339),
            last_used: token.last_used.map(date::rfc3339),
            limits: token.limits.map(|limits| limits.iter().map(GrantBody::of).collect()),
        }
    }
}

/// Where accounts of a kind are in the API.
pub const fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "users",
        Kind::Robot => "robots",
    }
}
