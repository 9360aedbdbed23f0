//! Events: what changed, in the order of the log, for watchers, webhooks and audit. Kept for a time.

use serde::{Deserialize, Serialize};

use super::records::{RecordsError, Table, Transaction, decode};
use super::settings::{self, Clock};
use super::{Entry, keys};
use crate::index::command::{Policy, Time};
use crate::oci::digest::Digest;
use crate::oci::name::RepositoryName;
use crate::oci::reference::Tag;

/// Events dropped with one entry, at most: as many as a push of many tags makes.
const STEP: usize = 128;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub time: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    pub repository: RepositoryName,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    ManifestPushed { digest: Digest },
    ManifestDeleted { digest: Digest },
    TagSet { tag: Tag, digest: Digest },
    TagDeleted { tag: Tag },
}

/// Where an event stands: its entry, and what it is about, since one entry may change several things, also in several
/// repositories.
fn key(position: u64, repository: &RepositoryName, change: &Change) -> Vec<u8> {
    let mut key = keys::position(position).to_vec();
    match change {
        Change::ManifestPushed { digest } | Change::ManifestDeleted { digest } => {
            key.push(1);
            key.extend_from_slice(&keys::digest(digest));
        }
        Change::TagSet { tag, .. } | Change::TagDeleted { tag } => {
            key.push(2);
            key.extend_from_slice(tag.as_str().as_bytes());
        }
    }
    key.push(0);
    key.extend_from_slice(repository.as_str().as_bytes());
    key
}

fn add(transaction: &mut Transaction<'_>, entry: &Entry<'_>, repository: &RepositoryName, change: Change) {
    let key = key(entry.position, repository, &change);
    let event = Event { time: entry.time, who: entry.who.map(str::to_owned), repository: repository.clone(), change };
    transaction.save(Table::Events, &key, &event);
}

pub fn add_tag(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    repository: &RepositoryName,
    tag: &Tag,
    digest: Option<&Digest>,
) {
    let tag = tag.clone();
    let change = match digest {
        Some(digest) => Change::TagSet { tag, digest: *digest },
        None => Change::TagDeleted { tag },
    };
    add(transaction, entry, repository, change);
}

pub fn add_manifest(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    repository: &RepositoryName,
    digest: &Digest,
    pushed: bool,
) {
    let digest = *digest;
    let change = if pushed { Change::ManifestPushed { digest } } else { Change::ManifestDeleted { digest } };
    add(transaction, entry, repository, change);
}

/// Drops events past their age, a few with every entry: so the table shrinks as fast as it may grow.
pub fn trim(transaction: &mut Transaction<'_>, clock: &mut Clock, policy: &Policy) -> Result<(), RecordsError> {
    let from = keys::position(clock.events_since);
    let mut old = Vec::new();
    let mut result = Ok(());
    super::records::Records::scan(
        transaction,
        Table::Events,
        &from,
        &[],
        false,
        &mut |key, value| match decode::<Event>(Table::Events, value) {
            Ok(event) if event.time.after(policy.events_age) < clock.time && old.len() < STEP => {
                old.push(key.to_vec());
                std::ops::ControlFlow::Continue(())
            }
            Ok(_) => std::ops::ControlFlow::Break(()),
            Err(error) => {
                result = Err(error);
                std::ops::ControlFlow::Break(())
            }
        },
    )?;
    result?;
    if let Some(position) = old.last().and_then(|key| key.first_chunk::<8>()) {
        clock.events_since = u64::from_be_bytes(*position);
    }
    for key in old {
        transaction.remove(Table::Events, &key);
    }
    settings::save_clock(transaction, clock);
    Ok(())
}
