//! Quotas, and what each share of them holds: counted with every entry that changes it.
//!
//! What is there when a quota is made is counted by and by, in steps of the queue: through links, manifests and tags in the order
//! of their keys. What an entry changes is counted if the count has passed its key, and else will be met by it.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::queue::{self, Item};
use super::super::records::{Records, RecordsError, Table, Transaction, collect, collect_decoded, load, past};
use super::super::{Entry, blobs, keys, manifests};
use super::{access, invalid, is_name, save};
use crate::auth::quota::Quota;
use crate::index::command::{Outcome, Refusal, Reply};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// Quotas at most: each entry that pushes looks at all of them.
const MAX_QUOTAS: u64 = 100;
/// Records that one step counts or forgets.
const STEP: usize = if cfg!(test) { 3 } else { 500 };

/// How far the count of what was there has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    Links,
    Manifests,
    Tags,
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRecord {
    pub quota: Quota,
    /// Tells it from others that had its name: the position of the entry that made it.
    pub id: u64,
    pub phase: Phase,
    /// In this phase, all up to this key is counted.
    pub after: Bytes,
}

/// What a share holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub bytes: u64,
    pub tags: u64,
}

impl QuotaRecord {
    fn has_counted(&self, phase: Phase, key: &[u8]) -> bool {
        self.phase > phase || (self.phase == phase && *key <= *self.after)
    }
}

/// Where something of a share is, in the table of usage.
fn place(kind: u8, id: u64, share: &str) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&id.to_be_bytes());
    key.extend_from_slice(share.as_bytes());
    key
}

const OF_SHARE: u8 = b'u';
const OF_DIGEST: u8 = b'd';

fn digest_place(id: u64, share: &str, digest: &Digest) -> Vec<u8> {
    let mut key = place(OF_DIGEST, id, share);
    key.push(0);
    key.extend_from_slice(&keys::digest(digest));
    key
}

/// All quotas in the order of their names.
pub fn all(records: &dyn Records) -> Result<Vec<(String, QuotaRecord)>, RecordsError> {
    // Most registries have none, and every push asks.
    if access(records)?.quotas == 0 {
        return Ok(Vec::new());
    }
    let found = collect_decoded(records, Table::Quotas, &[], MAX_QUOTAS as usize + 1)?;
    Ok(found.into_iter().map(|(key, record)| (String::from_utf8_lossy(&key).into_owned(), record)).collect())
}

/// Those that a thing of a repository counts for, each with its share: their count has passed the thing's key.
fn counting<'n>(
    records: &dyn Records,
    phase: Phase,
    name: &'n RepositoryName,
    key: &[u8],
) -> Result<Vec<(String, QuotaRecord, &'n str)>, RecordsError> {
    let counting = |(quota, record): (String, QuotaRecord)| {
        let share = record.quota.repositories.of(name.as_str())?;
        record.has_counted(phase, key).then_some((quota, record, share))
    };
    Ok(all(records)?.into_iter().filter_map(counting).collect())
}

/// What the shares of a quota hold, in the order of their names, at most `limit`.
pub fn usage(records: &dyn Records, id: u64, limit: usize) -> Result<Vec<(String, Usage)>, RecordsError> {
    let prefix = place(OF_SHARE, id, "");
    let found = collect_decoded(records, Table::Usage, &prefix, limit)?;
    let share = |key: &[u8]| String::from_utf8_lossy(&key[prefix.len()..]).into_owned();
    Ok(found.into_iter().map(|(key, usage)| (share(&key), usage)).collect())
}

