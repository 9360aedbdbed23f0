//! The state machine of the index: what the entries of the log make of the tables.
//!
//! [`apply`] is called by `raft::machine` for each committed entry, in order, and by tests. It is deterministic: the
//! same entries make the same tables on every member.

pub mod records;

use records::{RecordsError, Transaction};

use super::command::{Proposal, Reply};

/// Applies one entry at log position `position`.
///
/// # Errors
/// Only when the records cannot be read or do not decode: the node must stop. Everything that a client did wrong is a
/// [`Reply`] with a refusal, and changes nothing but the table of requests.
pub fn apply(_transaction: &mut Transaction<'_>, _position: u64, _proposal: &Proposal) -> Result<Reply, RecordsError> {
    Ok(Err(super::command::Refusal::NotBootstrapped))
}
