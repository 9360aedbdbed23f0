//! Referrers: manifests with a subject, listed by it. The subject need not be there.

use std::ops::ControlFlow;

use super::queue::{self, Item};
use super::records::{Records, RecordsError, Table, Transaction, decode, past};
use super::{Entry, keys, manifests};
use crate::index::command::PutManifest;
use crate::index::query::{ListReferrers, Page, Referrer};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;

/// Referrers looked at in one go when their subject was removed.
const STEP: usize = 100;

/// Bytes of records in one page, however many referrers were asked for: each may carry megabytes of annotations.
const PAGE_BYTES: usize = 4 << 20;

pub fn add(transaction: &mut Transaction<'_>, put: &PutManifest) {
    let Some(subject) = &put.subject else { return };
    let referrer = Referrer {
        digest: put.digest,
        media_type: put.media_type.clone(),
        size: put.bytes.len() as u64,
        artifact_type: put.artifact_type.clone(),
        annotations: put.annotations.clone(),
    };
    transaction.save(Table::Referrers, &keys::pair(&put.repository, subject, &put.digest), &referrer);
}

pub fn remove(transaction: &mut Transaction<'_>, name: &RepositoryName, subject: &Digest, referrer: &Digest) {
    transaction.remove(Table::Referrers, &keys::pair(name, subject, referrer));
}

pub fn any(records: &dyn Records, name: &RepositoryName, subject: &Digest) -> Result<bool, RecordsError> {
    Ok(!super::records::collect(records, Table::Referrers, &keys::in_repository(name, subject), 1)?.is_empty())
}

/// One page of the referrers of a digest.
pub fn list(records: &dyn Records, list: &ListReferrers) -> Result<Page<Referrer>, RecordsError> {
    let prefix = keys::in_repository(&list.repository, &list.subject);
    let from = match &list.last {
        Some(last) => {
            let mut key = keys::pair(&list.repository, &list.subject, last);
            key.push(0);
            key
        }
        None => prefix.clone(),
    };
    let mut page = Page { items: Vec::new(), more: false };
    let mut bytes = 0;
    let mut result = Ok(());
    records.scan(Table::Referrers, &from, &past(&prefix), false, &mut |_, value| match decode::<Referrer>(
        Table::Referrers,
        value,
    ) {
        Ok(referrer) => {
            if list.artifact_type.is_none() || list.artifact_type == referrer.artifact_type {
                bytes += value.len();
                if page.items.len() == list.limit || (bytes > PAGE_BYTES && !page.items.is_empty()) {
                    page.more = true;
                    return ControlFlow::Break(());
                }
                page.items.push(referrer);
            }
            ControlFlow::Continue(())
        }
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result.map(|()| page)
}

/// The subject is gone: its referrers that nothing else holds go the way of untagged manifests, now.
pub fn expire(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    name: &RepositoryName,
    subject: &Digest,
    after: Option<&Digest>,
) -> Result<(), RecordsError> {
    let page = list(
        transaction,
        &ListReferrers {
            repository: name.clone(),
            subject: *subject,
            artifact_type: None,
            last: after.copied(),
            limit: STEP,
        },
    )?;
    let last = page.items.last().map(|referrer| referrer.digest);
    for referrer in page.items {
        manifests::expire_untagged(transaction, entry, name, &referrer.digest)?;
    }
    if page.more {
        let item = Item::Referrers { repository: name.clone(), subject: *subject, after: last };
        queue::push(transaction, entry.time, &item);
    }
    Ok(())
}
