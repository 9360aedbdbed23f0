//! Tags: a register per (repository, tag), with conditions judged here, in the entry, and a history of every change.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::access::quotas;
use super::queue::{self, Item};
use super::records::{Records, RecordsError, Table, Transaction, decode, exists, load, past};
use super::{Entry, events, keys, manifests, repositories, settings};
use crate::index::command::{Condition, DeleteTag, Outcome, Policy, Refusal, Reply, Time};
use crate::index::query::TagChange;
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// Kind of [`Table::Counts`]: changes kept of a tag.
const HISTORY: u8 = b'h';

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    pub digest: Digest,
    /// The entry that set it.
    pub position: u64,
    pub time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

pub fn get(records: &dyn Records, name: &RepositoryName, tag: &Tag) -> Result<Option<TagRecord>, RecordsError> {
    load(records, Table::Tags, &keys::tag(name, tag))
}

/// Whether the tag, which points at `current`, satisfies the condition (RFC 9110 §13.1.1, §13.1.2).
pub fn holds(condition: &Condition, current: Option<&Digest>) -> bool {
    match condition {
        Condition::Matches(wanted) => current.is_some_and(|digest| wanted.contains(digest)),
        Condition::Exists => current.is_some(),
        Condition::Absent => current.is_none(),
        Condition::MatchesNot(unwanted) => current.is_none_or(|digest| !unwanted.contains(digest)),
    }
}

/// Judges an optional condition on a tag.
pub fn check(
    records: &dyn Records,
    name: &RepositoryName,
    tag: &Tag,
    condition: Option<&Condition>,
) -> Result<Result<(), Refusal>, RecordsError> {
    let Some(condition) = condition else { return Ok(Ok(())) };
    let current = get(records, name, tag)?.map(|record| record.digest);
    Ok(if holds(condition, current.as_ref()) { Ok(()) } else { Err(Refusal::ConditionFailed { current }) })
}

/// Points a tag at a manifest of the repository.
pub fn set(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let before = get(transaction, name, tag)?;
    let new =
        TagRecord { digest: *digest, position: entry.position, time: entry.time, who: entry.who.map(str::to_owned) };
    transaction.save(Table::Tags, &keys::tag(name, tag), &new);
    match before {
        Some(old) if old.digest == *digest => return Ok(()), // the same again is no change
        Some(old) => {
            transaction.remove(Table::TagsByDigest, &keys::tag_of(name, &old.digest, tag));
            transaction.put(Table::TagsByDigest, &keys::tag_of(name, digest, tag), bytes::Bytes::new());
            manifests::maybe_untagged(transaction, entry, name, &old.digest)?;
        }
        None => {
            transaction.put(Table::TagsByDigest, &keys::tag_of(name, digest, tag), bytes::Bytes::new());
            repositories::change(transaction, entry.time, name, |repository| repository.tags += 1)?;
            quotas::tag_came(transaction, name, tag)?;
            settings::count(transaction, |counts| counts.tags += 1)?;
        }
    }
    remember(transaction, entry, name, tag, Some(digest))
}

/// Takes a tag away.
pub fn remove(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), RecordsError> {
    transaction.remove(Table::Tags, &keys::tag(name, tag));
    transaction.remove(Table::TagsByDigest, &keys::tag_of(name, digest, tag));
    repositories::change(transaction, entry.time, name, |repository| repository.tags -= 1)?;
    quotas::tag_went(transaction, name, tag)?;
    settings::count(transaction, |counts| counts.tags -= 1)?;
    let due = entry.time.after(entry.policy.history_age);
    queue::push(transaction, due, &Item::History { repository: name.clone(), tag: tag.clone() });
    remember(transaction, entry, name, tag, None)
}

pub fn delete(transaction: &mut Transaction<'_>, entry: &Entry<'_>, delete: &DeleteTag) -> Result<Reply, RecordsError> {
    if let Err(refusal) = check(transaction, &delete.repository, &delete.tag, delete.condition.as_ref())? {
        return Ok(Err(refusal));
    }
    let Some(record) = get(transaction, &delete.repository, &delete.tag)? else {
        let there = repositories::is_there(transaction, &delete.repository)?;
        return Ok(Err(if there { Refusal::TagUnknown } else { Refusal::RepositoryUnknown }));
    };
    remove(transaction, entry, &delete.repository, &delete.tag, &record.digest)?;
    manifests::maybe_untagged(transaction, entry, &delete.repository, &record.digest)?;
    Ok(Ok(Outcome::TagDeleted { digest: record.digest }))
}

