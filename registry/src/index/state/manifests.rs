//! Manifests of a repository: accepted only whole, deleted only when nothing lists them, and all that hangs on them
//! (tags, links, parents, referrers) changed in the same entry.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::access::quotas::{self, Phase};
use super::queue::{self, Item};
use super::records::{Records, RecordsError, Table, Transaction, exists, load, past};
use super::{Entry, blobs, events, keys, links, referrers, repositories, settings, tags};
use crate::index::command::{DeleteManifest, Outcome, Part, PutManifest, Refusal, Reply, Time};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// Kind of [`Table::Counts`]: repositories that hold a manifest.
const HOLDERS: u8 = b'm';

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestRecord {
    pub media_type: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    pub time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Blobs that this manifest references, and manifests that it lists: what deleting it lets go.
    pub blobs: Vec<Digest>,
    pub children: Vec<Digest>,
}

pub fn get(
    records: &dyn Records,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<Option<ManifestRecord>, RecordsError> {
    load(records, Table::Manifests, &keys::in_repository(name, digest))
}

/// Missing parts that a refusal names, at most.
const NAMED: usize = 32;

/// Parts that the repository lacks, or the first whose size is not what its descriptor claims.
fn check_parts(records: &dyn Records, put: &PutManifest) -> Result<Result<(), Refusal>, RecordsError> {
    let mut missing = Vec::new();
    let differs =
        |part: &Part, actual: u64| Err(Refusal::SizeMismatch { digest: part.digest, claimed: part.size, actual });
    let blobs = put.blobs.iter().map(|part| (part, put.sparse));
    for (part, may_lack) in blobs.chain(put.foreign.iter().map(|part| (part, true))) {
        if !exists(records, Table::Links, &keys::in_repository(&put.repository, &part.digest))? {
            if !may_lack {
                missing.push(part.digest);
            }
        } else if let Some(blob) = blobs::get(records, &part.digest)?
            && blob.size != part.size
        {
            return Ok(differs(part, blob.size));
        }
    }
    for part in &put.children {
        match get(records, &put.repository, &part.digest)? {
            None if !put.sparse => missing.push(part.digest),
            Some(child) if child.size != part.size => return Ok(differs(part, child.size)),
            None | Some(_) => {}
        }
    }
    // It is kept with the replies to recent requests, and a manifest may list tens of thousands.
    missing.truncate(NAMED);
    Ok(if missing.is_empty() { Ok(()) } else { Err(Refusal::PartsMissing { missing }) })
}

pub fn put(transaction: &mut Transaction<'_>, entry: &Entry<'_>, put: &PutManifest) -> Result<Reply, RecordsError> {
    let name = &put.repository;
    if let Some(tag) = put.tags.first()
        && let Err(refusal) = tags::check(transaction, name, tag, put.condition.as_ref())?
    {
        return Ok(Err(refusal));
    }
    let before = get(transaction, name, &put.digest)?;
    if let Some(stored) = &before
        && stored.media_type != put.media_type
    {
        return Ok(Err(Refusal::MediaTypeMismatch { stored: stored.media_type.clone() }));
    }
    if before.is_none() {
        if let Err(refusal) = check_parts(transaction, put)? {
            return Ok(Err(refusal));
        }
        add(transaction, entry, put)?;
    }
    for tag in &put.tags {
        tags::set(transaction, entry, name, tag, &put.digest)?;
    }
    maybe_untagged(transaction, entry, name, &put.digest)?;
    Ok(Ok(Outcome::Manifest { existed: before.is_some() }))
}

fn add(transaction: &mut Transaction<'_>, entry: &Entry<'_>, put: &PutManifest) -> Result<(), RecordsError> {
    let (name, digest) = (&put.repository, &put.digest);
    let record = ManifestRecord {
        media_type: put.media_type.clone(),
        size: put.bytes.len() as u64,
        artifact_type: put.artifact_type.clone(),
        subject: put.subject,
        time: entry.time,
        who: entry.who.map(str::to_owned),
        blobs: put.blobs.iter().chain(&put.foreign).map(|part| part.digest).collect(),
        children: put.children.iter().map(|part| part.digest).collect(),
    };
    let holders = keys::count(HOLDERS, &keys::digest(digest));
    if settings::add(transaction, &holders, 1)? == 1 {
        transaction.put(Table::ManifestBytes, &keys::digest(digest), put.bytes.clone());
    }
    transaction.save(Table::Manifests, &keys::in_repository(name, digest), &record);
    quotas::digest_came(transaction, Phase::Manifests, name, digest, record.size)?;
    for blob in &record.blobs {
        links::reference(transaction, name, blob)?;
    }
    for child in &record.children {
        transaction.put(Table::Parents, &keys::pair(name, child, digest), bytes::Bytes::new());
    }
    if put.subject.is_some() {
        referrers::add(transaction, put);
    }
    repositories::change(transaction, entry.time, name, |repository| {
        repository.manifests += 1;
        repository.bytes += record.size;
    })?;
    settings::count(transaction, |counts| counts.manifests += 1)?;
    events::add_manifest(transaction, entry, name, digest, true);
    Ok(())
}

/// A manifest of the repository that lists this one.
fn parent(records: &dyn Records, name: &RepositoryName, digest: &Digest) -> Result<Option<Digest>, RecordsError> {
    let prefix = keys::in_repository(name, digest);
    let mut parent = None;
    records.scan(Table::Parents, &prefix, &past(&prefix), false, &mut |key, _| {
        parent = keys::digest_at(&key[prefix.len()..]);
        ControlFlow::Break(())
    })?;
    Ok(parent)
}

/// Tags that one entry takes away with their manifest at most: all is done at once, in the memory of every member.
pub const MOST_TAGS: usize = 10_000;

pub fn delete(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    delete: &DeleteManifest,
) -> Result<Reply, RecordsError> {
    let (name, digest) = (&delete.repository, &delete.digest);
    if get(transaction, name, digest)?.is_none() {
        let there = repositories::is_there(transaction, name)?;
        return Ok(Err(if there { Refusal::ManifestUnknown } else { Refusal::RepositoryUnknown }));
    }
    if let Some(parent) = parent(transaction, name, digest)? {
        return Ok(Err(Refusal::ManifestInUse { parent }));
    }
    if tags::all_at(transaction, name, digest, MOST_TAGS + 1)?.len() > MOST_TAGS {
        return Ok(Err(Refusal::TooManyTags { most: MOST_TAGS as u32 }));
    }
    remove(transaction, entry, name, digest, entry.time.after(entry.policy.untagged.unwrap_or_default()))?;
    Ok(Ok(Outcome::Done))
}

/// Removes a manifest with its tags; what it needed is let go, and its referrers are looked at from `referrers_due` on.
fn remove(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    digest: &Digest,
    referrers_due: Time,
) -> Result<(), RecordsError> {
    let Some(record) = get(transaction, name, digest)? else { return Ok(()) };
    for tag in tags::all_at(transaction, name, digest, usize::MAX)? {
        tags::remove(transaction, entry, name, &tag, digest)?;
    }
    transaction.remove(Table::Manifests, &keys::in_repository(name, digest));
    quotas::digest_went(transaction, Phase::Manifests, name, digest, record.size)?;
    for blob in &record.blobs {
        links::unreference(transaction, entry.time, entry.policy, name, blob)?;
    }
    for child in &record.children {
        transaction.remove(Table::Parents, &keys::pair(name, child, digest));
        maybe_untagged(transaction, entry, name, child)?;
    }
    if let Some(subject) = &record.subject {
        referrers::remove(transaction, name, subject, digest);
    }
    if settings::add(transaction, &keys::count(HOLDERS, &keys::digest(digest)), -1)? == 0 {
        transaction.remove(Table::ManifestBytes, &keys::digest(digest));
    }
    repositories::change(transaction, entry.time, name, |repository| {
        repository.manifests -= 1;
        repository.bytes = repository.bytes.saturating_sub(record.size);
    })?;
    settings::count(transaction, |counts| counts.manifests -= 1)?;
    if entry.policy.untagged.is_some() && referrers::any(transaction, name, digest)? {
        let item = Item::Referrers { repository: name.clone(), subject: *digest, after: None };
        queue::push(transaction, referrers_due, &item);
    }
    events::add_manifest(transaction, entry, name, digest, false);
    Ok(())
}

/// Whether the policy on untagged manifests spares this one: it has a tag, a parent or a living subject.
fn is_held(
    records: &dyn Records,
    name: &RepositoryName,
    digest: &Digest,
    record: &ManifestRecord,
) -> Result<bool, RecordsError> {
    if tags::any_at(records, name, digest)? || parent(records, name, digest)?.is_some() {
        return Ok(true);
    }
    match &record.subject {
        Some(subject) => exists(records, Table::Manifests, &keys::in_repository(name, subject)),
        None => Ok(false),
    }
}

/// If nothing holds the manifest any more, the policy will look at it when its time has come.
pub fn maybe_untagged(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let Some(age) = entry.policy.untagged else { return Ok(()) };
    let Some(record) = get(transaction, name, digest)? else { return Ok(()) };
    if is_held(transaction, name, digest, &record)? {
        return Ok(());
    }
    let item = Item::Untagged { repository: name.clone(), digest: *digest };
    let key = keys::count(UNTAGGED, &keys::in_repository(name, digest));
    if let Some(due) = load::<Time>(transaction, Table::Counts, &key)? {
        queue::take_out(transaction, due, &item);
    }
    let due = entry.time.after(age);
    transaction.save(Table::Counts, &key, &due);
    queue::push(transaction, due, &item);
    Ok(())
}

/// Kind of [`Table::Counts`]: when an untagged manifest is looked at.
const UNTAGGED: u8 = b'u';

/// An item of the queue about an untagged manifest is due. One that was left behind by an earlier look says nothing.
pub fn untagged_is_due(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let due: Option<Time> =
        load(transaction, Table::Counts, &keys::count(UNTAGGED, &keys::in_repository(name, digest)))?;
    if due.is_some() { expire_untagged(transaction, entry, name, digest) } else { Ok(()) }
}

/// Nothing holds a manifest any more, and its age has come, unless it was pushed or let go so lately that it has a time of its
/// own.
pub fn expire_untagged(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let key = keys::count(UNTAGGED, &keys::in_repository(name, digest));
    if load::<Time>(transaction, Table::Counts, &key)?.is_some_and(|due| due > entry.time) {
        return Ok(());
    }
    transaction.remove(Table::Counts, &key);
    let Some(record) = get(transaction, name, digest)? else { return Ok(()) };
    if entry.policy.untagged.is_none() || is_held(transaction, name, digest, &record)? {
        return Ok(());
    }
    remove(transaction, entry, name, digest, entry.time)
}

/// Looks for manifests that nothing holds, when the policy was turned on; a bounded number each time.
pub fn sweep(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    after: &[u8],
    limit: usize,
) -> Result<(), RecordsError> {
    let mut from = after.to_vec();
    from.push(0);
    let mut seen = Vec::new();
    transaction.scan(Table::Manifests, if after.is_empty() { after } else { &from }, &[], false, &mut |key, _| {
        seen.push(key.to_vec());
        if seen.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for key in &seen {
        if let Some((name, rest)) = keys::after_repository(key)
            && let Some(digest) = keys::digest_at(rest)
        {
            maybe_untagged(transaction, entry, &name, &digest)?;
        }
    }
    if seen.len() == limit
        && let Some(last) = seen.pop()
    {
        queue::push(transaction, entry.time, &Item::Sweep { after: last.into() });
    }
    Ok(())
}
