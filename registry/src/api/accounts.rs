//! Users and robots, and the first administrator.

use http::StatusCode;
use serde_json::json;

use super::body::{self, Account, ChangeAccountFields, FirstOffer, NewAccount, NewPassword, TakeFirst};
use super::{Answer, By, Desk, bad, done, json as reply, missing};
use crate::auth::secret::{PasswordHash, SecretError, TokenText};
use crate::date;
use crate::error::ApiError;
use crate::index::access::{
    AccessChange, AccountView, Ends, GetAccount, GetCredentials, GetFirst, Kind, ListAccounts, PutAccount, is_usable,
};
use crate::index::command::Refusal;
use crate::index::level::AUDIT;

/// How long the token for the first administrator is good.
const OFFER: u64 = 24 * 3_600_000;

/// Who the caller is.
#[utoipa::path(get, path = "/api/v1/self", responses((status = 200, description = "The caller's subject, and his account if he has one")))]
pub async fn who_am_i(desk: Desk<'_>) -> Answer {
    let By::Client(session) = desk.by else { return reply(StatusCode::OK, &json!({ "subject": "machine" })) };
    let account = match &session.caller.proof {
        Some(proof) => desk.index.query(GetAccount { name: proof.account.clone() }).await?.map(Account::from),
        None => None,
    };
    reply(
        StatusCode::OK,
        &json!({ "subject": session.caller.subject, "groups": session.caller.groups, "account": account }),
    )
}

/// Offers a token that makes the first administrator, while there is none. Only for who keeps the machine.
#[utoipa::path(post, path = "/api/v1/first-administrator/offer", responses((status = 201, body = FirstOffer), (status = 409, description = "There is an administrator")))]
pub async fn offer_first(desk: Desk<'_>) -> Answer {
    // The index counts those alone who stay: there must be one without those who end.
    if has_administrator(desk).await? {
        return Err(Refusal::AdministratorExists.into());
    }
    let token = TokenText::new().map_err(random)?;
    let expires = desk.index.time().after(OFFER);
    desk.change(AccessChange::OfferFirst { hash: token.hash(), expires }).await?;
    reply(StatusCode::CREATED, &FirstOffer { token: token.text(), expires: date::rfc3339(expires) })
}

/// Whether anybody can administrate now, if only for a while.
async fn has_administrator(desk: Desk<'_>) -> Result<bool, ApiError> {
    let (mut last, mut more) = (None, true);
    while more {
        let page = desk.index.query(ListAccounts { last, limit: 1000 }).await?;
        let now = desk.index.time();
        let can = |it: &AccountView| it.is_administrator && is_usable(it.is_disabled, it.expires, now);
        if page.items.iter().any(can) {
            return Ok(true);
        }
        more = page.more;
        last = page.items.last().map(|account| account.name.clone());
    }
    Ok(false)
}

/// Makes the first administrator with the token that was offered, once.
#[utoipa::path(post, path = "/api/v1/first-administrator", request_body = TakeFirst, responses((status = 201, body = Account), (status = 404, description = "The token is not the one that was offered"), (status = 409, description = "There is an administrator")))]
pub async fn take_first(desk: Desk<'_>, take: TakeFirst) -> Answer {
    let token = TokenText::parse(&take.token).ok_or_else(|| bad("this is not a token, or it was mistyped"))?;
    // Anybody may ask: little work is done, and nothing written, for what cannot be.
    if let By::Client(session) = desk.by {
        session.app.auth.admit(session.from())?;
    }
    let first = desk.index.query(GetFirst).await?;
    if first.administrators > 0 {
        return Err(Refusal::AdministratorExists.into());
    }
    if first.offered_until.is_none() || take.name.len() > 64 {
        return Err(missing("the token is not the one that was offered, or is over"));
    }
    let password = hash(desk, take.password, None).await?;
    let from = match desk.by {
        By::Client(session) if session.level().await? >= AUDIT => Some(session.from()),
        _ => None,
    };
    let change = AccessChange::TakeFirst { hash: token.hash(), name: take.name.clone(), password, from };
    // Whoever asks has no account yet: the token is what he has.
    desk.index.submit(None, crate::index::command::Command::Access(Box::new(change))).await?;
    if let By::Client(session) = desk.by {
        session.app.auth.was_no_guess(session.from());
        tracing::info!(name = take.name, from = %session.from(), "the first administrator was made");
    }
    one(desk, StatusCode::CREATED, Kind::User, &take.name).await
}

#[utoipa::path(get, path = "/api/v1/{kind}", params(("kind" = String, Path, description = "users or robots"), ("last" = Option<String>, Query), ("n" = Option<usize>, Query)), responses((status = 200, description = "Accounts in the order of their names, and whether there are more")))]
pub async fn list(desk: Desk<'_>, kind: Kind, last: Option<String>, limit: usize) -> Answer {
    let (mut found, mut last, mut more) = (Vec::new(), last, true);
    // Both kinds are in one table: of the other some are passed over.
    while more && found.len() < limit {
        let page = desk.index.query(ListAccounts { last: last.clone(), limit }).await?;
        more = page.more;
        last = page.items.last().map(|account| account.name.clone());
        found.extend(page.items.into_iter().filter(|account| account.kind == kind).map(Account::from));
    }
    more |= found.len() > limit;
    found.truncate(limit);
    reply(StatusCode::OK, &json!({ (body::plural(kind)): found, "more": more }))
}

