//! The data directory belongs to one process at a time.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use anyhow::{Context, bail};

/// The name of the lock file in the data directory.
const LOCK: &str = "lock";

/// Makes the data directory ours; it is free again when the file is closed, also after a crash.
pub(super) fn claim(data: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(data)
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
