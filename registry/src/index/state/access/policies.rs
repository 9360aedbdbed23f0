//! Policies: kept as they were written, and read together as the rules in force.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::super::records::{Records, RecordsError, Table, Transaction, collect_decoded, encode};
use super::{access, invalid, is_name, save};
use crate::auth::decide::Rules;
use crate::auth::policy::Policy;
use crate::index::command::{Outcome, Refusal, Reply};

/// Policies at most, and bytes of all of them: they are read as a whole.
const MAX_POLICIES: u64 = 1000;
const MAX_BYTES: u64 = 1 << 20;

/// Rules as they were read before, by the sum of the policies they come from: so it is always right to use them.
static READ: Mutex<VecDeque<(Bytes, Arc<Rules>)>> = Mutex::new(VecDeque::new());
const READ_MOST: usize = 8;

pub fn all(records: &dyn Records) -> Result<Vec<(String, Policy)>, RecordsError> {
    let found = collect_decoded(records, Table::Policies, &[], usize::MAX)?;
    Ok(found.into_iter().map(|(key, policy)| (String::from_utf8_lossy(&key).into_owned(), policy)).collect())
}

/// The rules in force.
pub fn rules(records: &dyn Records) -> Result<Arc<Rules>, RecordsError> {
    let sum = access(records)?.policy_sum;
    let read = || READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, rules)) = read().iter().find(|(known, _)| *known == sum) {
        return Ok(Arc::clone(rules));
    }
    let policies = if sum.is_empty() { Vec::new() } else { all(records)? };
    let rules = Arc::new(Rules::of(policies));
    let mut read = read();
    read.push_front((sum, Arc::clone(&rules)));
    read.truncate(READ_MOST);
    Ok(rules)
}

/// Counts the policies again after one has changed.
fn count(transaction: &mut Transaction<'_>) -> Result<Result<(), Refusal>, RecordsError> {
    let (mut policies, mut bytes, mut sum) = (0, 0, Sha256::new());
    transaction.scan(Table::Policies, &[], &[], false, &mut |key, value| {
        policies += 1;
        bytes += value.len() as u64;
        for part in [key, value] {
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part);
        }
        ControlFlow::Continue(())
    })?;
    if policies > MAX_POLICIES || bytes > MAX_BYTES {
        let reason = format!("there may be {MAX_POLICIES} policies with {MAX_BYTES} bytes together");
        return Ok(Err(Refusal::AccessInvalid { reason }));
    }
    let mut access = access(transaction)?;
    access.policies = policies;
    access.policy_bytes = bytes;
    let sum: [u8; 32] = sum.finalize().into();
    access.policy_sum = if policies == 0 { Bytes::new() } else { Bytes::copy_from_slice(&sum) };
    save(transaction, &access);
    Ok(Ok(()))
}

pub fn put(transaction: &mut Transaction<'_>, name: &str, policy: &Policy) -> Result<Reply, RecordsError> {
    if !is_name(name) {
        return Ok(invalid(format!("{name:?} cannot be the name of a policy")));
    }
    let problems = policy.problems();
    if !problems.is_empty() {
        return Ok(invalid(problems.join("; ")));
    }
    transaction.put(Table::Policies, name.as_bytes(), encode(policy));
    Ok(count(transaction)?.map(|()| Outcome::Done))
}

pub fn delete(transaction: &mut Transaction<'_>, name: &str) -> Result<Reply, RecordsError> {
    if transaction.get(Table::Policies, name.as_bytes())?.is_none() {
        return Ok(Err(Refusal::PolicyUnknown { name: name.to_owned() }));
    }
    transaction.remove(Table::Policies, name.as_bytes());
    Ok(count(transaction)?.map(|()| Outcome::Done))
}
