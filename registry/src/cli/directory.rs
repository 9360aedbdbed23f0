//! The data directory belongs to one process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use anyhow::{Context, bail};

/// The name of the lock file in the data directory.
const LOCK: &str = "lock";

/// Makes the data directory ours; it is free again when the file is closed, also after a crash.
pub(super) fn claim(data: &Path) -> anyhow::Result<File> {
    // Password hashes and keys are in it: nobody else's to read.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("could not make the data directory {} (server.data)", data.display()))?;
    let path = data.join(LOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("could not open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            // Who it is helps, but it is not needed.
            let _ = file.read_to_string(&mut owner);
            bail!(
                "the data directory {} is in use by another roadstead (process {}): stop that one, or give this one a directory of its own with --data",
                data.display(),
                owner.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("could not lock {}", path.display()));
        }
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).with_context(|| format!("could not write {}", path.display()))?;
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_data_directory_that_is_made_is_for_its_owner_alone_and_one_that_is_there_stays() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("below/data");
        drop(claim(&data).unwrap());
        assert_eq!(mode(&data), 0o700);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o750)).unwrap();
        drop(claim(&data).unwrap());
        assert_eq!(mode(&data), 0o750);
    }
}
