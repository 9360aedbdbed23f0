//! A volume of an index node: who it says it is, that one process uses it, and that its names are durable.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::node::NodeError;
use super::types::NodeId;
use crate::index::{durable, unsynced};

const IDENTITY: &str = "identity.json";
/// Stands on a volume while a restore makes it.
pub const RESTORING: &str = "RESTORING";
const FORMAT: u32 = 1;

/// What a volume says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Empty until the node belongs to a cluster.
    #[serde(default)]
    pub cluster: String,
    pub node: NodeId,
    pub format: u32,
}

impl Identity {
    /// Of a new registry in one process.
    fn alone() -> Self {
        Self { cluster: ulid::Ulid::new().to_string().to_lowercase(), node: 1, format: FORMAT }
    }

    /// Of a volume made from an archive: nobody has ever known a node of this id.
    pub fn restored(cluster: String) -> Self {
        Self { cluster, ..Self::empty(None) }
    }

    /// Of an empty volume that waits to be told where it belongs: the id is of this volume, not of the machine.
    fn empty(id: Option<NodeId>) -> Self {
        let random = (ulid::Ulid::new().0 as u64) & ((1 << 48) - 1);
        Self { cluster: String::new(), node: id.unwrap_or(random.max(2)), format: FORMAT }
    }
}

/// Reads the identity of the volume, or gives an empty one its own.
pub fn identity(directory: &Path, alone: bool, id: Option<NodeId>) -> Result<Identity, NodeError> {
    let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
    let file = directory.join(IDENTITY);
    match fs::read(&file) {
        Ok(text) => {
            let identity: Identity = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
            if identity.format > FORMAT {
                return Err(NodeError::NewerFormat { file, format: identity.format });
            }
            unmark(directory).map_err(failed)?;
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if cut_short(directory).map_err(failed)? {
                return Err(NodeError::CutShort { directory: directory.to_owned() });
            }
            if directory.join("log").exists() {
                return Err(failed(io::Error::other(format!("there is a log but no {IDENTITY}"))));
            }
            let identity = if alone { Identity::alone() } else { Identity::empty(id) };
            write_identity(directory, &identity).map_err(failed)?;
            Ok(identity)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The identity that stands on a volume.
pub fn written_identity(directory: &Path) -> io::Result<Identity> {
    Ok(serde_json::from_slice(&fs::read(directory.join(IDENTITY))?)?)
}

/// Makes an identity durable.
pub fn write_identity(directory: &Path, identity: &Identity) -> io::Result<()> {
    durable::write(&directory.join(IDENTITY), &serde_json::to_vec_pretty(identity)?)
}

/// Says that a restore makes this volume.
pub fn mark(directory: &Path) -> io::Result<()> {
    File::create(directory.join(RESTORING))?.sync_all()?;
    File::open(directory)?.sync_all()
}

/// The restore is complete, if there was one.
pub fn unmark(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(RESTORING)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.and_then(|()| File::open(directory)?.sync_all()),
    }
}

/// Whether a restore began on this volume and did not come to its end, which is the identity.
pub fn cut_short(directory: &Path) -> io::Result<bool> {
    Ok(directory.join(RESTORING).try_exists()? && !directory.join(IDENTITY).try_exists()?)
}

/// Makes the names of the databases durable, and that of the volume's directory.
pub fn sync_directories(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    match directory.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Keeps a second process away from the volume. From now on, what is read of it is what its disk has.
pub fn lock(directory: &Path) -> Result<File, NodeError> {
    let failed = |source| NodeError::Directory { directory: directory.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(directory.join("LOCK")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            unsynced::forget(directory).map_err(failed)?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => Err(NodeError::InUse { directory: directory.to_owned() }),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}