#[utoipa::path(post, path = "/api/v1/{kind}", request_body = NewAccount, responses((status = 201, body = Account), (status = 409, description = "The name is taken")))]
pub async fn create(desk: Desk<'_>, kind: Kind, new: NewAccount) -> Answer {
    let password = match new.password {
        Some(password) => Some(hash(desk, password, None).await?),
        None => None,
    };
    let put = put(kind, &new.name, true, &new.change)?;
    desk.change(AccessChange::PutAccount(PutAccount { password, ..put })).await?;
    one(desk, StatusCode::CREATED, kind, &new.name).await
}

#[utoipa::path(get, path = "/api/v1/{kind}/{name}", responses((status = 200, body = Account), (status = 404, description = "There is no such account")))]
pub async fn get(desk: Desk<'_>, kind: Kind, name: &str) -> Answer {
    one(desk, StatusCode::OK, kind, name).await
}

#[utoipa::path(patch, path = "/api/v1/{kind}/{name}", request_body = ChangeAccountFields, responses((status = 200, body = Account)))]
pub async fn change(desk: Desk<'_>, kind: Kind, name: &str, change: ChangeAccountFields) -> Answer {
    desk.change(AccessChange::PutAccount(put(kind, name, false, &change)?)).await?;
    one(desk, StatusCode::OK, kind, name).await
}

#[utoipa::path(delete, path = "/api/v1/{kind}/{name}", responses((status = 204, description = "It is gone, with its tokens")))]
pub async fn delete(desk: Desk<'_>, kind: Kind, name: &str) -> Answer {
    find(desk, kind, name).await?;
    desk.change(AccessChange::DeleteAccount { name: name.to_owned() }).await?;
    done()
}

#[utoipa::path(put, path = "/api/v1/users/{name}/password", request_body = NewPassword, responses((status = 204, description = "The old one is good for nothing any more")))]
pub async fn set_password(desk: Desk<'_>, name: &str, new: NewPassword) -> Answer {
    let credentials = desk.index.query(GetCredentials { account: name.to_owned() }).await?;
    let kept = credentials.and_then(|credentials| credentials.password);
    let password = Some(hash(desk, new.password, kept).await?);
    desk.change(AccessChange::SetPassword { account: name.to_owned(), password }).await?;
    done()
}

async fn one(desk: Desk<'_>, status: StatusCode, kind: Kind, name: &str) -> Answer {
    reply(status, &Account::from(find(desk, kind, name).await?))
}

async fn find(desk: Desk<'_>, kind: Kind, name: &str) -> Result<AccountView, ApiError> {
    let found = desk.index.query(GetAccount { name: name.to_owned() }).await?;
    let found = found.filter(|account| account.kind == kind);
    found.ok_or_else(|| missing(format!("there is no {} {name}", kind.as_str())))
}

fn put(kind: Kind, name: &str, is_new: bool, change: &ChangeAccountFields) -> Result<PutAccount, ApiError> {
    let expires = match &change.expires {
        None => None,
        Some(None) => Some(Ends::Never),
        Some(Some(text)) => Some(Ends::At(body::time(text).map_err(bad)?)),
    };
    Ok(PutAccount {
        name: name.to_owned(),
        kind,
        is_new,
        description: change.description.clone(),
        is_disabled: change.disabled,
        is_administrator: change.administrator,
        expires,
        grants: change.grants.as_deref().map(body::grants).transpose().map_err(bad)?,
        groups: change.groups.clone(),
        password: None,
    })
}

/// Hashes a password away from the threads that serve connections. The one that is kept stays what it is, so that who comes with it
/// meanwhile is not refused although it was right all the time.
async fn hash(desk: Desk<'_>, password: String, kept: Option<PasswordHash>) -> Result<PasswordHash, ApiError> {
    let hash = move || match kept {
        Some(kept) if kept.is(&password) => Ok(kept),
        _ => PasswordHash::new(&password),
    };
    let hashed = match desk.by {
        By::Client(session) => session.app.auth.hash(session.from(), hash).await?,
        By::Machine => tokio::task::spawn_blocking(hash).await.map_err(|error| internal().cause(error))?,
    };
    hashed.map_err(|error| match error {
        SecretError::Length => bad(error.to_string()),
        error => internal().cause(error),
    })
}

fn internal() -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, crate::error::Code::Denied, "the registry could not do this")
}

pub(super) fn random(error: crate::random::RandomError) -> ApiError {
    internal().cause(anyhow::anyhow!("no random numbers: {error}"))
}
