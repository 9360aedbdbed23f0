//! The note beside a log that does not lead to where the archive stands: its volume is an older copy. As long as the log still
//! holds the entries, the archiver finds that out by comparing them; the note says it when the log has been cut since.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ArchiveError;
use crate::index::durable;

const FILE: &str = "astray.json";

#[derive(Serialize, Deserialize)]
struct Astray {
    /// Where the archive stood.
    archived: u64,
}

/// Notes for good that the log in `directory` does not lead to `archived`.
pub fn note(directory: &Path, archived: u64) -> Result<(), ArchiveError> {
    let write = || durable::write(&directory.join(FILE), &serde_json::to_vec(&Astray { archived })?);
    write().map_err(ArchiveError::Note)
}

/// What was noted.
pub fn noted(directory: &Path) -> Result<Option<u64>, ArchiveError> {
    match std::fs::read(directory.join(FILE)) {
        Ok(text) => {
            let astray: Astray = serde_json::from_slice(&text).map_err(|error| ArchiveError::Note(error.into()))?;
            Ok(Some(astray.archived))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ArchiveError::Note(error)),
    }
}
