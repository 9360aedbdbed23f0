//! The free space of the volume that the index is on.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::access::AccessChange;
use super::command::Command;

/// How long a reading of the free space holds.
const CHECK: Duration = Duration::from_secs(1);

/// Below this part of the floor nothing is written any more: what the databases need for themselves must not run out.
const RESERVE: u64 = 4;

/// The free space, read at most once a second. There are two floors: below the first nothing is added; below the second
/// not even what frees some is taken, since it too is written to the log first.
#[derive(Debug)]
pub struct Space {
    directory: PathBuf,
    floor: u64,
    /// When it was read last, and how much there was.
    seen: Mutex<Option<(Instant, u64)>>,
}

impl Space {
    pub fn new(directory: &Path, floor: u64) -> Self {
        Self { directory: directory.to_owned(), floor, seen: Mutex::new(None) }
    }

    /// Whether there is room for what adds.
    pub fn is_enough(&self) -> bool {
        self.free() >= self.floor
    }

    /// Whether there is room for what must pass so that some becomes free.
    pub fn has_reserve(&self) -> bool {
        self.free() >= self.floor / RESERVE
    }

    fn free(&self) -> u64 {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *seen
            && at.elapsed() < CHECK
        {
            return free;
        }
        let free = match rustix::fs::statvfs(&self.directory) {
            Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize),
            Err(error) => {
                tracing::warn!(%error, "could not read the free space of the index's volume");
                u64::MAX
            }
        };
        *seen = Some((Instant::now(), free));
        free
    }
}

/// Whether a command makes the index larger: those are refused when space runs out, the others must still pass.
pub fn adds(command: &Command) -> bool {
    match command {
        Command::RecordUpload(_)
        | Command::CommitBlob(_)
        | Command::MountBlob(_)
        | Command::PutManifest(_)
        | Command::ReplaceSegments(_) => true,
        Command::Bootstrap(_)
        | Command::SetPolicy(_)
        | Command::CancelUpload(_)
        | Command::RenewLink(_)
        | Command::DeleteBlob(_)
        | Command::DeleteTag(_)
        | Command::DeleteManifest(_)
        | Command::Expire(_)
        | Command::CloseDay(_)
        | Command::ForgetObjects(_)
        | Command::MarkDamaged(_)
        | Command::PinBackup(_)
        | Command::ForgetBackup(_)
        | Command::RaiseLevel(_) => false,
        Command::Access(change) => matches!(**change, AccessChange::PutAccount(_) | AccessChange::PutToken(_)),
        Command::OnBehalf(it) => adds(&it.command),
        #[cfg(feature = "next-level")]
        Command::Note(_) => true,
    }
}
