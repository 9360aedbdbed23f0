//! Requests: the replies to recent commands, so that a retried one is answered and not applied again.
//!
//! A reply is kept for ten minutes; a command whose sender last saw the index more than five minutes ago is refused. So
//! no command can be retried after its reply was forgotten.

use std::ops::ControlFlow;

use super::keys;
use super::records::{Records, RecordsError, Table, Transaction, load};
use super::settings::Clock;
use crate::index::command::{Reply, RequestId, Time};

const KEPT: u64 = 10 * 60_000;
const TAKEN: u64 = 5 * 60_000;
/// Replies kept at most; past that the oldest go earlier, and so does the refusal of what is as old.
const MOST: u64 = if cfg!(test) { 500 } else { 500_000 };
/// Replies dropped with one entry, at most.
const STEP: usize = 2;

/// What is known of a request before it is applied.
pub enum Seen {
    New,
    Before(Reply),
    TooOld,
}

pub fn look(records: &dyn Records, clock: &Clock, id: RequestId) -> Result<Seen, RecordsError> {
    #[cfg(feature = "mutants")]
    if crate::index::mutants::is(crate::index::mutants::Mutant::LostDeduplication) {
        return Ok(Seen::New);
    }
    if let Some(reply) = load(records, Table::Requests, &keys::request(id))? {
        return Ok(Seen::Before(reply));
    }
    let oldest = clock.time.before(TAKEN).max(clock.requests_since);
    Ok(if id.seen() < oldest { Seen::TooOld } else { Seen::New })
}

/// Keeps a reply, and drops a few that are past their time.
pub fn keep(
    transaction: &mut Transaction<'_>,
    clock: &mut Clock,
    id: RequestId,
    reply: &Reply,
) -> Result<(), RecordsError> {
    transaction.save(Table::Requests, &keys::request(id), reply);
    clock.requests += 1;
    // Of the millisecond before it some may be left, which must go before later ones.
    let from = keys::request(RequestId::new(clock.requests_since.before(1), 0));
    let expired = clock.time.before(KEPT);
    let too_many = clock.requests > MOST;
    let mut old = Vec::new();
    transaction.scan(Table::Requests, &from, &[], false, &mut |key, _| {
        let Ok(raw) = key.try_into() else { return ControlFlow::Break(()) };
        let seen = RequestId(u128::from_be_bytes(raw)).seen();
        // Those of this moment stay, for what comes now must not be refused.
        if old.len() < STEP && (seen < expired || (too_many && seen < clock.time)) {
            old.push((key.to_vec(), seen));
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    for (key, seen) in old {
        transaction.remove(Table::Requests, &key);
        clock.requests -= 1;
        // All that begins in the same millisecond is refused from now on, for one of them is forgotten.
        clock.requests_since = clock.requests_since.max(Time(seen.0 + u64::from(too_many)));
    }
    Ok(())
}