/// Whether any tag of the repository points at the manifest.
pub fn any_at(records: &dyn Records, name: &RepositoryName, digest: &Digest) -> Result<bool, RecordsError> {
    let prefix = keys::in_repository(name, digest);
    let mut any = false;
    records.scan(Table::TagsByDigest, &prefix, &past(&prefix), false, &mut |_, _| {
        any = true;
        ControlFlow::Break(())
    })?;
    Ok(any)
}

/// The tags of the repository that point at the manifest, at most `limit`.
pub fn all_at(
    records: &dyn Records,
    name: &RepositoryName,
    digest: &Digest,
    limit: usize,
) -> Result<Vec<Tag>, RecordsError> {
    let prefix = keys::in_repository(name, digest);
    let mut tags = Vec::new();
    let mut damaged = false;
    records.scan(Table::TagsByDigest, &prefix, &past(&prefix), false, &mut |key, _| {
        match std::str::from_utf8(&key[prefix.len()..]).ok().and_then(|text| text.parse().ok()) {
            Some(tag) => tags.push(tag),
            None => damaged = true,
        }
        if damaged || tags.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if damaged {
        return Err(RecordsError::Damaged { table: Table::TagsByDigest, reason: "not a tag".into() });
    }
    Ok(tags)
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    /// None: deleted.
    digest: Option<Digest>,
    time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<String>,
}

/// Appends to the history of a tag and keeps it within the policy, dropping at most two old changes each time.
fn remember(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    tag: &Tag,
    digest: Option<&Digest>,
) -> Result<(), RecordsError> {
    let prefix = keys::history(name, tag);
    let mut key = prefix.clone();
    key.extend_from_slice(&keys::position(entry.position));
    let change = Change { digest: digest.copied(), time: entry.time, who: entry.who.map(str::to_owned) };
    transaction.save(Table::History, &key, &change);
    events::add_tag(transaction, entry, name, tag, digest);

    let counter = keys::count(HISTORY, &prefix);
    let mut kept = settings::add(transaction, &counter, 1)?;
    for (key, value) in super::records::collect(transaction, Table::History, &prefix, 2)? {
        let old: Change = decode(Table::History, &value)?;
        let too_many = kept > entry.policy.history_count;
        let too_old = old.time.after(entry.policy.history_age) < entry.time;
        if kept > 1 && (too_many || too_old) {
            transaction.remove(Table::History, &key);
            kept = settings::add(transaction, &counter, -1)?;
        }
    }
    Ok(())
}

/// Forgets the history of a tag that has been gone for as long as history is kept. That may be longer now than it was when
/// the tag went: then it is looked at again.
pub fn expire_history(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    name: &RepositoryName,
    tag: &Tag,
) -> Result<(), RecordsError> {
    if exists(transaction, Table::Tags, &keys::tag(name, tag))? {
        return Ok(());
    }
    let prefix = keys::history(name, tag);
    let counter = keys::count(HISTORY, &prefix);
    let mut again = None;
    let limit = usize::try_from(policy.history_count).unwrap_or(usize::MAX).saturating_add(2);
    for (key, value) in super::records::collect(transaction, Table::History, &prefix, limit)? {
        let old: Change = decode(Table::History, &value)?;
        let due = old.time.after(policy.history_age);
        if due <= now {
            transaction.remove(Table::History, &key);
            settings::add(transaction, &counter, -1)?;
        } else {
            again = Some(due);
        }
    }
    if let Some(due) = again {
        queue::push(transaction, due, &Item::History { repository: name.clone(), tag: tag.clone() });
    }
    Ok(())
}

/// The history of a tag, newest first, as far as the policy keeps it.
pub fn history(
    records: &dyn Records,
    name: &RepositoryName,
    tag: &Tag,
    limit: usize,
) -> Result<Vec<TagChange>, RecordsError> {
    let prefix = keys::history(name, tag);
    let oldest = settings::clock(records)?.time.before(settings::policy(records)?.history_age);
    let mut changes = Vec::new();
    let mut result = Ok(());
    if limit == 0 {
        return Ok(changes);
    }
    records.scan(Table::History, &prefix, &past(&prefix), true, &mut |key, value| {
        let position = key[prefix.len()..].try_into().map_or(0, u64::from_be_bytes);
        match decode::<Change>(Table::History, value) {
            // The newest is what the tag is now, however old.
            Ok(change) if change.time >= oldest || changes.is_empty() => {
                changes.push(TagChange { position, digest: change.digest, time: change.time, who: change.who });
            }
            Ok(_) => return ControlFlow::Break(()),
            Err(error) => {
                result = Err(error);
                return ControlFlow::Break(());
            }
        }
        if changes.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result.map(|()| changes)
}
