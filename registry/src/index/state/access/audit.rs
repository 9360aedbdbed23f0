//! The audit: who changed what, or was refused it, in the order of the log. Kept for 90 days.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::super::records::{Records, RecordsError, Table, Transaction, decode, load};
use super::super::{Entry, keys, settings};
use crate::auth::caller::Caller;
use crate::index::access::{AccessChange, Audited, OnBehalf};
use crate::index::command::{Command, Refusal, Reply};
use crate::index::level::AUDIT;

/// How long records are kept, in milliseconds, and how many are dropped with each that is added.
const KEPT: u64 = 90 * 24 * 3_600_000;
const STEP: usize = 2;

/// Where the table begins.
const BEGINS: &[u8] = b"audit";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Begins {
    /// Positions before this are gone.
    position: u64,
}

/// Notes what became of a command, if it is one that is audited.
pub fn note(
    transaction: &mut Transaction<'_>,
    entry: &Entry<'_>,
    command: &Command,
    reply: &Reply,
) -> Result<(), RecordsError> {
    let refusal = match reply {
        Ok(_) => None,
        Err(Refusal::Forbidden { denial }) => Some(*denial),
        // What was not possible was not done, and nobody was kept from it.
        Err(_) => return Ok(()),
    };
    let Some(mut audited) = audited(command) else { return Ok(()) };
    // Members that know less leave it out, and all must keep the same.
    if audited.change.is_some() && settings::level(transaction)? < AUDIT {
        audited.change = None;
    }
    audited.position = entry.position;
    audited.time = entry.time;
    audited.who = entry.who.map(str::to_owned);
    audited.refused = refusal;
    transaction.save(Table::Audit, &keys::position(entry.position), &audited);
    trim(transaction, entry)
}

fn audited(command: &Command) -> Option<Audited> {
    let (command, caller): (&Command, Option<&Caller>) = match command {
        Command::OnBehalf(it) => {
            let OnBehalf { caller, command } = &**it;
            (command, Some(caller))
        }
        command => (command, None),
    };
    let mut audited = Audited {
        action: command.name().to_owned(),
        from: caller.and_then(|caller| caller.from),
        ..Audited::default()
    };
    match command {
        Command::PutManifest(put) if caller.is_some() => {
            audited.repository = Some(put.repository.clone());
            audited.tags.clone_from(&put.tags);
            audited.digest = Some(put.digest);
        }
        Command::DeleteTag(delete) if caller.is_some() => {
            audited.repository = Some(delete.repository.clone());
            audited.tags = vec![delete.tag.clone()];
        }
        Command::DeleteManifest(delete) if caller.is_some() => {
            audited.repository = Some(delete.repository.clone());
            audited.digest = Some(delete.digest);
        }
        Command::DeleteBlob(link) if caller.is_some() => {
            audited.repository = Some(link.repository.clone());
            audited.digest = Some(link.digest);
        }
        Command::Access(change) => {
            if let AccessChange::NoteUse { .. } | AccessChange::PutKey { .. } = &**change {
                return None;
            }
            audited.subject = super::names(change).first().map(|name| (*name).clone());
            audited.change = Some(Box::new(change.without_secrets()));
            if let AccessChange::TakeFirst { from, .. } = &**change {
                audited.from = *from;
            }
        }
        _ => return None,
    }
    Some(audited)
}

fn trim(transaction: &mut Transaction<'_>, entry: &Entry<'_>) -> Result<(), RecordsError> {
    let begins: Begins = load(transaction, Table::Settings, BEGINS)?.unwrap_or_default();
    let (mut old, mut result) = (Vec::new(), Ok(()));
    transaction.scan(Table::Audit, &keys::position(begins.position), &[], false, &mut |key, value| match decode::<
        Audited,
    >(
        Table::Audit,
        value,
    ) {
        Ok(audited) if audited.time.after(KEPT) < entry.time && old.len() < STEP => {
            old.push((key.to_vec(), audited.position));
            ControlFlow::Continue(())
        }
        Ok(_) => ControlFlow::Break(()),
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result?;
    if let Some((_, position)) = old.last() {
        transaction.save(Table::Settings, BEGINS, &Begins { position: *position });
    }
    for (key, _) in old {
        transaction.remove(Table::Audit, &key);
    }
    Ok(())
}
