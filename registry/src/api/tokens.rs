//! Tokens of accounts.

use http::StatusCode;
use serde_json::json;

use super::body::{self, IssuedToken, NewToken, Token};
use super::{Answer, Desk, accounts, bad, done, json as reply, missing};
use crate::auth::secret::TokenText;
use crate::index::access::{AccessChange, ListTokens, PutToken};

#[utoipa::path(get, path = "/api/v1/{kind}/{name}/tokens", responses((status = 200, description = "The tokens of an account, the oldest first, without secrets")))]
pub async fn list(desk: Desk<'_>, name: &str) -> Answer {
    let found = desk.index.query(ListTokens { account: name.to_owned() }).await?;
    let found = found.ok_or_else(|| missing(format!("there is no account {name}")))?;
    reply(StatusCode::OK, &json!({ "tokens": found.into_iter().map(Token::from).collect::<Vec<_>>() }))
}

#[utoipa::path(post, path = "/api/v1/{kind}/{name}/tokens", request_body = NewToken, responses((status = 201, body = IssuedToken)))]
pub async fn create(desk: Desk<'_>, name: &str, new: NewToken) -> Answer {
    let token = TokenText::new().map_err(accounts::random)?;
    let put = PutToken {
        id: token.id.clone(),
        account: name.to_owned(),
        hash: token.hash(),
        description: new.description,
        expires: new.expires.as_deref().map(body::time).transpose().map_err(bad)?,
        limits: new.limits.as_deref().map(body::grants).transpose().map_err(bad)?,
        keep: new.keep,
    };
    desk.change(AccessChange::PutToken(put)).await?;
    reply(StatusCode::CREATED, &IssuedToken { id: token.id.clone(), account: name.to_owned(), token: token.text() })
}

#[utoipa::path(delete, path = "/api/v1/{kind}/{name}/tokens/{id}", responses((status = 204, description = "It is good for nothing any more")))]
pub async fn delete(desk: Desk<'_>, name: &str, id: &str) -> Answer {
    desk.change(AccessChange::DeleteToken { account: name.to_owned(), id: id.to_owned() }).await?;
    done()
}
