//! After a write or an fsync that failed, what the system has in memory of a volume is not believed.
//!
//! Linux takes a page for written once writing it has been tried, whether the disk took it or not (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020). A process that is started again would read from memory what
//! is not on the disk, tell others that it has it, and lose it with the power. So who ends because of its disk leaves a mark,
//! and whoever opens the volume next lets the system forget it before anything of it is read.
//!
//! The mark need not be durable: with the power, that memory goes too.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{Advice, fadvise};

const FILE: &str = "UNSYNCED";

/// Says that the disk did not do what it was told with the volume in `directory`.
pub fn mark(directory: &Path) {
    if let Err(error) = File::create(directory.join(FILE)) {
        tracing::error!(%error, "could not mark the volume: restart the machine before this node is started again");
    }
}

/// Lets the system forget a volume that is marked: what is read of it from now on comes from the disk.
///
/// # Errors
/// When the disk still does not take what is to be written.
pub fn forget(directory: &Path) -> io::Result<()> {
    let mark = directory.join(FILE);
    if !mark.try_exists()? {
        return Ok(());
    }
    tracing::warn!("the disk failed while this volume was in use: it is read anew, and not from memory");
    forget_files(directory)?;
    fs::remove_file(mark)
}

fn forget_files(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            forget_files(&entry.path())?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            // Only clean pages are forgotten.
            file.sync_all()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_volume_is_forgotten_once_and_keeps_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("log/tables");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("1"), "what was written").unwrap();
        forget(directory.path()).unwrap();
        mark(directory.path());
        assert!(directory.path().join(FILE).exists());
        forget(directory.path()).unwrap();
        assert!(!directory.path().join(FILE).exists());
        assert_eq!(fs::read(below.join("1")).unwrap(), b"what was written");
    }
}