pub fn put(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &str,
    quota: &Quota,
) -> Result<Reply, RecordsError> {
    if !is_name(name) {
        return Ok(invalid(format!("{name:?} cannot be the name of a quota")));
    }
    if quota.bytes.is_none() && quota.tags.is_none() {
        return Ok(invalid("a quota limits bytes, tags or both"));
    }
    let before: Option<QuotaRecord> = load(transaction, Table::Quotas, name.as_bytes())?;
    let record = match before {
        // What was counted goes on being right.
        Some(record) if record.quota.repositories == quota.repositories => {
            QuotaRecord { quota: quota.clone(), ..record }
        }
        other => {
            let mut access = access(transaction)?;
            match other {
                Some(old) => queue::push(transaction, entry.time, &Item::ForgetQuota { id: old.id }),
                None => access.quotas += 1,
            }
            if access.quotas > MAX_QUOTAS {
                return Ok(invalid(format!("there are {MAX_QUOTAS} quotas already")));
            }
            save(transaction, &access);
            queue::push(transaction, entry.time, &Item::CountQuota { name: name.to_owned(), id: entry.position });
            QuotaRecord { quota: quota.clone(), id: entry.position, phase: Phase::Links, after: Bytes::new() }
        }
    };
    transaction.save(Table::Quotas, name.as_bytes(), &record);
    Ok(Ok(Outcome::Done))
}

pub fn delete(transaction: &mut Transaction<'_>, entry: &Entry<'_>, name: &str) -> Result<Reply, RecordsError> {
    let Some(record) = load::<QuotaRecord>(transaction, Table::Quotas, name.as_bytes())? else {
        return Ok(Err(Refusal::QuotaUnknown { name: name.to_owned() }));
    };
    transaction.remove(Table::Quotas, name.as_bytes());
    let mut access = access(transaction)?;
    access.quotas = access.quotas.saturating_sub(1);
    save(transaction, &access);
    queue::push(transaction, entry.time, &Item::ForgetQuota { id: record.id });
    Ok(Ok(Outcome::Done))
}

/// A digest came into a repository, as a linked blob or as a manifest.
pub fn digest_came(
    transaction: &mut Transaction<'_>,
    phase: Phase,
    name: &RepositoryName,
    digest: &Digest,
    size: u64,
) -> Result<(), RecordsError> {
    for (quota, record, share) in counting(transaction, phase, name, &keys::in_repository(name, digest))? {
        let usage = hold(transaction, &record, share, digest, size)?;
        if let (Some(usage), Some(most)) = (usage, record.quota.bytes)
            && usage.bytes > most
        {
            object(transaction, &quota, share, "bytes", usage.bytes, most);
        }
    }
    Ok(())
}

/// A digest is gone from a repository.
pub fn digest_went(
    transaction: &mut Transaction<'_>,
    phase: Phase,
    name: &RepositoryName,
    digest: &Digest,
    size: u64,
) -> Result<(), RecordsError> {
    for (_, record, share) in counting(transaction, phase, name, &keys::in_repository(name, digest))? {
        let key = digest_place(record.id, share, digest);
        let held: u64 = load(transaction, Table::Usage, &key)?.unwrap_or_default();
        if held > 1 {
            transaction.save(Table::Usage, &key, &(held - 1));
            continue;
        }
        transaction.remove(Table::Usage, &key);
        if held == 1 {
            change(transaction, &record, share, |usage| usage.bytes = usage.bytes.saturating_sub(size))?;
        }
    }
    Ok(())
}

/// A tag was made.
pub fn tag_came(transaction: &mut Transaction<'_>, name: &RepositoryName, tag: &Tag) -> Result<(), RecordsError> {
    for (quota, record, share) in counting(transaction, Phase::Tags, name, &keys::tag(name, tag))? {
        let usage = change(transaction, &record, share, |usage| usage.tags += 1)?;
        if let Some(most) = record.quota.tags
            && usage.tags > most
        {
            object(transaction, &quota, share, "tags", usage.tags, most);
        }
    }
    Ok(())
}

/// A tag is gone.
pub fn tag_went(transaction: &mut Transaction<'_>, name: &RepositoryName, tag: &Tag) -> Result<(), RecordsError> {
    for (_, record, share) in counting(transaction, Phase::Tags, name, &keys::tag(name, tag))? {
        change(transaction, &record, share, |usage| usage.tags = usage.tags.saturating_sub(1))?;
    }
    Ok(())
}

/// The entry must be refused: its share would hold too much.
fn object(transaction: &mut Transaction<'_>, quota: &str, share: &str, what: &str, needed: u64, most: u64) {
    transaction.object(Refusal::QuotaExceeded {
        quota: quota.to_owned(),
        share: share.to_owned(),
        what: what.to_owned(),
        needed,
        most,
    });
}

