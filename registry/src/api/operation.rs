//! [`Operation`]: what a request to the administrators' API asks for, parsed once and whole, and what it needs. Pure, as
//! [`crate::oci::action`] is, which hands on what begins with `/api/v1/`.

use std::collections::BTreeSet;

use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use utoipa::OpenApi;

use super::body;
use crate::auth::policy::Verb;
use crate::index::access::Kind;
use crate::oci::action::ActionError;
use crate::oci::name::RepositoryName;

/// Items of one page, unless the client asks for fewer.
const PAGE: usize = 1000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Describe,
    WhoAmI,
    OfferFirst,
    TakeFirst,
    ListAccounts { kind: Kind, last: Option<String>, limit: usize },
    CreateAccount { kind: Kind },
    GetAccount { kind: Kind, name: String },
    ChangeAccount { kind: Kind, name: String },
    DeleteAccount { kind: Kind, name: String },
    SetPassword { name: String },
    ListTokens { kind: Kind, name: String },
    CreateToken { kind: Kind, name: String },
    DeleteToken { kind: Kind, name: String, id: String },
    ListGroups,
    ChangeGroup { name: String },
    ListPolicies,
    GetPolicy { name: String },
    PutPolicy { name: String },
    DeletePolicy { name: String },
    ListIssuers,
    GetIssuer { name: String },
    PutIssuer { name: String },
    DeleteIssuer { name: String },
    Login,
    ListQuotas,
    PutQuota { name: String },
    DeleteQuota { name: String },
    Audit { after: u64, limit: usize, repository: Option<RepositoryName>, who: Option<String> },
    Explain { subject: Option<String>, groups: BTreeSet<String>, verb: Verb, repository: RepositoryName },
}

