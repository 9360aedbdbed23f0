//! The one directory of a node that is ours, `certs.d/<host>/`: written atomically, marked as ours, removed as a whole, and
//! never touched when it is not ours.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use roadstead::metrics::sum_of;

/// Says whose the directory is.
const MARK: &str = ".roadstead";
const HOSTS: &str = "hosts.toml";
pub const CA: &str = "ca.crt";

/// Why the directory could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("{path} is there and not ours: remove it, or leave nodes.trust off")]
    NotOurs { path: PathBuf },
    #[error("{path} belongs to the Registry {whose}: two registries cannot have one host name")]
    OfAnother { path: PathBuf, whose: String },
    #[error("could not {what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The directory of one registry on a node.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    /// Where it is made before it gets its name.
    new: PathBuf,
    /// `namespace/name` of the Registry.
    owner: String,
}

impl Directory {
    pub fn new(certs: &Path, host: &str, owner: &str) -> Self {
        // Of this registry and host alone: agents of several run on one node. Runtimes look for the names of hosts, and none
        // begins with a dot. A sum, since the longest name of a host leaves no room for more.
        let sum = sum_of(format!("{owner} {host}").as_bytes());
        let new = certs.join(format!(".roadstead-new-{}", &sum[..16]));
        Self { path: certs.join(host), new, owner: owner.to_owned() }
    }

    /// Makes the directory say this, if it does not already. Gives whether anything was written.
    pub fn write(&self, hosts: &str, ca: Option<&str>) -> Result<bool, DirectoryError> {
        if self.path.is_dir() {
            self.check()?;
        } else {
            // The mark is in it from its first moment on, or a crash would leave a directory that nobody owns.
            let new = &self.new;
            let _ = fs::remove_dir_all(new);
            fs::create_dir_all(new).map_err(|source| io_error("make", new, source))?;
            put(new, MARK, &self.owner)?;
            fs::rename(new, &self.path).map_err(|source| io_error("name", &self.path, source))?;
        }
        // What hosts.toml names must be there before it, and as long as it does.
        Ok(match ca {
            Some(ca) => self.put_if_other(CA, ca)? | self.put_if_other(HOSTS, hosts)?,
            None => self.put_if_other(HOSTS, hosts)? | remove(&self.path.join(CA))?,
        })
    }

    /// Writes whom to trust, if the directory is there already. Gives whether anything was written.
    pub fn trust(&self, ca: &str) -> Result<bool, DirectoryError> {
        if !self.path.is_dir() {
            return Ok(false);
        }
        self.check()?;
        self.put_if_other(CA, ca)
    }

