//! The state machine of the index: what the entries of the log make of the tables.
//!
//! [`apply`] is called by `raft::machine` for each committed entry, in order, and by tests. It is deterministic: the
//! same entries make the same tables on every member. Each noun has a file that owns its tables; [`answers`] is the
//! reading side. Nothing here may read a clock, draw a random number or wait for anything.
//!
//! Any change of what `apply` does with an entry that older members also apply must be behind a feature level.

mod access;
pub mod answers;
pub mod backups;
mod blobs;
mod events;
mod expiry;
mod keys;
mod links;
mod manifests;
mod objects;
mod queue;
pub mod records;
mod referrers;
mod repositories;
mod requests;
mod settings;
pub mod store;
pub mod sums;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;

use records::{Records, RecordsError, Table, Transaction};
use requests::Seen;
pub use settings::level;

use super::command::{Command, Place, Policy, Proposal, Refusal, Reply, Segment, Time};
use crate::blobs::ObjectKey;
use crate::index::archive::restore::FoundBackup;
use crate::index::query::Cluster;

/// What an entry brings to the commands inside: where it stands, when, by whom, and under which policy.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    position: u64,
    time: Time,
    who: Option<&'a str>,
    policy: &'a Policy,
}

/// Applies one entry at log position `position`.
///
/// # Errors
/// Only when the records cannot be read or do not decode: the node must stop. Everything that a client did wrong is a
/// [`Reply`] with a refusal, and changes nothing but the table of requests.
pub fn apply(transaction: &mut Transaction<'_>, position: u64, proposal: &Proposal) -> Result<Reply, RecordsError> {
    transaction.at(position);
    let mut clock = settings::clock(transaction)?;
    clock.time = clock.time.max(proposal.time);
    match requests::look(transaction, &clock, proposal.request)? {
        Seen::Before(reply) => return Ok(reply),
        Seen::TooOld => return Ok(Err(Refusal::RequestTooOld)),
        Seen::New => {}
    }
    settings::save_clock(transaction, &clock);
    transaction.savepoint();

    let policy = settings::policy(transaction)?;
    let entry = Entry { position, time: clock.time, who: proposal.who.as_deref(), policy: &policy };
    let mut reply = dispatch(transaction, &entry, &proposal.command)?;
    if let Some(refusal) = transaction.objection() {
        reply = reply.and(Err(refusal));
    }
    if reply.is_err() {
        transaction.rollback();
    }
    access::audit::note(transaction, &entry, &proposal.command, &reply)?;

    let mut clock = settings::clock(transaction)?;
    requests::keep(transaction, &mut clock, proposal.request, &reply)?;
    events::trim(transaction, &mut clock, &policy)?;
    transaction.savepoint();
    Ok(reply)
}

/// The objects that a record of the table of blobs refers to, with their lengths.
pub fn objects_of_blob(record: &[u8]) -> Result<Vec<(ObjectKey, u64)>, RecordsError> {
    let blob: blobs::Blob = records::decode(Table::Blobs, record)?;
    let object = |segment: &Segment| match &segment.place {
        Place::Object(key) => Some((key.clone(), segment.length)),
        Place::Inline(_) => None,
    };
    Ok(blob.segments.iter().filter_map(object).collect())
}

/// The cluster that a state belongs to; none before its first command.
pub fn cluster(records: &dyn Records) -> Result<Option<Cluster>, RecordsError> {
    settings::cluster(records)
}

/// The index time of the last entry that a state has applied.
pub fn time(records: &dyn Records) -> Result<Time, RecordsError> {
    Ok(settings::clock(records)?.time)
}

/// Makes a restored state one of `cluster`, a new epoch. One that took over also keeps the backups of those before it, which
/// are `kept` in the store; a copy has none, because they are not its own.
pub fn restored(
    transaction: &mut Transaction<'_>,
    cluster: &Cluster,
    kept: &[FoundBackup],
) -> Result<(), RecordsError> {
    settings::begin_epoch(transaction, cluster);
    if cluster.claim.is_some() {
        return backups::disown(transaction);
    }
    backups::forget_lost(transaction, kept)?;
    // Its own last: should the backup of a copy have the same name, that of the cluster counts.
    let (own, others): (Vec<_>, Vec<_>) = kept.iter().partition(|backup| cluster.owns(backup.epoch));
    others.into_iter().chain(own).try_for_each(|backup| backups::adopt(transaction, backup))
}

fn dispatch(transaction: &mut Transaction<'_>, entry: &Entry<'_>, command: &Command) -> Result<Reply, RecordsError> {
    let now = entry.time;
    if let Command::Bootstrap(bootstrap) = command {
        return settings::bootstrap(transaction, bootstrap);
    }
    if settings::cluster(transaction)?.is_none() {
        return Ok(Err(Refusal::NotBootstrapped));
    }
    let in_force = settings::level(transaction)?;
    if command.level() > in_force {
        return Ok(Err(Refusal::LevelNotInForce { needed: command.level(), in_force }));
    }
    match command {
        Command::Bootstrap(bootstrap) => settings::bootstrap(transaction, bootstrap),
        Command::SetPolicy(policy) => settings::set_policy(transaction, now, policy),
        Command::RecordUpload(record) => uploads::record(transaction, now, record),
        Command::CancelUpload(cancel) => uploads::cancel(transaction, now, cancel),
        Command::CommitBlob(commit) => blobs::commit(transaction, now, commit),
        Command::MountBlob(mount) => blobs::mount(transaction, now, mount),
        Command::RenewLink(name) => links::renew(transaction, now, name),
        Command::DeleteBlob(name) => links::delete(transaction, now, name),
        Command::PutManifest(put) => manifests::put(transaction, entry, put),
        Command::DeleteTag(delete) => tags::delete(transaction, entry, delete),
        Command::DeleteManifest(delete) => manifests::delete(transaction, entry, delete),
        Command::Expire(expire) => expiry::expire(transaction, entry, expire),
        Command::CloseDay(close) => objects::close_day(transaction, close),
        Command::ForgetObjects(forget) => objects::forget(transaction, forget),
        Command::MarkDamaged(mark) => blobs::mark_damaged(transaction, mark),
        Command::ReplaceSegments(replace) => blobs::replace(transaction, now, replace),
        Command::PinBackup(pin) => backups::pin(transaction, entry, pin),
        Command::ForgetBackup(forget) => backups::forget(transaction, forget),
        Command::RaiseLevel(raise) => settings::raise_level(transaction, raise),
        Command::Access(change) => access::change(transaction, entry, change),
        Command::OnBehalf(it) => match access::guard::check_command(transaction, &it.caller, &it.command)? {
            Ok(command) => dispatch(transaction, entry, &command),
            Err(denial) => Ok(Err(Refusal::Forbidden { denial })),
        },
        #[cfg(feature = "next-level")]
        Command::Note(note) => Ok(settings::note(transaction, note)),
    }
}
