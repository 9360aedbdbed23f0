//! How large a command is, about: what bounds memory on its way through the log. Pure.

use super::access::AccessChange;
use super::command::{Command, Place, Segment};

/// What every command takes, whatever it says.
const BASE: usize = 512;

/// Bytes that a command takes in memory and in the log, about.
pub fn of(command: &Command) -> usize {
    BASE + match command {
        Command::PutManifest(put) => {
            let annotations: usize = put.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
            put.bytes.len()
                + annotations
                + 96 * (put.blobs.len() + put.foreign.len() + put.children.len() + put.tags.len())
        }
        Command::RecordUpload(record) => segment(&record.segment) + record.hash.state.len(),
        Command::CommitBlob(commit) => commit.segment.as_ref().map_or(0, segment),
        Command::ReplaceSegments(replace) => 128 * replace.old.len() + segment(&replace.new),
        Command::ForgetObjects(forget) => 128 * forget.keys.len(),
        Command::MountBlob(mount) => 128 * mount.from.len(),
        Command::Bootstrap(_)
        | Command::SetPolicy(_)
        | Command::CancelUpload(_)
        | Command::RenewLink(_)
        | Command::DeleteBlob(_)
        | Command::DeleteTag(_)
        | Command::DeleteManifest(_)
        | Command::Expire(_)
        | Command::CloseDay(_)
        | Command::MarkDamaged(_)
        | Command::PinBackup(_)
        | Command::ForgetBackup(_)
        | Command::RaiseLevel(_) => 0,
        Command::Access(change) => access(change),
        Command::OnBehalf(it) => of(&it.command) + BASE,
        #[cfg(feature = "next-level")]
        Command::Note(note) => note.text.len(),
    }
}

fn access(change: &AccessChange) -> usize {
    let grants = |grants: Option<&Vec<_>>| 512 * grants.map_or(0, Vec::len);
    match change {
        AccessChange::PutAccount(put) => {
            grants(put.grants.as_ref()) + 64 * put.groups.as_ref().map_or(0, std::collections::BTreeSet::len) + BASE
        }
        AccessChange::PutToken(put) => grants(put.limits.as_ref()) + BASE,
        AccessChange::ChangeGroup { add, remove, .. } => 64 * (add.len() + remove.len()),
        AccessChange::NoteUse { tokens } => 64 * tokens.len(),
        AccessChange::PutIssuer { issuer, .. } => issuer.bytes(),
        AccessChange::PutPolicy { policy, .. } => policy
            .rules
            .iter()
            .map(|rule| {
                let subjects: usize = rule.subjects.iter().map(|subjects| subjects.as_str().len() + 8).sum();
                let patterns: usize = rule.repositories.iter().map(|pattern| pattern.as_str().len() + 8).sum();
                subjects + patterns + 64
            })
            .sum(),
        AccessChange::DeleteAccount { .. }
        | AccessChange::SetPassword { .. }
        | AccessChange::DeleteToken { .. }
        | AccessChange::DeletePolicy { .. }
        | AccessChange::PutQuota { .. }
        | AccessChange::DeleteQuota { .. }
        | AccessChange::DeleteIssuer { .. }
        | AccessChange::PutKey { .. }
        | AccessChange::OfferFirst { .. }
        | AccessChange::TakeFirst { .. } => 0,
    }
}

fn segment(segment: &Segment) -> usize {
    let inline = match &segment.place {
        Place::Inline(bytes) => bytes.len(),
        Place::Object(key) => key.0.len(),
    };
    inline + (segment.length >> 18) as usize // a check sum of four bytes for each MiB
}