    /// Removes what is ours, and the directory if nothing else is in it.
    pub fn remove(&self) -> Result<(), DirectoryError> {
        let _ = fs::remove_dir_all(&self.new); // what a crash may have left
        if !self.path.is_dir() {
            return Ok(());
        }
        self.check()?;
        // First what leads the runtime here, last the mark.
        for name in [HOSTS, CA, MARK] {
            remove(&self.path.join(part(name)))?;
            remove(&self.path.join(name))?;
        }
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(()),
            Err(source) => Err(io_error("remove", &self.path, source)),
        }
    }

    /// Takes the directory over from a Registry that is no more.
    pub fn succeed(&self) -> Result<(), DirectoryError> {
        put(&self.path, MARK, &self.owner)
    }

    /// Whether the directory is ours. Where a crash left nothing but what we begin with or end with, it is.
    pub fn check(&self) -> Result<(), DirectoryError> {
        match fs::read_to_string(self.path.join(MARK)) {
            Ok(whose) if whose.trim() == self.owner => Ok(()),
            Ok(whose) => Err(DirectoryError::OfAnother { path: self.path.clone(), whose: whose.trim().to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.is_left_over()? => self.succeed(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(DirectoryError::NotOurs { path: self.path.clone() })
            }
            Err(source) => Err(io_error("read", &self.path.join(MARK), source)),
        }
    }

    /// Whether nothing is in the directory but files that were not whole yet.
    fn is_left_over(&self) -> Result<bool, DirectoryError> {
        let parts = [HOSTS, CA, MARK].map(part);
        let failed = |source| io_error("read", &self.path, source);
        for file in fs::read_dir(&self.path).map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            if !parts.iter().any(|part| name == part.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn put_if_other(&self, name: &str, text: &str) -> Result<bool, DirectoryError> {
        if fs::read_to_string(self.path.join(name)).is_ok_and(|there| there == text) {
            return Ok(false);
        }
        put(&self.path, name, text)?;
        Ok(true)
    }
}

/// Under what name a file is until it is whole.
fn part(name: &str) -> String {
    format!(".{name}.part")
}

/// Writes a file so that it is there whole or not at all.
fn put(directory: &Path, name: &str, text: &str) -> Result<(), DirectoryError> {
    let path = directory.join(name);
    let part = directory.join(part(name));
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| io_error("write", &part, source))?;
    fs::rename(&part, &path).map_err(|source| io_error("name", &path, source))?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| io_error("sync", directory, source))
}

fn remove(path: &Path) -> Result<bool, DirectoryError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(io_error("remove", path, source)),
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> DirectoryError {
    DirectoryError::Io { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn it_is_written_once_and_removed_whole() {
        let certs = tempfile::tempdir().unwrap();
        let ours = Directory::new(certs.path(), "r.example.com", "ns/name");
        assert!(!ours.trust("ca").unwrap(), "there is nothing yet");
        assert!(ours.write("hosts", Some("ca")).unwrap());
        assert!(!ours.trust("ca").unwrap() && ours.trust("ca 2").unwrap());
        assert!(ours.write("hosts", Some("ca")).unwrap());
        assert!(!ours.write("hosts", Some("ca")).unwrap(), "nothing changed");
        assert!(ours.write("hosts 2", None).unwrap());
        assert!(!certs.path().join("r.example.com/ca.crt").exists());
        ours.remove().unwrap();
        ours.remove().unwrap();
        assert_eq!(fs::read_dir(certs.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        let certs = tempfile::tempdir().unwrap();
        let theirs = certs.path().join("r.example.com");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("hosts.toml"), "theirs").unwrap();
        let ours = Directory::new(certs.path(), "r.example.com", "ns/name");
        assert!(matches!(ours.write("hosts", None), Err(DirectoryError::NotOurs { .. })));
        assert!(matches!(ours.remove(), Err(DirectoryError::NotOurs { .. })));
        assert_eq!(fs::read_to_string(theirs.join("hosts.toml")).unwrap(), "theirs");
    }

    #[test]
    fn two_registries_do_not_share_a_host_and_one_succeeds_the_other() {
        let certs = tempfile::tempdir().unwrap();
        let one = Directory::new(certs.path(), "r.example.com", "ns/one");
        one.write("1", None).unwrap();
        let two = Directory::new(certs.path(), "r.example.com", "ns/two");
        assert!(matches!(two.write("2", None), Err(DirectoryError::OfAnother { whose, .. }) if whose == "ns/one"));
        two.succeed().unwrap();
        assert!(two.write("2", None).unwrap());
        assert!(matches!(one.remove(), Err(DirectoryError::OfAnother { whose, .. }) if whose == "ns/two"));
    }

    #[test]
    fn what_a_crash_left_is_ours_and_goes_with_it() {
        let certs = tempfile::tempdir().unwrap();
        let path = certs.path().join("r.example.com");
        let ours = Directory::new(certs.path(), "r.example.com", "ns/name");
        // While a file was written on a full disk; then it was told to go.
        ours.write("hosts", Some("ca")).unwrap();
        fs::write(path.join(".ca.crt.part"), "half").unwrap();
        ours.remove().unwrap();
        assert!(!path.exists());
        // Between the mark and the directory, when it went.
        fs::create_dir(&path).unwrap();
        fs::write(path.join(".hosts.toml.part"), "").unwrap();
        assert!(ours.write("hosts", None).unwrap());
        ours.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn every_registry_and_host_has_its_own_place_for_what_is_not_whole_yet() {
        let certs = tempfile::tempdir().unwrap();
        let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(longest.len(), 253);
        let places = [
            ("registry.example.com", "ns/one"),
            ("registry.example.org", "ns/one"),
            ("registry.example.org", "ns/two"),
            (longest.as_str(), "ns/one"),
        ]
        .map(|(host, owner)| Directory::new(certs.path(), host, owner));
        let all: std::collections::BTreeSet<_> = places.iter().map(|directory| directory.new.clone()).collect();
        assert_eq!(all.len(), places.len());
        assert!(all.iter().all(|place| place.file_name().unwrap().to_str().unwrap().starts_with('.')));
        // What a crash of one left is not taken for another's, and goes with its own.
        fs::create_dir(&places[1].new).unwrap();
        places[0].write("hosts", None).unwrap();
        places[3].write("hosts", None).unwrap();
        assert!(places[1].new.is_dir());
        places[1].remove().unwrap();
        assert!(!places[1].new.exists());
    }

    #[test]
    fn a_file_that_somebody_put_there_stays() {
        let certs = tempfile::tempdir().unwrap();
        let ours = Directory::new(certs.path(), "r.example.com", "ns/name");
        ours.write("hosts", Some("ca")).unwrap();
        fs::write(certs.path().join("r.example.com/notes"), "theirs").unwrap();
        ours.remove().unwrap();
        assert_eq!(fs::read_dir(certs.path().join("r.example.com")).unwrap().count(), 1);
    }
}
