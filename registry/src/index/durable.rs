//! The directory of a volume, and small files that must be whole after any crash: what a volume is, whose place it takes, why it must
//! not be used.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes a directory that is nobody else's to read, and shuts one that is there: hashes of passwords and keys are in it.
pub fn private(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if fs::metadata(directory)?.permissions().mode() & 0o077 != 0
        && let Err(error) = fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
    {
        // The root of a volume belongs to somebody else.
        tracing::warn!(%error, directory = %directory.display(), "others may look into the index: change its mode to 0700");
    }
    Ok(())
}

/// Writes a file beside its old content, and puts it in its place when it is durable: a crash leaves one of the two, whole.
pub fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("new");
    let mut new = File::create(&temporary)?;
    new.write_all(content)?;
    new.sync_all()?;
    fs::rename(&temporary, file)?;
    match file.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_looks_into_the_directory_of_an_index() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let directory = tempfile::tempdir().unwrap();
        let (made, found) = (directory.path().join("a/made"), directory.path().join("found"));
        fs::create_dir(&found).unwrap();
        fs::set_permissions(&found, fs::Permissions::from_mode(0o755)).unwrap();
        for index in [made, found] {
            private(&index).unwrap();
            assert_eq!(mode(&index), 0o700);
        }
    }
}
