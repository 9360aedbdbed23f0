//! The free space of the volume that the index is on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::command::Command;

/// How long a reading of the free space holds.
const CHECK: Duration = Duration::from_secs(1);

/// The free space, read at most once a second.
#[derive(Debug)]
pub struct Space {
    directory: PathBuf,
    floor: u64,
    began: Instant,
    /// Milliseconds since `began` at which it was read last, times two, plus one when there was enough.
    seen: AtomicU64,
}

impl Space {
    pub fn new(directory: &Path, floor: u64) -> Self {
        Self { directory: directory.to_owned(), floor, began: Instant::now(), seen: AtomicU64::new(u64::MAX) }
    }

    pub fn is_enough(&self) -> bool {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX) / 2;
        let seen = self.seen.load(Ordering::Relaxed);
        if seen != u64::MAX && now.saturating_sub(seen >> 1) * 2 < CHECK.as_millis() as u64 {
            return seen & 1 == 1;
        }
        let enough = match rustix::fs::statvfs(&self.directory) {
            Ok(volume) => volume.f_bavail.saturating_mul(volume.f_frsize) >= self.floor,
            Err(error) => {
                tracing::warn!(%error, "could not read the free space of the index's volume");
                true
            }
        };
        self.seen.store((now << 1) | u64::from(enough), Ordering::Relaxed);
        enough
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
        #[cfg(feature = "next-level")]
        Command::Note(_) => true,
    }
}
