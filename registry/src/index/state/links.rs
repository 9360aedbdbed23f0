//! Links: which repository has which blob, and how many of its manifests need it. A link that none needs keeps its blob
//! for the grace; with the last link of a digest its blob goes.

use serde::{Deserialize, Serialize};

use super::access::quotas::{self, Phase};
use super::queue::{self, Item};
use super::records::{Records, RecordsError, Table, Transaction, load};
use super::{blobs, keys, repositories, settings};
use crate::index::command::{LinkName, Outcome, Policy, Refusal, Reply, Time};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// Kind of [`Table::Counts`]: manifests of a repository that need a blob which is not linked there. With the sparse option
/// such manifests are accepted; the link that comes later is referenced from its beginning.
const WANTED: u8 = b'w';

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Manifests of the repository that need the blob.
    pub references: u64,
    /// Since when there are none.
    pub unreferenced_since: Option<Time>,
    /// When the link expires, and its item of the queue is due.
    pub due: Option<Time>,
}

pub fn get(records: &dyn Records, name: &RepositoryName, digest: &Digest) -> Result<Option<Link>, RecordsError> {
    load(records, Table::Links, &keys::in_repository(name, digest))
}

fn save(transaction: &mut Transaction<'_>, name: &RepositoryName, digest: &Digest, link: &Link) {
    transaction.save(Table::Links, &keys::in_repository(name, digest), link);
}

fn item(name: &RepositoryName, digest: &Digest) -> Item {
    Item::Link(LinkName { repository: name.clone(), digest: *digest })
}

/// Links a blob that is there, or starts the grace of its link again.
pub fn add_or_renew(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    name: &RepositoryName,
    digest: &Digest,
    size: u64,
) -> Result<(), RecordsError> {
    if let Some(link) = get(transaction, name, digest)? {
        restart_grace(transaction, now, policy, name, digest, link);
        return Ok(());
    }
    transaction.put(Table::LinksByDigest, &keys::by_digest(digest, name), bytes::Bytes::new());
    quotas::digest_came(transaction, Phase::Links, name, digest, size)?;
    settings::add(transaction, &keys::count(blobs::LINKS, &keys::digest(digest)), 1)?;
    repositories::change(transaction, now, name, |repository| {
        repository.links += 1;
        repository.bytes += size;
    })?;
    let wanted = keys::count(WANTED, &keys::in_repository(name, digest));
    let references = load(transaction, Table::Counts, &wanted)?.unwrap_or_default();
    if references > 0 {
        transaction.remove(Table::Counts, &wanted);
        save(transaction, name, digest, &Link { references, ..Link::default() });
    } else {
        restart_grace(transaction, now, policy, name, digest, Link::default());
    }
    Ok(())
}

fn restart_grace(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    name: &RepositoryName,
    digest: &Digest,
    mut link: Link,
) {
    if link.references > 0 {
        return;
    }
    if let Some(due) = link.due {
        queue::take_out(transaction, due, &item(name, digest));
    }
    let due = now.after(policy.grace);
    link.unreferenced_since = Some(now);
    link.due = Some(due);
    queue::push(transaction, due, &item(name, digest));
    save(transaction, name, digest, &link);
}

/// One more manifest needs the blob, whether it is linked or (sparse option, foreign layer) only wanted.
pub fn reference(
    transaction: &mut Transaction<'_>,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let Some(mut link) = get(transaction, name, digest)? else {
        settings::add(transaction, &keys::count(WANTED, &keys::in_repository(name, digest)), 1)?;
        return Ok(());
    };
    if let Some(due) = link.due.take() {
        queue::take_out(transaction, due, &item(name, digest));
    }
    link.unreferenced_since = None;
    link.references += 1;
    save(transaction, name, digest, &link);
    Ok(())
}

/// One manifest less needs the blob; at none its grace begins.
pub fn unreference(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let Some(mut link) = get(transaction, name, digest)? else {
        settings::add(transaction, &keys::count(WANTED, &keys::in_repository(name, digest)), -1)?;
        return Ok(());
    };
    link.references = link.references.saturating_sub(1);
    if link.references == 0 {
        restart_grace(transaction, now, policy, name, digest, link);
    } else {
        save(transaction, name, digest, &link);
    }
    Ok(())
}

/// Takes a link away, and with the last one the blob.
pub fn drop_link(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    name: &RepositoryName,
    digest: &Digest,
) -> Result<(), RecordsError> {
    let Some(link) = get(transaction, name, digest)? else { return Ok(()) };
    if let Some(due) = link.due {
        queue::take_out(transaction, due, &item(name, digest));
    }
    let size = blobs::get(transaction, digest)?.map_or(0, |blob| blob.size);
    transaction.remove(Table::Links, &keys::in_repository(name, digest));
    quotas::digest_went(transaction, Phase::Links, name, digest, size)?;
    transaction.remove(Table::LinksByDigest, &keys::by_digest(digest, name));
    repositories::change(transaction, now, name, |repository| {
        repository.links -= 1;
        repository.bytes = repository.bytes.saturating_sub(size);
    })?;
    if settings::add(transaction, &keys::count(blobs::LINKS, &keys::digest(digest)), -1)? == 0 {
        blobs::remove(transaction, now, policy, digest)?;
    }
    Ok(())
}

pub fn renew(transaction: &mut Transaction<'_>, now: Time, name: &LinkName) -> Result<Reply, RecordsError> {
    let Some(link) = get(transaction, &name.repository, &name.digest)? else {
        return Ok(Err(Refusal::BlobUnknown { digest: name.digest }));
    };
    let policy = settings::policy(transaction)?;
    restart_grace(transaction, now, &policy, &name.repository, &name.digest, link);
    Ok(Ok(Outcome::Done))
}

/// A client deletes a blob from a repository: gone there at once, untouched elsewhere.
pub fn delete(transaction: &mut Transaction<'_>, now: Time, name: &LinkName) -> Result<Reply, RecordsError> {
    match get(transaction, &name.repository, &name.digest)? {
        None => Ok(Err(Refusal::BlobUnknown { digest: name.digest })),
        Some(link) if link.references > 0 => Ok(Err(Refusal::BlobInUse { digest: name.digest })),
        Some(_) => {
            let policy = settings::policy(transaction)?;
            drop_link(transaction, now, &policy, &name.repository, &name.digest)?;
            Ok(Ok(Outcome::Done))
        }
    }
}

/// The grace of a link is over, if it was not renewed since.
pub fn expire(
    transaction: &mut Transaction<'_>,
    now: Time,
    policy: &Policy,
    due: Time,
    name: &LinkName,
) -> Result<(), RecordsError> {
    match get(transaction, &name.repository, &name.digest)? {
        Some(link) if link.references == 0 && link.due == Some(due) => {
            drop_link(transaction, now, policy, &name.repository, &name.digest)
        }
        _ => Ok(()),
    }
}
