//! What a process may ask of a node, by the role in its certificate. Pure.

use super::{REPLACE, STATUS};
use crate::index::access::AccessChange;
use crate::index::command::Command;
use crate::index::peers::Role;
use crate::index::peers::wire::Fault;

/// Whether a role may make a call.
pub(super) fn check(role: Role, path: &str) -> Result<(), Fault> {
    if path == STATUS {
        return Ok(());
    }
    let needs: &[Role] = if path.starts_with("/raft/") || path == REPLACE {
        &[Role::Index]
    } else if path.starts_with("/index/") {
        &[Role::Registry, Role::Index, Role::Admin]
    } else {
        &[Role::Admin]
    };
    if needs.contains(&role) { Ok(()) } else { Err(Fault::Forbidden { needs: needs[0].uri().into() }) }
}

/// Whether a command serves a client of the registry. The others keep the index in order, and only its nodes propose them.
pub(super) fn serves_clients(command: &Command) -> bool {
    let housekeeping = |change: &AccessChange| {
        matches!(change, AccessChange::NoteUse { .. } | AccessChange::PutKey { .. } | AccessChange::TakeFirst { .. })
    };
    match command {
        Command::OnBehalf(it) => matches!(it.command, Command::Access(_)) || serves_clients(&it.command),
        Command::Access(change) => housekeeping(change),
        command => is_of_clients(command),
    }
}

const fn is_of_clients(command: &Command) -> bool {
    matches!(
        command,
        Command::RecordUpload(_)
            | Command::CancelUpload(_)
            | Command::CommitBlob(_)
            | Command::MountBlob(_)
            | Command::RenewLink(_)
            | Command::DeleteBlob(_)
            | Command::PutManifest(_)
            | Command::DeleteTag(_)
            | Command::DeleteManifest(_)
            | Command::MarkDamaged(_)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{CHANGE, COMMANDS, JOIN, QUERIES};
    use super::*;
    use crate::index::command::{CloseDay, Expire, ForgetObjects, LinkName, Policy, RaiseLevel};
    use crate::oci::digest::Digest;

    #[test]
    fn what_keeps_the_index_in_order_does_not_come_from_a_registry() {
        let link = || LinkName { repository: "a".parse().unwrap(), digest: Digest::of(b"") };
        assert!(serves_clients(&Command::RenewLink(link())) && serves_clients(&Command::DeleteBlob(link())));
        for command in [
            Command::CloseDay(CloseDay { day: u32::MAX }),
            Command::SetPolicy(Policy::default()),
            Command::Expire(Expire { limit: 1 }),
            Command::ForgetObjects(ForgetObjects { keys: Vec::new() }),
            Command::RaiseLevel(RaiseLevel { level: 9 }),
        ] {
            assert!(!serves_clients(&command), "{command:?}");
        }
    }

    #[test]
    fn a_certificate_allows_what_its_role_needs_and_nothing_else() {
        for (path, index, registry, admin) in [
            ("/raft/append", true, false, false),
            ("/raft/vote", true, false, false),
            (COMMANDS, true, true, true),
            (QUERIES, true, true, true),
            (STATUS, true, true, true),
            (REPLACE, true, false, false),
            (JOIN, false, false, true),
            (CHANGE, false, false, true),
            ("/admin/anything", false, false, true),
            ("/", false, false, true),
        ] {
            for (role, allowed) in [(Role::Index, index), (Role::Registry, registry), (Role::Admin, admin)] {
                assert_eq!(check(role, path).is_ok(), allowed, "{role:?} {path}");
            }
        }
    }
}
