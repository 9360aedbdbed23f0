//! Which state is in force: `state-<n>/` directories beside each other, and the file `CURRENT` that names one of them.
//! A crash at any moment leaves one whole state named.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::index::crash;

const CURRENT: &str = "CURRENT";
const PREFIX: &str = "state-";

/// The directory that holds the states.
#[derive(Clone, Debug)]
pub struct States {
    directory: PathBuf,
}

impl States {
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The directory of the state in force; the first time, of a new one. Removes what a crash left of others.
    pub fn current(&self) -> io::Result<PathBuf> {
        let name = match fs::read_to_string(self.directory.join(CURRENT)) {
            Ok(text) => {
                let name = text.trim().to_owned();
                if number(&name).is_none() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{CURRENT} names {name:?}")));
                }
                name
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let name = format!("{PREFIX}1");
                self.name(&name)?;
                name
            }
            Err(error) => return Err(error),
        };
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let other = entry.file_name().to_string_lossy().into_owned();
            if number(&other).is_some() && other != name {
                tracing::info!(directory = %entry.path().display(), "removing a state that is not in force");
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(self.directory.join(name))
    }

    /// The directory of the node, which the states are a part of.
    pub fn volume(&self) -> &Path {
        &self.directory
    }

    /// A directory for the next state; empty.
    pub fn next(&self) -> io::Result<PathBuf> {
        let current = fs::read_to_string(self.directory.join(CURRENT))?;
        let next = self.directory.join(format!("{PREFIX}{}", number(current.trim()).unwrap_or_default() + 1));
        if next.exists() {
            fs::remove_dir_all(&next)?;
        }
        Ok(next)
    }

    /// A file for something large that is needed only now; it has no name, so nothing is left of it.
    pub fn scratch(&self) -> io::Result<File> {
        let path = self.directory.join("scratch");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    }

    /// Puts the state in `directory`, which is durable, in force.
    pub fn switch_to(&self, directory: &Path) -> io::Result<()> {
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.name(&name)
    }

    fn name(&self, name: &str) -> io::Result<()> {
        let temporary = self.directory.join("CURRENT.new");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        crash::point("index::snapshot::before_switch");
        fs::rename(&temporary, self.directory.join(CURRENT))?;
        File::open(&self.directory)?.sync_all()?;
        crash::point("index::snapshot::after_switch");
        Ok(())
    }
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