/// What an operation needs of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission<'a> {
    /// Nothing.
    Public,
    /// To be somebody.
    Somebody,
    /// To be the holder of this account, or an administrator.
    Keeper(&'a str),
    /// The same, by the password: a token that was lost or that ends, or a job of somebody's, would make what does not end, and shut the
    /// holder out.
    Holder(&'a str),
    Administrator,
    /// To keep the machine, or to have an administrator's certificate.
    Machine,
}

impl Operation {
    /// Parses what follows `/api/v1/`.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, ActionError> {
        let segments: Vec<String> =
            path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned()).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let get = || if method == Method::GET { Ok(()) } else { Err(ActionError::Method { allow: "GET" }) };
        let post = || if method == Method::POST { Ok(()) } else { Err(ActionError::Method { allow: "POST" }) };
        match segments.as_slice() {
            ["openapi.json"] => get().map(|()| Self::Describe),
            ["self"] => get().map(|()| Self::WhoAmI),
            ["first-administrator"] => post().map(|()| Self::TakeFirst),
            ["first-administrator", "offer"] => post().map(|()| Self::OfferFirst),
            ["users", rest @ ..] => account(Kind::User, method, rest, query),
            ["robots", rest @ ..] => account(Kind::Robot, method, rest, query),
            ["groups"] => get().map(|()| Self::ListGroups),
            ["groups", name] => match *method {
                Method::PATCH => Ok(Self::ChangeGroup { name: (*name).to_owned() }),
                _ => Err(ActionError::Method { allow: "PATCH" }),
            },
            ["policies"] => get().map(|()| Self::ListPolicies),
            ["policies", name] => {
                let name = (*name).to_owned();
                match *method {
                    Method::GET => Ok(Self::GetPolicy { name }),
                    Method::PUT => Ok(Self::PutPolicy { name }),
                    Method::DELETE => Ok(Self::DeletePolicy { name }),
                    _ => Err(ActionError::Method { allow: "GET, PUT, DELETE" }),
                }
            }
            ["login"] => get().map(|()| Self::Login),
            ["issuers"] => get().map(|()| Self::ListIssuers),
            ["issuers", name] => {
                let name = (*name).to_owned();
                match *method {
                    Method::GET => Ok(Self::GetIssuer { name }),
                    Method::PUT => Ok(Self::PutIssuer { name }),
                    Method::DELETE => Ok(Self::DeleteIssuer { name }),
                    _ => Err(ActionError::Method { allow: "GET, PUT, DELETE" }),
                }
            }
            ["quotas"] => get().map(|()| Self::ListQuotas),
            ["quotas", name] => {
                let name = (*name).to_owned();
                match *method {
                    Method::PUT => Ok(Self::PutQuota { name }),
                    Method::DELETE => Ok(Self::DeleteQuota { name }),
                    _ => Err(ActionError::Method { allow: "PUT, DELETE" }),
                }
            }
            ["audit"] => get().and_then(|()| audit(query.unwrap_or_default())),
            ["explain"] => get().and_then(|()| explain(query.unwrap_or_default())),
            _ => Err(ActionError::Operation),
        }
    }

    /// What it needs: the table of all operations.
    pub fn permission(&self) -> Permission<'_> {
        match self {
            Self::Describe | Self::TakeFirst | Self::Login => Permission::Public,
            Self::WhoAmI => Permission::Somebody,
            Self::OfferFirst => Permission::Machine,
            Self::SetPassword { name } | Self::CreateToken { name, .. } | Self::DeleteToken { name, .. } => {
                Permission::Holder(name)
            }
            Self::ListTokens { name, .. } | Self::GetAccount { name, .. } => Permission::Keeper(name),
            Self::ListAccounts { .. }
            | Self::CreateAccount { .. }
            | Self::ChangeAccount { .. }
            | Self::DeleteAccount { .. }
            | Self::ListGroups
            | Self::ChangeGroup { .. }
            | Self::ListPolicies
            | Self::GetPolicy { .. }
            | Self::PutPolicy { .. }
            | Self::DeletePolicy { .. }
            | Self::ListIssuers
            | Self::GetIssuer { .. }
            | Self::PutIssuer { .. }
            | Self::DeleteIssuer { .. }
            | Self::ListQuotas
            | Self::PutQuota { .. }
            | Self::DeleteQuota { .. }
            | Self::Audit { .. }
            | Self::Explain { .. } => Permission::Administrator,
        }
    }

    /// The account, group, policy, quota or issuer in the path.
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::GetAccount { name, .. }
            | Self::ChangeAccount { name, .. }
            | Self::DeleteAccount { name, .. }
            | Self::SetPassword { name }
            | Self::ListTokens { name, .. }
            | Self::CreateToken { name, .. }
            | Self::DeleteToken { name, .. }
            | Self::ChangeGroup { name }
            | Self::GetPolicy { name }
            | Self::PutPolicy { name }
            | Self::DeletePolicy { name }
            | Self::GetIssuer { name }
            | Self::PutIssuer { name }
            | Self::DeleteIssuer { name }
            | Self::PutQuota { name }
            | Self::DeleteQuota { name } => Some(name),
            Self::Describe
            | Self::WhoAmI
            | Self::OfferFirst
            | Self::TakeFirst
            | Self::ListAccounts { .. }
            | Self::CreateAccount { .. }
            | Self::ListGroups
            | Self::ListPolicies
            | Self::ListIssuers
            | Self::Login
            | Self::ListQuotas
            | Self::Audit { .. }
            | Self::Explain { .. } => None,
        }
    }

    /// The name in metrics, logs and audit.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Describe => "api_describe",
            Self::WhoAmI => "api_who_am_i",
            Self::OfferFirst => "api_offer_first",
            Self::TakeFirst => "api_take_first",
            Self::ListAccounts { .. } => "api_list_accounts",
            Self::CreateAccount { .. } => "api_create_account",
            Self::GetAccount { .. } => "api_get_account",
            Self::ChangeAccount { .. } => "api_change_account",
            Self::DeleteAccount { .. } => "api_delete_account",
            Self::SetPassword { .. } => "api_set_password",
            Self::ListTokens { .. } => "api_list_tokens",
            Self::CreateToken { .. } => "api_create_token",
            Self::DeleteToken { .. } => "api_delete_token",
            Self::ListGroups => "api_list_groups",
            Self::ChangeGroup { .. } => "api_change_group",
            Self::ListPolicies => "api_list_policies",
            Self::GetPolicy { .. } => "api_get_policy",
            Self::PutPolicy { .. } => "api_put_policy",
            Self::DeletePolicy { .. } => "api_delete_policy",
            Self::ListIssuers => "api_list_issuers",
            Self::GetIssuer { .. } => "api_get_issuer",
            Self::PutIssuer { .. } => "api_put_issuer",
            Self::DeleteIssuer { .. } => "api_delete_issuer",
            Self::Login => "api_login",
            Self::ListQuotas => "api_list_quotas",
            Self::PutQuota { .. } => "api_put_quota",
            Self::DeleteQuota { .. } => "api_delete_quota",
            Self::Audit { .. } => "api_audit",
            Self::Explain { .. } => "api_explain",
        }
    }
}