/// Counts a digest in a share. Gives what the share holds then, if it was not there before.
fn hold(
    transaction: &mut Transaction<'_>,
    record: &QuotaRecord,
    share: &str,
    digest: &Digest,
    size: u64,
) -> Result<Option<Usage>, RecordsError> {
    let key = digest_place(record.id, share, digest);
    let held: u64 = load(transaction, Table::Usage, &key)?.unwrap_or_default();
    transaction.save(Table::Usage, &key, &(held + 1));
    if held > 0 {
        return Ok(None);
    }
    change(transaction, record, share, |usage| usage.bytes += size).map(Some)
}

fn change(
    transaction: &mut Transaction<'_>,
    record: &QuotaRecord,
    share: &str,
    change: impl FnOnce(&mut Usage),
) -> Result<Usage, RecordsError> {
    let key = place(OF_SHARE, record.id, share);
    let mut usage: Usage = load(transaction, Table::Usage, &key)?.unwrap_or_default();
    change(&mut usage);
    if usage == Usage::default() {
        transaction.remove(Table::Usage, &key);
    } else {
        transaction.save(Table::Usage, &key, &usage);
    }
    Ok(usage)
}

/// One step of the count of what was there.
pub fn count(transaction: &mut Transaction<'_>, entry: &Entry<'_>, name: &str, id: u64) -> Result<(), RecordsError> {
    let Some(mut record) =
        load::<QuotaRecord>(transaction, Table::Quotas, name.as_bytes())?.filter(|record| record.id == id)
    else {
        return Ok(());
    };
    let (table, next) = match record.phase {
        Phase::Links => (Table::Links, Phase::Manifests),
        Phase::Manifests => (Table::Manifests, Phase::Tags),
        Phase::Tags => (Table::Tags, Phase::Done),
        Phase::Done => return Ok(()),
    };
    let beginning = record.quota.repositories.beginning().into_bytes();
    let mut from = record.after.to_vec();
    if from.is_empty() {
        from.clone_from(&beginning);
    } else {
        from.push(0);
    }
    let mut seen = Vec::new();
    transaction.scan(table, &from, &past(&beginning), false, &mut |key, _| {
        seen.push(Bytes::copy_from_slice(key));
        if seen.len() < STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for key in &seen {
        let Some((repository, rest)) = keys::after_repository(key) else { continue };
        let Some(share) = record.quota.repositories.of(repository.as_str()) else { continue };
        if record.phase == Phase::Tags {
            change(transaction, &record, share, |usage| usage.tags += 1)?;
            continue;
        }
        let Some(digest) = keys::digest_at(rest) else { continue };
        let size = if record.phase == Phase::Links {
            blobs::get(transaction, &digest)?.map(|blob| blob.size)
        } else {
            manifests::get(transaction, &repository, &digest)?.map(|manifest| manifest.size)
        };
        hold(transaction, &record, share, &digest, size.unwrap_or_default())?;
    }
    match seen.pop() {
        Some(last) if seen.len() + 1 == STEP => record.after = last,
        _ => (record.phase, record.after) = (next, Bytes::new()),
    }
    if record.phase != Phase::Done {
        queue::push(transaction, entry.time, &Item::CountQuota { name: name.to_owned(), id });
    }
    transaction.save(Table::Quotas, name.as_bytes(), &record);
    Ok(())
}

/// Forgets some of what was counted for a quota that is gone.
pub fn forget(transaction: &mut Transaction<'_>, entry: &Entry<'_>, id: u64) -> Result<(), RecordsError> {
    for kind in [OF_DIGEST, OF_SHARE] {
        let found = collect(transaction, Table::Usage, &place(kind, id, ""), STEP)?;
        for (key, _) in &found {
            transaction.remove(Table::Usage, key);
        }
        if found.len() == STEP {
            queue::push(transaction, entry.time, &Item::ForgetQuota { id });
            return Ok(());
        }
    }
    Ok(())
}
