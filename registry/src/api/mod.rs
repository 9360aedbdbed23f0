//! The administrators' API, `/api/v1/…`: accounts, tokens, groups and policies, as JSON.
//!
//! One parser makes an [`Operation`] of a request, one table says what each needs, and [`Admitted::run`] does it. It is reached over
//! HTTP on the port of clients, and by whoever keeps the machine or has an administrator's certificate ([`calls`]).

pub mod accounts;
pub mod audit;
pub mod body;
pub mod calls;
pub mod groups;
pub mod issuers;
pub mod operation;
pub mod policies;
pub mod quotas;
pub mod tokens;

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::auth::caller::{By as Proven, Denial, Proof};
use crate::auth::session::{Session, denied};
use crate::config::Anonymous;
use crate::error::{ApiError, Code};
use crate::index::access::{AccessChange, Asks};
use crate::index::command::{Command, Outcome, Refusal};
use crate::index::{Index, IndexError};
use operation::{Operation, Permission};

/// The most bytes of a request, and of one for which nobody needs to be known.
const MOST: usize = 1 << 20;
const MOST_OF_ANYBODY: usize = 8 << 10;

/// What an operation gives: a status, and JSON; null for an answer without a body.
pub type Answer = Result<(StatusCode, Value), ApiError>;

/// Who asks for an operation.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Whoever keeps the machine, or has an administrator's certificate: may do everything.
    Machine,
    Client(&'a Session),
}

/// What operations work with.
#[derive(Clone, Copy, Debug)]
pub struct Desk<'a> {
    pub index: &'a Index,
    pub by: By<'a>,
    /// What the configuration grants to everyone, for explanations.
    pub everyone: Anonymous,
}

impl<'d> Desk<'d> {
    /// Changes something, if who asks may do it when it is applied.
    async fn change(&self, change: AccessChange) -> Result<Outcome, ApiError> {
        let command = Command::Access(Box::new(change));
        Ok(match self.by {
            By::Machine => self.index.submit(Some("machine"), command).await?,
            By::Client(session) => session.submit(command).await?,
        })
    }

    /// Lets in who may ask for this.
    pub async fn admit<'o>(self, operation: &'o Operation) -> Result<Admitted<'d, 'o>, ApiError> {
        self.check(&operation.permission()).await?;
        Ok(Admitted { desk: self, operation })
    }

    async fn check(&self, permission: &Permission<'_>) -> Result<(), ApiError> {
        let By::Client(session) = self.by else { return Ok(()) };
        let asks = match permission {
            Permission::Public => return Ok(()),
            Permission::Machine => return Err(denied(Denial::Denied).into()),
            Permission::Somebody if session.caller.subject.is_none() => {
                return Err(denied(Denial::Unauthenticated).into());
            }
            Permission::Somebody => Asks::Nothing,
            Permission::Holder(_) if !by_password(session) => {
                return match session.authorize(Asks::Administrate, true).await {
                    Err(IndexError::Refused { refusal: Refusal::Forbidden { denial: Denial::Denied }, .. }) => {
                        Err(ApiError::new(StatusCode::FORBIDDEN, Code::Denied, BY_PASSWORD))
                    }
                    judged => Ok(judged.map(drop)?),
                };
            }
            Permission::Keeper(account) | Permission::Holder(account) => Asks::Keep((*account).to_owned()),
            Permission::Administrator => Asks::Administrate,
        };
        Ok(session.authorize(asks, true).await.map(drop)?)
    }
}

const BY_PASSWORD: &str =
    "only who logs in with the password, or an administrator, makes and deletes tokens and sets passwords";

fn by_password(session: &Session) -> bool {
    matches!(session.caller.proof, None | Some(Proof { by: Proven::Password(_), .. }))
}

/// An operation whose asker may ask for it.
#[derive(Debug)]
#[must_use = "nothing has been done yet"]
pub struct Admitted<'d, 'o> {
    desk: Desk<'d>,
    operation: &'o Operation,
}

