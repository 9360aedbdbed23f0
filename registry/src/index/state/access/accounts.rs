//! Accounts: users and robots under one table of names.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::Entry;
use super::super::records::{Records, RecordsError, Table, Transaction, load};
use super::{access, invalid, is_name, save, tokens};
use crate::auth::policy::{Grant, MAX_DESCRIPTION};
use crate::auth::secret::PasswordHash;
use crate::index::access::{Ends, Kind, PutAccount, is_usable};
use crate::index::command::{Outcome, Refusal, Reply, Time};

/// Accounts at most, and grants and groups of one.
const MAX_ACCOUNTS: u64 = 100_000;
const MAX_GRANTS: usize = 100;
const MAX_GROUPS: usize = 200;
/// Accounts that one command takes into a group or out of it.
const MAX_MEMBERS: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub kind: Kind,
    #[serde(default)]
    pub description: String,
    pub created: Time,
    #[serde(default)]
    pub is_disabled: bool,
    #[serde(default)]
    pub is_administrator: bool,
    #[serde(default)]
    pub expires: Option<Time>,
    #[serde(default)]
    pub groups: BTreeSet<String>,
    #[serde(default)]
    pub grants: Vec<Grant>,
    #[serde(default)]
    pub password: Option<PasswordHash>,
    /// The ids of its tokens, the oldest first.
    #[serde(default)]
    pub tokens: Vec<String>,
}

impl Account {
    /// Whether whoever holds it may use it at `now`.
    pub fn is_usable(&self, now: Time) -> bool {
        is_usable(self.is_disabled, self.expires, now)
    }

    /// Whether there would be an administrator without any other.
    fn administrates(&self) -> bool {
        self.is_administrator && !self.is_disabled && self.expires.is_none()
    }

    /// The text that policies know it by.
    pub fn subject(&self, name: &str) -> String {
        format!("{}:{name}", self.kind.as_str())
    }
}

pub fn get(records: &dyn Records, name: &str) -> Result<Option<Account>, RecordsError> {
    load(records, Table::Accounts, name.as_bytes())
}

/// Writes an account in the place of what was there; says whether that would take the last administrator away, and then
/// writes nothing.
fn replace(
    transaction: &mut Transaction<'_>,
    name: &str,
    before: Option<&Account>,
    after: Option<&Account>,
) -> Result<Result<(), Refusal>, RecordsError> {
    let mut access = access(transaction)?;
    let was = u64::from(before.is_some_and(Account::administrates));
    let is = u64::from(after.is_some_and(Account::administrates));
    let administrators = (access.administrators + is).saturating_sub(was);
    if was > is && administrators == 0 {
        return Ok(Err(Refusal::LastAdministrator));
    }
    access.accounts = (access.accounts + u64::from(after.is_some())).saturating_sub(u64::from(before.is_some()));
    if access.accounts > MAX_ACCOUNTS {
        return Ok(Err(Refusal::AccessInvalid { reason: format!("there are {MAX_ACCOUNTS} accounts already") }));
    }
    if administrators > 0 {
        access.first = None;
    }
    access.administrators = administrators;
    save(transaction, &access);
    match after {
        Some(account) => transaction.save(Table::Accounts, name.as_bytes(), account),
        None => transaction.remove(Table::Accounts, name.as_bytes()),
    }
    Ok(Ok(()))
}

pub fn put(transaction: &mut Transaction<'_>, entry: &Entry<'_>, put: &PutAccount) -> Result<Reply, RecordsError> {
    if let Some(reason) = problem(put) {
        return Ok(invalid(reason));
    }
    let before = get(transaction, &put.name)?;
    if let Some(account) = &before
        && (put.is_new || account.kind != put.kind)
    {
        return Ok(Err(Refusal::AccountExists { name: put.name.clone(), kind: account.kind }));
    }
    if before.is_none() && !put.is_new {
        return Ok(Err(Refusal::AccountUnknown { name: put.name.clone() }));
    }
    let mut account = before.clone().unwrap_or_else(|| new(put.kind, entry.time));
    account.description = put.description.clone().unwrap_or(account.description);
    account.is_disabled = put.is_disabled.unwrap_or(account.is_disabled);
    account.is_administrator = put.is_administrator.unwrap_or(account.is_administrator);
    account.expires = match put.expires {
        None => account.expires,
        Some(Ends::Never) => None,
        Some(Ends::At(time)) => Some(time),
    };
    account.grants = put.grants.clone().unwrap_or(account.grants);
    account.groups = put.groups.clone().unwrap_or(account.groups);
    account.password = if before.is_none() { put.password.clone() } else { account.password };
    Ok(replace(transaction, &put.name, before.as_ref(), Some(&account))?.map(|()| Outcome::Done))
}

fn new(kind: Kind, created: Time) -> Account {
    Account {
        kind,
        description: String::new(),
        created,
        is_disabled: false,
        is_administrator: false,
        expires: None,
        groups: BTreeSet::new(),
        grants: Vec::new(),
        password: None,
        tokens: Vec::new(),
    }
}

