//! Repositories: there as long as they hold a manifest, a tag or a linked blob; each counts what it holds.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::records::{Records, RecordsError, Table, Transaction, exists, load};
use super::settings;
use crate::index::command::Time;
use crate::oci::name::RepositoryName;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub created: Time,
    pub manifests: u64,
    pub tags: u64,
    pub links: u64,
    /// Bytes of linked blobs and of manifests, each distinct digest once.
    pub bytes: u64,
}

pub fn is_there(records: &dyn Records, name: &RepositoryName) -> Result<bool, RecordsError> {
    exists(records, Table::Repositories, name.as_str().as_bytes())
}

/// Visits the repositories from `from` on, in byte order, until told to stop.
pub fn each(
    records: &dyn Records,
    from: &[u8],
    visit: &mut dyn FnMut(RepositoryName) -> ControlFlow<()>,
) -> Result<(), RecordsError> {
    let mut result = Ok(());
    records.scan(Table::Repositories, from, &[], false, &mut |key, _| match super::answers::text(
        Table::Repositories,
        key,
    ) {
        Ok(name) => visit(name),
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result
}

/// Changes the counters of a repository. It comes into being with the first thing it holds and goes with the last.
pub fn change(
    transaction: &mut Transaction<'_>,
    now: Time,
    name: &RepositoryName,
    change: impl FnOnce(&mut Repository),
) -> Result<(), RecordsError> {
    let key = name.as_str().as_bytes();
    let before: Option<Repository> = load(transaction, Table::Repositories, key)?;
    let new = before.is_none();
    let mut repository = before.unwrap_or_else(|| Repository { created: now, ..Repository::default() });
    change(&mut repository);
    if repository.manifests == 0 && repository.tags == 0 && repository.links == 0 {
        transaction.remove(Table::Repositories, key);
        if !new {
            settings::count(transaction, |counts| counts.repositories -= 1)?;
        }
    } else {
        transaction.save(Table::Repositories, key, &repository);
        if new {
            settings::count(transaction, |counts| counts.repositories += 1)?;
        }
    }
    Ok(())
}
