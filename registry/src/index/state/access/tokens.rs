//! Tokens of accounts: kept as a hash of their secret, by their id.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::Entry;
use super::super::records::{Records, RecordsError, Table, Transaction, load};
use super::{accounts, invalid};
use crate::auth::policy::{Grant, MAX_DESCRIPTION};
use crate::index::access::{PutToken, USE_STEP, is_usable};
use crate::index::command::{Outcome, Refusal, Reply, Time};

/// Tokens of one account, and grants that limit one.
const MAX_TOKENS: usize = 100;
const MAX_LIMITS: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub account: String,
    pub hash: Bytes,
    #[serde(default)]
    pub description: String,
    pub created: Time,
    #[serde(default)]
    pub expires: Option<Time>,
    #[serde(default)]
    pub limits: Option<Vec<Grant>>,
    #[serde(default)]
    pub last_used: Option<Time>,
}

impl Token {
    pub fn is_usable(&self, now: Time) -> bool {
        is_usable(false, self.expires, now)
    }
}

pub fn get(records: &dyn Records, id: &str) -> Result<Option<Token>, RecordsError> {
    load(records, Table::Tokens, id.as_bytes())
}

pub fn remove(transaction: &mut Transaction<'_>, id: &str) {
    transaction.remove(Table::Tokens, id.as_bytes());
}

pub fn put(transaction: &mut Transaction<'_>, entry: &Entry<'_>, put: &PutToken) -> Result<Reply, RecordsError> {
    if put.id.is_empty() || put.id.len() > 64 || put.hash.len() != 32 {
        return Ok(invalid("this is not the hash of a token"));
    }
    if put.description.len() > MAX_DESCRIPTION {
        return Ok(invalid(format!("a description has at most {MAX_DESCRIPTION} bytes")));
    }
    if put.limits.as_ref().is_some_and(|limits| limits.len() > MAX_LIMITS) {
        return Ok(invalid(format!("a token is limited by at most {MAX_LIMITS} grants")));
    }
    if get(transaction, &put.id)?.is_some() {
        return Ok(invalid("there is a token of this id already"));
    }
    let mut gone = Vec::new();
    let reply = accounts::update(transaction, &put.account, |account| {
        if let Some(keep) = put.keep {
            let drop = account.tokens.len().saturating_sub(keep as usize);
            gone.extend(account.tokens.drain(..drop));
        }
        if account.tokens.len() >= MAX_TOKENS {
            let reason = format!("{} has {MAX_TOKENS} tokens already: delete some", put.account);
            return Err(Refusal::AccessInvalid { reason });
        }
        account.tokens.push(put.id.clone());
        Ok(())
    })?;
    if reply.is_err() {
        return Ok(reply);
    }
    for id in gone {
        remove(transaction, &id);
    }
    let token = Token {
        account: put.account.clone(),
        hash: put.hash.clone(),
        description: put.description.clone(),
        created: entry.time,
        expires: put.expires,
        limits: put.limits.clone(),
        last_used: None,
    };
    transaction.save(Table::Tokens, put.id.as_bytes(), &token);
    Ok(Ok(Outcome::Done))
}

/// Deletes a token of this account; one of another is not known here.
pub fn delete(transaction: &mut Transaction<'_>, account: &str, id: &str) -> Result<Reply, RecordsError> {
    if get(transaction, id)?.is_none_or(|token| token.account != account) {
        return Ok(Err(Refusal::TokenUnknown));
    }
    let reply = accounts::update(transaction, account, |account| {
        account.tokens.retain(|known| known != id);
        Ok(())
    })?;
    remove(transaction, id);
    Ok(reply)
}

pub fn note_use(transaction: &mut Transaction<'_>, tokens: &[(String, Time)]) -> Result<Reply, RecordsError> {
    for (id, time) in tokens {
        if let Some(mut token) = get(transaction, id)?
            && token.last_used.is_none_or(|last| last.after(USE_STEP) <= *time)
        {
            token.last_used = Some(*time);
            transaction.save(Table::Tokens, id.as_bytes(), &token);
        }
    }
    Ok(Ok(Outcome::Done))
}