fn problem(put: &PutAccount) -> Option<String> {
    if !is_name(&put.name) {
        return Some(format!(
            "{:?} cannot be the name of an account: use lower-case letters, digits and single separators (. _ -), at most 64 characters, and none of the words with a meaning of their own (anonymous, authenticated, everyone, oidc, serviceaccount, token)",
            put.name
        ));
    }
    let robot = put.kind == Kind::Robot;
    if robot && put.password.is_some() {
        return Some("a robot has tokens and no password".into());
    }
    if robot && put.is_administrator == Some(true) {
        return Some(
            "a robot cannot be an administrator: give it what it needs on the repositories it works with".into(),
        );
    }
    if !robot && put.grants.as_ref().is_some_and(|grants| !grants.is_empty()) {
        return Some("only robots have grants of their own: a user gets what policies grant".into());
    }
    if put.grants.as_ref().is_some_and(|grants| grants.len() > MAX_GRANTS) {
        return Some(format!("an account has at most {MAX_GRANTS} grants"));
    }
    if let Some(groups) = &put.groups {
        if groups.len() > MAX_GROUPS {
            return Some(format!("an account is in at most {MAX_GROUPS} groups"));
        }
        if let Some(group) = groups.iter().find(|group| !is_name(group)) {
            return Some(format!("{group:?} cannot be the name of a group"));
        }
    }
    let is_long = put.description.as_ref().is_some_and(|text| text.len() > MAX_DESCRIPTION);
    is_long.then(|| format!("a description has at most {MAX_DESCRIPTION} bytes"))
}

pub fn delete(transaction: &mut Transaction<'_>, name: &str) -> Result<Reply, RecordsError> {
    let Some(account) = get(transaction, name)? else {
        return Ok(Err(Refusal::AccountUnknown { name: name.to_owned() }));
    };
    if let Err(refusal) = replace(transaction, name, Some(&account), None)? {
        return Ok(Err(refusal));
    }
    for id in &account.tokens {
        tokens::remove(transaction, id);
    }
    Ok(Ok(Outcome::Done))
}

/// Changes an account that is there in a way that leaves its kind and its rights as they are.
pub fn update(
    transaction: &mut Transaction<'_>,
    name: &str,
    change: impl FnOnce(&mut Account) -> Result<(), Refusal>,
) -> Result<Reply, RecordsError> {
    let Some(mut account) = get(transaction, name)? else {
        return Ok(Err(Refusal::AccountUnknown { name: name.to_owned() }));
    };
    if let Err(refusal) = change(&mut account) {
        return Ok(Err(refusal));
    }
    transaction.save(Table::Accounts, name.as_bytes(), &account);
    Ok(Ok(Outcome::Done))
}

pub fn set_password(
    transaction: &mut Transaction<'_>,
    name: &str,
    password: Option<&PasswordHash>,
) -> Result<Reply, RecordsError> {
    update(transaction, name, |account| {
        if account.kind == Kind::Robot {
            return Err(Refusal::AccessInvalid { reason: "a robot has tokens and no password".into() });
        }
        account.password = password.cloned();
        Ok(())
    })
}

pub fn change_group(
    transaction: &mut Transaction<'_>,
    group: &str,
    add: &[String],
    remove: &[String],
) -> Result<Reply, RecordsError> {
    if !is_name(group) {
        return Ok(invalid(format!("{group:?} cannot be the name of a group")));
    }
    if add.len() + remove.len() > MAX_MEMBERS {
        return Ok(invalid(format!("at most {MAX_MEMBERS} accounts at once")));
    }
    for name in add {
        let changed = update(transaction, name, |account| {
            if account.groups.len() >= MAX_GROUPS && !account.groups.contains(group) {
                return Err(Refusal::AccessInvalid { reason: format!("{name} is in {MAX_GROUPS} groups already") });
            }
            account.groups.insert(group.to_owned());
            Ok(())
        })?;
        if changed.is_err() {
            return Ok(changed);
        }
    }
    for name in remove {
        let changed = update(transaction, name, |account| {
            account.groups.remove(group);
            Ok(())
        })?;
        if changed.is_err() {
            return Ok(changed);
        }
    }
    Ok(Ok(Outcome::Done))
}

/// Makes the first administrator for whoever has the token that was offered, once.
pub fn take_first(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    hash: &Bytes,
    name: &str,
    password: &PasswordHash,
) -> Result<Reply, RecordsError> {
    let known = access(transaction)?;
    if known.administrators > 0 {
        return Ok(Err(Refusal::AdministratorExists));
    }
    if !known.first.is_some_and(|(offered, expires)| offered == hash && entry.time < expires) {
        return Ok(Err(Refusal::TokenUnknown));
    }
    let new = PutAccount {
        is_administrator: Some(true),
        password: Some(password.clone()),
        ..PutAccount::of(name, Kind::User, true)
    };
    put(transaction, entry, &new)
}
