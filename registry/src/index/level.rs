//! Feature levels: which entries a member can read and apply. Pure.
//!
//! A release knows every level up to [`LEVEL`]. The state holds the level in force; only entries up to it are proposed and
//! applied, so members of the release before can follow until [`super::command::Command::RaiseLevel`] says that none is
//! left. Each entry says which level its reader must know (`raft::types::StoredEntry`), and so does a snapshot: one who
//! knows less stops and says so, where he would otherwise take what he cannot read for damage, or leave out a field that
//! he does not know.
//!
//! Whoever changes what an entry does, or adds a command or a field of one, raises [`LEVEL`] and says in
//! [`Command::level`] when it is needed.

use super::access::AccessChange;
use super::command::Command;

/// The level of everything until a higher one is put in force.
pub const FIRST: u32 = 1;

/// Accounts and policies, and commands that go with the one who asks.
pub const ACCESS: u32 = 2;

/// Issuers of tokens, callers for whom they vouch, and what a cluster grants to a caller.
pub const ISSUERS: u32 = 3;

/// The audit says what was changed, and where the first administrator came from.
pub const AUDIT: u32 = 4;

/// The level that a new cluster begins with.
pub const BEGIN: u32 = AUDIT;

/// The highest level that this roadstead knows.
pub const LEVEL: u32 = if cfg!(feature = "next-level") { 5 } else { AUDIT };

/// Something is of a level that this roadstead does not know: it is whole, and a newer one reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} is of feature level {level} and this roadstead knows {known}: start a version that knows level {level}; \
     nothing is damaged"
)]
pub struct Newer {
    pub what: &'static str,
    pub level: u32,
    pub known: u32,
}

/// Refuses what is of a level above [`LEVEL`].
///
/// # Errors
/// [`Newer`], which says what must be started instead.
pub const fn check(what: &'static str, level: u32) -> Result<(), Newer> {
    if level > LEVEL { Err(Newer { what, level, known: LEVEL }) } else { Ok(()) }
}

impl Command {
    /// The level that must be in force before this is proposed or applied.
    pub fn level(&self) -> u32 {
        match self {
            Self::Bootstrap(_)
            | Self::SetPolicy(_)
            | Self::RecordUpload(_)
            | Self::CancelUpload(_)
            | Self::CommitBlob(_)
            | Self::MountBlob(_)
            | Self::RenewLink(_)
            | Self::DeleteBlob(_)
            | Self::PutManifest(_)
            | Self::DeleteTag(_)
            | Self::DeleteManifest(_)
            | Self::Expire(_)
            | Self::CloseDay(_)
            | Self::ForgetObjects(_)
            | Self::MarkDamaged(_)
            | Self::ReplaceSegments(_)
            | Self::PinBackup(_)
            | Self::ForgetBackup(_)
            | Self::RaiseLevel(_) => FIRST,
            Self::Access(change) => match **change {
                AccessChange::PutIssuer { .. } | AccessChange::DeleteIssuer { .. } => ISSUERS,
                AccessChange::TakeFirst { from: Some(_), .. } => AUDIT,
                _ => ACCESS,
            },
            Self::OnBehalf(it) => {
                let is_plain = it.caller.vouched.is_none() && it.caller.grants.is_empty();
                let caller = if is_plain { ACCESS } else { ISSUERS };
                it.command.level().max(caller)
            }
            #[cfg(feature = "next-level")]
            Self::Note(_) => 5,
        }
    }

    /// The level that whoever reads and applies this must know: to raise the level needs all that comes after it.
    pub fn reader(&self) -> u32 {
        match self {
            Self::RaiseLevel(raise) if raise.level > FIRST => raise.level,
            _ => self.level(),
        }
    }
}
