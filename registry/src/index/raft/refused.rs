//! Volumes that must not be used: why not, told to whoever starts a node on one, and how one is set aside so that the node
//! can be made again from its peers.
//!
//! A node that finds its own volume wrong while it runs ([`Halt`]) writes `refused.json` beside its databases and stops;
//! the next start reads it. Called by `node`, `log`, `machine`, and by whoever starts a node that has peers.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::node::NodeError;
use crate::index::durable;
use crate::index::journal::JournalError;
use crate::index::level::Newer;
use crate::index::raft::log::LogError;
use crate::index::state::records::RecordsError;
use crate::index::state::store::StoreError;

/// Where it is written why a volume must not be used.
pub const FILE: &str = "refused.json";
/// The end of the name under which a volume is set aside.
const ASIDE: &str = "-damaged-";

/// What is wrong with a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It does not hold what was written to it.
    Damaged,
    /// Its state is not that of the other members.
    Diverged,
    /// It is older than what its node is known to have acknowledged: a copy was put back.
    RolledBack,
    /// Its node was removed from the cluster.
    Removed,
    /// It is of another cluster.
    Foreign,
}

impl Reason {
    /// Whether the node may be made again from its peers without asking anybody.
    const fn is_damage(self) -> bool {
        match self {
            Self::Damaged | Self::Diverged | Self::RolledBack => true,
            Self::Removed | Self::Foreign => false,
        }
    }
}

/// Why a volume must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub reason: Reason,
    pub detail: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.reason {
            Reason::Damaged => "it is damaged",
            Reason::Diverged => "its state is not that of the other members",
            Reason::RolledBack => "it is an older copy of itself",
            Reason::Removed => "its node was removed from the cluster",
            Reason::Foreign => "it is of another cluster",
        };
        write!(f, "{what}: {}", self.detail)
    }
}

/// Makes it durable that the volume in `directory` must not be used. What was said first stays.
pub fn refuse(directory: &Path, refused: &Refused) -> io::Result<()> {
    let file = directory.join(FILE);
    if file.exists() {
        return Ok(());
    }
    durable::write(&file, &serde_json::to_vec_pretty(refused)?)
}

/// Fails when the volume in `directory` must not be used.
pub fn check(directory: &Path) -> Result<(), NodeError> {
    let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
    let file = directory.join(FILE);
    match fs::read(&file) {
        Ok(text) => {
            let refused = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
            Err(NodeError::Refused { file, refused })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Renames the volume in `directory`, so that the node can begin on an empty one; the last one that was set aside is kept
/// for people to look at, and older ones are removed. Returns where it is now. To be called while no node is open on it.
pub fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let nowhere = || io::Error::new(io::ErrorKind::InvalidInput, "the volume has no directory above it");
    let parent = directory.parent().ok_or_else(nowhere)?;
    let prefix = format!("{}{ASIDE}", directory.file_name().ok_or_else(nowhere)?.to_string_lossy());
    let mut before = Vec::new();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_prefix(&prefix).and_then(|number| number.parse::<u64>().ok()) {
            before.push((number, entry.path()));
        }
    }
    let number = before.iter().map(|(number, _)| number + 1).max().unwrap_or(1);
    let aside = parent.join(format!("{prefix}{number}"));
    fs::rename(directory, &aside)?;
    File::open(parent)?.sync_all()?;
    for (_, old) in before {
        fs::remove_dir_all(old)?;
    }
    Ok(aside)
}

impl NodeError {
    /// Whether the volume does not hold what was written to it, so that no later start can go better: a node that has peers
    /// sets it aside and is made again from them. Pure.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Log(error) => match error {
                LogError::Journal(error) => is_journal_damage(error),
                LogError::Damaged { .. } => true,
                LogError::Open { source, .. } | LogError::Read(source) => is_database_damage(source),
                LogError::Prepare { .. } | LogError::Newer { .. } | LogError::Thread(_) => false,
            },
            Self::State(error) => match error {
                StoreError::Journal(error) => is_journal_damage(error),
                StoreError::Halves { .. } => true,
                StoreError::Open { source, .. } | StoreError::Read(source) => is_database_damage(source),
                StoreError::Prepare { .. } | StoreError::Write(_) | StoreError::Sync(_) => false,
            },
            Self::LogBehindState { .. } | Self::StateBehindLog { .. } => true,
            Self::Refused { refused, .. } => refused.reason.is_damage(),
            _ => false,
        }
    }
}

fn is_journal_damage(error: &JournalError) -> bool {
    match error {
        JournalError::Damaged { .. } => true,
        JournalError::Read { source, .. } => is_bad_sector(source),
    }
}

/// Whether a database does not hold what was written to it; what the system refuses (rights, memory, open files) is none.
fn is_database_damage(error: &fjall::Error) -> bool {
    use fjall::Error;
    match error {
        Error::Io(error) => is_bad_sector(error),
        Error::Locked | Error::Poisoned | Error::KeyspaceDeleted | Error::InvalidVersion(_) => false,
        other => {
            let mut source = std::error::Error::source(other);
            while let Some(error) = source {
                if let Some(error) = error.downcast_ref::<io::Error>() {
                    return is_bad_sector(error);
                }
                source = error.source();
            }
            true
        }
    }
}

