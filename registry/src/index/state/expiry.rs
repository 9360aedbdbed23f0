//! Expiry: does what the queue says is due, a bounded number of things in one entry. Proposed when the head is due, and
//! harmless if proposed twice.

use super::access::quotas;
use super::queue::{self, Item};
use super::records::{RecordsError, Transaction};
use super::{Entry, links, manifests, referrers, settings, tags, uploads};
use crate::index::command::{Expire, Outcome, Reply};

/// Most things done in one entry, whatever was asked.
const MOST: u32 = 1000;
/// Records changed by one entry, about, behind which the rest waits for the next: a manifest alone may let twenty thousand
/// blobs go.
const MOST_CHANGES: usize = 20_000;
/// Manifests looked at by one step of a sweep.
const SWEEP: usize = 200;

pub fn expire(transaction: &mut Transaction<'_>, entry: &Entry<'_>, expire: &Expire) -> Result<Reply, RecordsError> {
    let limit = expire.limit.min(MOST);
    let due = queue::due(transaction, entry.time, limit as usize)?;
    let mut done = 0;
    for (time, item) in due {
        if transaction.changed() >= MOST_CHANGES {
            break;
        }
        done += 1;
        queue::take_out(transaction, time, &item);
        match &item {
            Item::Upload(id) => uploads::expire(transaction, entry.time, entry.policy, id)?,
            Item::Link(name) => links::expire(transaction, entry.time, entry.policy, time, name)?,
            Item::Untagged { repository, digest } => {
                manifests::untagged_is_due(transaction, entry, repository, digest)?;
            }
            Item::Referrers { repository, subject, after } => {
                referrers::expire(transaction, entry, repository, subject, after.as_ref())?;
            }
            Item::History { repository, tag } => {
                tags::expire_history(transaction, entry.time, entry.policy, repository, tag)?;
            }
            Item::CountQuota { name, id } => quotas::count(transaction, entry, name, *id)?,
            Item::ForgetQuota { id } => quotas::forget(transaction, entry, *id)?,
            Item::Sweep { after } => manifests::sweep(transaction, entry, after, SWEEP)?,
        }
    }
    let mut clock = settings::clock(transaction)?;
    let next = queue::next_due(transaction)?;
    clock.expired_until = next.map_or(entry.time, |head| head.min(entry.time));
    settings::save_clock(transaction, &clock);
    Ok(Ok(Outcome::Expired { done, more: next.is_some_and(|head| head <= entry.time) }))
}
