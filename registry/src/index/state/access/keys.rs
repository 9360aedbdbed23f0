//! Keys that sign bearer tokens. An old one stays for as long as what it signed may be good.

use super::super::Entry;
use super::super::records::{Records, RecordsError, Table, Transaction, collect_decoded};
use super::invalid;
use crate::index::access::{KEY_KEPT, SigningKey};
use crate::index::command::{Outcome, Reply};

/// Keys at most.
const MAX_KEYS: usize = 16;

/// All keys, the newest first.
pub fn all(records: &dyn Records) -> Result<Vec<SigningKey>, RecordsError> {
    let found = collect_decoded(records, Table::Keys, &[], usize::MAX)?;
    Ok(found.into_iter().map(|(_, key)| key).rev().collect())
}

/// Sorts as the keys were made.
fn place(key: &SigningKey) -> Vec<u8> {
    let mut place = key.created.0.to_be_bytes().to_vec();
    place.extend_from_slice(key.id.as_bytes());
    place
}

pub fn put(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    key: &SigningKey,
    unless_younger: u64,
) -> Result<Reply, RecordsError> {
    if key.id.is_empty() || key.id.len() > 64 || key.public.len() != 32 || key.private.len() > 256 {
        return Ok(invalid("this is not a key that signs tokens"));
    }
    let known = all(transaction)?;
    // Somebody else was first.
    if known.first().is_some_and(|newest| entry.time < newest.created.after(unless_younger)) {
        return Ok(Ok(Outcome::Done));
    }
    let key = SigningKey { created: entry.time, ..key.clone() };
    transaction.save(Table::Keys, &place(&key), &key);
    // A key went out of use when the one after it was made.
    let mut next = key.created;
    for (old, number) in known.iter().zip(1..) {
        if next.after(KEY_KEPT) < entry.time || number >= MAX_KEYS {
            transaction.remove(Table::Keys, &place(old));
        }
        next = old.created;
    }
    Ok(Ok(Outcome::Done))
}
