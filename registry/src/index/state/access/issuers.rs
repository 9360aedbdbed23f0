//! Issuers of tokens who are trusted, each with the position of the entry that said so.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::super::Entry;
use super::super::records::{Records, RecordsError, Table, Transaction, collect_decoded, load};
use super::invalid;
use crate::auth::issuer::{Issuer, is_issuer_name};
use crate::index::command::{Outcome, Refusal, Reply};

/// Issuers at most: every process that serves clients knows all of them.
const MAX_ISSUERS: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerRecord {
    pub issuer: Issuer,
    pub version: u64,
}

pub fn get(records: &dyn Records, name: &str) -> Result<Option<IssuerRecord>, RecordsError> {
    load(records, Table::Issuers, name.as_bytes())
}

pub fn all(records: &dyn Records) -> Result<Vec<(String, IssuerRecord)>, RecordsError> {
    let found = collect_decoded(records, Table::Issuers, &[], usize::MAX)?;
    Ok(found.into_iter().map(|(key, record)| (String::from_utf8_lossy(&key).into_owned(), record)).collect())
}

pub fn put(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &str,
    issuer: &Issuer,
) -> Result<Reply, RecordsError> {
    if !is_issuer_name(name) {
        return Ok(invalid(format!(
            "{name:?} cannot be the name of an issuer: use 2 to 32 lowercase letters that are no other kind of subject"
        )));
    }
    let problems = issuer.problems();
    if !problems.is_empty() {
        return Ok(invalid(problems.join("; ")));
    }
    let before: Option<IssuerRecord> = load(transaction, Table::Issuers, name.as_bytes())?;
    // Said once more it stays what it is, and so do those for whom it vouches.
    if before.as_ref().is_some_and(|before| before.issuer == *issuer) {
        return Ok(Ok(Outcome::Done));
    }
    let mut others = 0;
    transaction.scan(Table::Issuers, &[], &[], false, &mut |key, _| {
        others += usize::from(key != name.as_bytes());
        ControlFlow::Continue(())
    })?;
    if others >= MAX_ISSUERS {
        return Ok(invalid(format!("there may be {MAX_ISSUERS} issuers")));
    }
    let record = IssuerRecord { issuer: issuer.clone(), version: entry.position };
    transaction.save(Table::Issuers, name.as_bytes(), &record);
    Ok(Ok(Outcome::Done))
}

pub fn delete(transaction: &mut Transaction<'_>, name: &str) -> Result<Reply, RecordsError> {
    if transaction.get(Table::Issuers, name.as_bytes())?.is_none() {
        return Ok(Err(Refusal::IssuerUnknown { name: name.to_owned() }));
    }
    transaction.remove(Table::Issuers, name.as_bytes());
    Ok(Ok(Outcome::Done))
}