impl Admitted<'_, '_> {
    /// The most bytes that its request may have. Anybody may ask for what is public, and is given no room for that.
    pub fn most(&self) -> usize {
        if matches!(self.operation.permission(), Permission::Public) { MOST_OF_ANYBODY } else { MOST }
    }

    /// Does what was asked.
    pub async fn run(self, body: &Bytes) -> Answer {
        perform(self.desk, self.operation, body).await
    }
}

async fn perform(desk: Desk<'_>, operation: &Operation, body: &Bytes) -> Answer {
    match operation {
        Operation::Describe => Ok((StatusCode::OK, operation::describe())),
        Operation::WhoAmI => accounts::who_am_i(desk).await,
        Operation::OfferFirst => accounts::offer_first(desk).await,
        Operation::TakeFirst => accounts::take_first(desk, read_secret(body)?).await,
        Operation::ListAccounts { kind, last, limit } => accounts::list(desk, *kind, last.clone(), *limit).await,
        Operation::CreateAccount { kind } => accounts::create(desk, *kind, read_secret(body)?).await,
        Operation::GetAccount { kind, name } => accounts::get(desk, *kind, name).await,
        Operation::ChangeAccount { kind, name } => accounts::change(desk, *kind, name, read(body)?).await,
        Operation::DeleteAccount { kind, name } => accounts::delete(desk, *kind, name).await,
        Operation::SetPassword { name } => accounts::set_password(desk, name, read_secret(body)?).await,
        Operation::ListTokens { name, .. } => tokens::list(desk, name).await,
        Operation::CreateToken { name, .. } => tokens::create(desk, name, read(body)?).await,
        Operation::DeleteToken { name, id, .. } => tokens::delete(desk, name, id).await,
        Operation::ListGroups => groups::list(desk).await,
        Operation::ChangeGroup { name } => groups::change(desk, name, read(body)?).await,
        Operation::ListPolicies => policies::list(desk).await,
        Operation::GetPolicy { name } => policies::get(desk, name).await,
        Operation::PutPolicy { name } => policies::put(desk, name, read(body)?).await,
        Operation::DeletePolicy { name } => policies::delete(desk, name).await,
        Operation::ListIssuers => issuers::list(desk).await,
        Operation::GetIssuer { name } => issuers::get(desk, name).await,
        Operation::PutIssuer { name } => issuers::put(desk, name, read(body)?).await,
        Operation::DeleteIssuer { name } => issuers::delete(desk, name).await,
        Operation::Login => issuers::login(desk).await,
        Operation::ListQuotas => quotas::list(desk).await,
        Operation::PutQuota { name } => quotas::put(desk, name, read(body)?).await,
        Operation::DeleteQuota { name } => quotas::delete(desk, name).await,
        Operation::Audit { after, limit, repository, who } => {
            audit::list(desk, *after, *limit, repository.clone(), who.clone()).await
        }
        Operation::Explain { subject, groups, verb, repository } => {
            policies::explain(desk, subject.as_deref(), groups, *verb, repository).await
        }
    }
}

/// Reads the JSON of a request; says where it is wrong.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| bad(format!("the body is not what is expected here: {error}")))
}

/// As [`read`], of a body with a secret in it: what it holds is not repeated.
fn read_secret<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        // Values are repeated in quotes, names of fields between backticks.
        let why = if text.contains('"') { "a value is not what is expected" } else { &text };
        let (line, column) = (error.line(), error.column());
        bad(format!("the body is not what is expected here: {why} (line {line}, column {column})"))
    })
}

fn bad(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, Code::Unsupported, message)
}

fn missing(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, Code::NameUnknown, message)
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let value = serde_json::to_value(value).map_err(|error| {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Denied, "the answer could not be written").cause(error)
    })?;
    Ok((status, value))
}

#[allow(clippy::unnecessary_wraps)] // an answer, as of every operation
fn done() -> Answer {
    Ok((StatusCode::NO_CONTENT, Value::Null))
}
