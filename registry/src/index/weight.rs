//! How large a command is, about: what bounds memory on its way through the log. Pure.

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
        #[cfg(feature = "next-level")]
        Command::Note(note) => note.text.len(),
    }
}

fn segment(segment: &Segment) -> usize {
    let inline = match &segment.place {
        Place::Inline(bytes) => bytes.len(),
        Place::Object(key) => key.0.len(),
    };
    inline + (segment.length >> 18) as usize // a check sum of four bytes for each MiB
}