fn account(kind: Kind, method: &Method, rest: &[&str], query: Option<&str>) -> Result<Operation, ActionError> {
    let owned = |text: &str| text.to_owned();
    match rest {
        [] => match *method {
            Method::GET => {
                let parameters: Vec<_> = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect();
                let find = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                let limit = match find("n") {
                    None => PAGE,
                    Some(n) => n.parse::<usize>().map_err(|_| ActionError::PageSize)?.clamp(1, PAGE),
                };
                let last = find("last").map(|last| last.clone().into_owned());
                Ok(Operation::ListAccounts { kind, last, limit })
            }
            Method::POST => Ok(Operation::CreateAccount { kind }),
            _ => Err(ActionError::Method { allow: "GET, POST" }),
        },
        [name] => match *method {
            Method::GET => Ok(Operation::GetAccount { kind, name: owned(name) }),
            Method::PATCH => Ok(Operation::ChangeAccount { kind, name: owned(name) }),
            Method::DELETE => Ok(Operation::DeleteAccount { kind, name: owned(name) }),
            _ => Err(ActionError::Method { allow: "GET, PATCH, DELETE" }),
        },
        [name, "password"] if kind == Kind::User => match *method {
            Method::PUT => Ok(Operation::SetPassword { name: owned(name) }),
            _ => Err(ActionError::Method { allow: "PUT" }),
        },
        [name, "tokens"] => match *method {
            Method::GET => Ok(Operation::ListTokens { kind, name: owned(name) }),
            Method::POST => Ok(Operation::CreateToken { kind, name: owned(name) }),
            _ => Err(ActionError::Method { allow: "GET, POST" }),
        },
        [name, "tokens", id] => match *method {
            Method::DELETE => Ok(Operation::DeleteToken { kind, name: owned(name), id: owned(id) }),
            _ => Err(ActionError::Method { allow: "DELETE" }),
        },
        _ => Err(ActionError::Operation),
    }
}

fn audit(query: &str) -> Result<Operation, ActionError> {
    let (mut after, mut limit, mut repository, mut who) = (0, PAGE, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "after" => after = value.parse().map_err(|_| ActionError::PageSize)?,
            "n" => limit = value.parse::<usize>().map_err(|_| ActionError::PageSize)?.clamp(1, PAGE),
            "repository" => repository = Some(value.parse()?),
            "who" => who = Some(value.into_owned()),
            _ => {}
        }
    }
    Ok(Operation::Audit { after, limit, repository, who })
}

fn explain(query: &str) -> Result<Operation, ActionError> {
    let (mut subject, mut groups, mut verb, mut repository) = (None, BTreeSet::new(), None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "subject" if value != "anonymous" => subject = Some(value.into_owned()),
            "group" => drop(groups.insert(value.into_owned())),
            "verb" => verb = value.parse().ok(),
            "repository" => repository = Some(value.parse()?),
            _ => {}
        }
    }
    match (verb, repository) {
        (Some(verb), Some(repository)) => Ok(Operation::Explain { subject, groups, verb, repository }),
        _ => Err(ActionError::Explain),
    }
}

/// The description of the API (OpenAPI 3.1).
pub fn describe() -> Value {
    #[derive(OpenApi)]
    #[openapi(
        info(
            title = "Roadstead administration",
            description = "Accounts, tokens, groups and policies.",
            license(name = "Apache-2.0")
        ),
        paths(
            super::accounts::who_am_i,
            super::accounts::offer_first,
            super::accounts::take_first,
            super::accounts::list,
            super::accounts::create,
            super::accounts::get,
            super::accounts::change,
            super::accounts::delete,
            super::accounts::set_password,
            super::tokens::list,
            super::tokens::create,
            super::tokens::delete,
            super::groups::list,
            super::groups::change,
            super::policies::list,
            super::policies::get,
            super::policies::put,
            super::policies::delete,
            super::policies::explain,
            super::audit::list,
            super::issuers::list,
            super::issuers::get,
            super::issuers::put,
            super::issuers::delete,
            super::issuers::login,
            super::quotas::list,
            super::quotas::put,
            super::quotas::delete,
        ),
        components(schemas(
            body::Account,
            body::GrantBody,
            body::NewAccount,
            body::ChangeAccountFields,
            body::NewPassword,
            body::NewToken,
            body::IssuedToken,
            body::Token,
            body::Group,
            body::ChangeGroup,
            body::NamedPolicy,
            body::NamedIssuer,
            body::FirstOffer,
            body::TakeFirst,
            body::AuditRecord,
            body::QuotaBody,
            body::NamedQuota,
        ))
    )]
    struct Description;
    serde_json::to_value(Description::openapi()).unwrap_or_default()
}
