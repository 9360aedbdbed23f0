//! Who may do what: accounts, tokens, policies and keys, and the guard that judges each command and question by them.

pub mod accounts;
pub mod answers;
pub mod audit;
pub mod guard;
pub mod issuers;
pub mod keys;
pub mod policies;
pub mod quotas;
pub mod tokens;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Entry;
use super::records::{Records, RecordsError, Table, Transaction, load};
use crate::index::access::AccessChange;
use crate::index::command::{Outcome, Refusal, Reply, Time};

const ACCESS: &[u8] = b"access";

/// What the index as a whole remembers of access.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Accounts, and those of them that are administrators and can be used.
    #[serde(default)]
    pub accounts: u64,
    #[serde(default)]
    pub administrators: u64,
    /// Policies, their bytes, and what tells their content from any other: empty while there are none.
    #[serde(default)]
    pub policies: u64,
    #[serde(default)]
    pub policy_bytes: u64,
    #[serde(default)]
    pub policy_sum: Bytes,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quotas: u64,
    /// Whoever has the token with this hash may make the first administrator, until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<(Bytes, Time)>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde calls
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

pub fn access(records: &dyn Records) -> Result<Access, RecordsError> {
    Ok(load(records, Table::Settings, ACCESS)?.unwrap_or_default())
}

pub fn save(transaction: &mut Transaction<'_>, access: &Access) {
    transaction.save(Table::Settings, ACCESS, access);
}

/// Longer than all names that are taken.
const MOST_NAME: usize = 1024;

/// Something is not as it must be.
fn invalid(reason: impl Into<String>) -> Reply {
    Err(Refusal::AccessInvalid { reason: reason.into() })
}

pub fn change(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    change: &AccessChange,
) -> Result<Reply, RecordsError> {
    // Nothing is called so, and the store takes no key of any length.
    if names(change).into_iter().any(|name| name.len() > MOST_NAME) {
        return Ok(invalid(format!("a name has {MOST_NAME} bytes at most")));
    }
    match change {
        AccessChange::PutAccount(put) => accounts::put(transaction, entry, put),
        AccessChange::DeleteAccount { name } => accounts::delete(transaction, name),
        AccessChange::SetPassword { account, password } => {
            accounts::set_password(transaction, account, password.as_ref())
        }
        AccessChange::PutToken(put) => tokens::put(transaction, entry, put),
        AccessChange::DeleteToken { account, id } => tokens::delete(transaction, account, id),
        AccessChange::NoteUse { tokens } => tokens::note_use(transaction, tokens),
        AccessChange::ChangeGroup { group, add, remove } => accounts::change_group(transaction, group, add, remove),
        AccessChange::PutPolicy { name, policy } => policies::put(transaction, name, policy),
        AccessChange::DeletePolicy { name } => policies::delete(transaction, name),
        AccessChange::PutQuota { name, quota } => quotas::put(transaction, entry, name, quota),
        AccessChange::DeleteQuota { name } => quotas::delete(transaction, entry, name),
        AccessChange::PutIssuer { name, issuer } => issuers::put(transaction, entry, name, issuer),
        AccessChange::DeleteIssuer { name } => issuers::delete(transaction, name),
        AccessChange::PutKey { key, unless_younger } => keys::put(transaction, entry, key, *unless_younger),
        AccessChange::OfferFirst { hash, expires } => offer_first(transaction, hash, *expires),
        AccessChange::TakeFirst { hash, name, password, .. } => {
            accounts::take_first(transaction, entry, hash, name, password)
        }
    }
}

/// Everything that a change looks up by its name; first what it is about.
fn names(change: &AccessChange) -> Vec<&String> {
    match change {
        AccessChange::PutAccount(put) => std::iter::once(&put.name).chain(put.groups.iter().flatten()).collect(),
        AccessChange::SetPassword { account, .. } => vec![account],
        AccessChange::PutToken(put) => vec![&put.account, &put.id],
        AccessChange::DeleteToken { account, id } => vec![account, id],
        AccessChange::NoteUse { tokens } => tokens.iter().map(|(id, _)| id).collect(),
        AccessChange::ChangeGroup { group, add, remove } => std::iter::once(group).chain(add).chain(remove).collect(),
        AccessChange::DeleteAccount { name }
        | AccessChange::PutPolicy { name, .. }
        | AccessChange::DeletePolicy { name }
        | AccessChange::PutQuota { name, .. }
        | AccessChange::DeleteQuota { name }
        | AccessChange::PutIssuer { name, .. }
        | AccessChange::DeleteIssuer { name }
        | AccessChange::TakeFirst { name, .. } => vec![name],
        AccessChange::PutKey { key, .. } => vec![&key.id],
        AccessChange::OfferFirst { .. } => Vec::new(),
    }
}

/// While there is no administrator, whoever keeps the machine may name a token for the first.
fn offer_first(transaction: &mut Transaction<'_>, hash: &Bytes, expires: Time) -> Result<Reply, RecordsError> {
    let mut access = access(transaction)?;
    if access.administrators > 0 {
        return Ok(Err(Refusal::AdministratorExists));
    }
    access.first = Some((hash.clone(), expires));
    save(transaction, &access);
    Ok(Ok(Outcome::Done))
}

/// Whether this is a name of an account or a group: a part of a repository's name, so that patterns can have it, and not
/// one of those that mean something else where a client logs in.
fn is_name(name: &str) -> bool {
    const RESERVED: [&str; 6] = ["anonymous", "authenticated", "everyone", "oidc", "serviceaccount", "token"];
    name.len() <= 64
        && !name.contains('/')
        && name.parse::<crate::oci::name::RepositoryName>().is_ok()
        && !RESERVED.contains(&name)
}