fn is_bad_sector(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    error.raw_os_error() == Some(EIO)
        || matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// How the parts of a node say that it must not go on. Clones share what was said.
#[derive(Clone, Debug)]
pub struct Halt {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    said: OnceLock<String>,
}

impl Halt {
    /// For the volume in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { inner: Arc::new(Inner { directory: directory.to_owned(), said: OnceLock::new() }) }
    }

    /// The volume is wrong: it is marked, and the node ends.
    pub fn refuse(&self, reason: Reason, detail: String) {
        let refused = Refused { reason, detail };
        if self.say(format!("this volume must not be used any more, {refused}"))
            && let Err(error) = refuse(&self.inner.directory, &refused)
        {
            tracing::error!(%error, "could not mark the volume");
        }
    }

    /// There is something that only a newer version can read: the node ends, and the volume is as it should be.
    pub fn newer(&self, newer: Newer) {
        self.say(newer.to_string());
    }

    /// The records could not be read, or do not decode.
    pub fn records(&self, error: &RecordsError) {
        match error {
            RecordsError::Damaged { .. } => self.refuse(Reason::Damaged, error.to_string()),
            RecordsError::Read(source) => {
                if let Some(source) = source.downcast_ref::<fjall::Error>() {
                    self.database(source);
                }
            }
        }
    }

    /// A database could not be read.
    pub fn database(&self, error: &fjall::Error) {
        if is_database_damage(error) {
            self.refuse(Reason::Damaged, error.to_string());
        }
    }

    fn say(&self, what: String) -> bool {
        let first = self.inner.said.set(what).is_ok();
        if let (true, Some(reason)) = (first, self.reason()) {
            tracing::error!(reason, "this node stops");
        }
        first
    }

    /// Why the node must not go on; none while it may.
    pub fn reason(&self) -> Option<&str> {
        self.inner.said.get().map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_refused_for_the_reason_that_was_found_first() {
        let directory = tempfile::tempdir().unwrap();
        assert!(check(directory.path()).is_ok());
        let halt = Halt::new(directory.path());
        assert_eq!(halt.reason(), None);
        halt.refuse(Reason::Removed, "node 7".into());
        halt.refuse(Reason::Damaged, "entry 3".into());
        assert!(halt.reason().unwrap().contains("removed from the cluster: node 7"));
        let error = check(directory.path()).unwrap_err();
        assert!(error.to_string().contains("removed from the cluster: node 7"), "{error}");
        assert!(!error.is_damage(), "only somebody who knows may bring a removed node back");
    }

    #[test]
    fn what_is_newer_stops_a_node_and_marks_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let halt = Halt::new(directory.path());
        halt.newer(Newer { what: "an entry", level: 9, known: 1 });
        assert!(halt.reason().unwrap().contains("level 9"));
        assert!(check(directory.path()).is_ok());
    }

    #[test]
    fn one_damaged_volume_is_kept_and_the_node_begins_on_none() {
        let directory = tempfile::tempdir().unwrap();
        let index = directory.path().join("index");
        for round in 1..=3 {
            fs::create_dir(&index).unwrap();
            fs::write(index.join("round"), round.to_string()).unwrap();
            let aside = set_aside(&index).unwrap();
            assert_eq!(fs::read_to_string(aside.join("round")).unwrap(), round.to_string());
            assert!(!index.exists());
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "older ones are removed");
        }
    }

    #[test]
    fn damage_is_told_from_what_may_go_better_another_time() {
        let open = |source| NodeError::Log(LogError::Open { directory: "x".into(), source });
        let system = |kind| fjall::Error::Io(io::Error::from(kind));
        assert!(open(fjall::Error::Unrecoverable).is_damage());
        assert!(open(fjall::Error::InvalidTrailer).is_damage());
        assert!(open(fjall::Error::Io(io::Error::from_raw_os_error(5))).is_damage());
        assert!(!open(fjall::Error::Locked).is_damage());
        assert!(!open(system(io::ErrorKind::PermissionDenied)).is_damage());
        assert!(!open(system(io::ErrorKind::StorageFull)).is_damage());
        assert!(NodeError::LogBehindState { log: 1, state: 2 }.is_damage());
        let newer = Newer { what: "an entry", level: 9, known: 1 };
        assert!(!NodeError::Log(LogError::Newer { index: 1, newer }).is_damage());
        assert!(!NodeError::Newer(newer).is_damage());
        let refused = |reason| NodeError::Refused { file: "x".into(), refused: Refused { reason, detail: "y".into() } };
        for (reason, damage) in [
            (Reason::Damaged, true),
            (Reason::Diverged, true),
            (Reason::RolledBack, true),
            (Reason::Removed, false),
            (Reason::Foreign, false),
        ] {
            assert_eq!(refused(reason).is_damage(), damage);
        }
    }
}
