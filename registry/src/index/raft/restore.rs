//! Makes a volume from an archive: a state from a snapshot, the entries behind it applied, and then a node of its own,
//! the only voter. Called offline by `archive::restore`; blocks on the disk.
//!
//! A mark stands on the volume until its identity does: a node refuses to start on one whose restore was cut short, and the
//! next restore begins anew.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use openraft::storage::RaftLogStorage;

use super::log::Log;
use super::machine::{Machine, applied_of};
use super::node::NodeError;
use super::refused;
use super::states::States;
use super::transfer::{self, TransferError};
use super::types::{Members, NodeId, Position, StoredEntry, StoredVote};
use super::volume::{Identity, RESTORING, cut_short, lock, mark, sync_directories, unmark, write_identity};
use crate::index::metrics::IndexMetrics;
use crate::index::state::records::{RecordsError, Transaction};
use crate::index::state::store::View;
use crate::index::{crash, durable};

/// What an index leaves in its directory.
const OURS: [&str; 6] = ["identity.json", "CURRENT", "log", "state-", refused::FILE, RESTORING];
/// Entries applied at once.
const STEP: usize = 256;

/// Why a volume could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("could not write the volume {directory}")]
    Write {
        directory: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Everything of an index in `directory`; empty when there is none.
pub fn occupied(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if OURS.iter().any(|ours| name == *ours || (ours.ends_with('-') && name.starts_with(ours))) {
            found.push(entry.path());
        }
    }
    // Who takes them away one by one leaves no volume half-way, and the mark of a restore to the end.
    found.sort_by_key(|path| (!path.ends_with(OURS[0]), path.ends_with(RESTORING)));
    Ok(found)
}

/// Whether there is an index in `directory` whose restore, if it was restored, came to its end.
pub fn is_whole(directory: &Path) -> io::Result<bool> {
    Ok(!occupied(directory)?.is_empty() && !cut_short(directory)?)
}

/// Removes what a restore left that was cut short. Anything else that is in `directory` stays.
pub fn begin_anew(directory: &Path) -> io::Result<()> {
    if !cut_short(directory)? {
        return Ok(());
    }
    for path in occupied(directory)? {
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// A volume that is being made.
#[derive(Debug)]
pub struct Restoring {
    directory: PathBuf,
    states: States,
    machine: Machine,
    metrics: IndexMetrics,
    _lock: File,
}

impl Restoring {
    /// Begins with the state of a snapshot of `cluster`.
    pub fn begin(
        directory: &Path,
        input: impl Read,
        cluster: &str,
        metrics: &IndexMetrics,
    ) -> Result<Self, VolumeError> {
        let failed = |source| VolumeError::Write { directory: directory.to_owned(), source };
        durable::private(directory).map_err(failed)?;
        let lock = lock(directory)?;
        mark(directory).map_err(failed)?;
        let states = States::new(directory);
        states.current().map_err(failed)?;
        let store = transfer::receive(input, cluster, &states)?;
        store.keep();
        let machine = Machine::new(states.clone(), store, metrics.clone());
        Ok(Self { directory: directory.to_owned(), states, machine, metrics: metrics.clone(), _lock: lock })
    }

    fn failed(&self, source: io::Error) -> VolumeError {
        VolumeError::Write { directory: self.directory.clone(), source }
    }

    /// Applies entries that follow the state.
    pub fn replay(&self, entries: Vec<StoredEntry>) -> Result<(), VolumeError> {
        let mut entries: Vec<_> = entries.into_iter().map(Into::into).collect();
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(STEP));
            self.machine.apply_batch(&entries).map_err(|error| self.failed(error))?;
            entries = rest;
        }
        Ok(())
    }

    /// The state as it is now.
    pub fn view(&self) -> View {
        self.machine.store().view()
    }

    /// Makes the last changes to the state, which is then that of a node that is called `name` by its peers.
    pub fn conclude(
        self,
        name: &str,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<(), RecordsError>,
    ) -> Result<Concluded, VolumeError> {
        let store = self.machine.store();
        let view = store.view();
        let mut applied = applied_of(&store).map_err(|error| self.failed(error))?;
        let position = applied
            .position
            .ok_or_else(|| self.failed(io::Error::new(io::ErrorKind::InvalidData, "the state stands nowhere")))?;
        let cluster = crate::index::state::cluster(&view)?.map(|cluster| cluster.id).unwrap_or_default();
        let mut transaction = Transaction::new(&view);
        change(&mut transaction)?;
        let identity = Identity::restored(cluster);
        applied.change(Members {
            since: Some(position),
            voters: vec![[identity.node].into()],
            nodes: BTreeMap::from([(identity.node, name.to_owned())]),
        });
        // The log begins behind the state.
        applied.installed = Some(position.index);
        let encoded = rmp_serde::to_vec_named(&applied).map_err(|error| self.failed(io::Error::other(error)))?;
        let changes: Vec<_> = transaction.into_changes().collect();
        store.write(changes, &encoded).map_err(NodeError::from)?;
        store.sync().map_err(NodeError::from)?;
        Ok(Concluded { volume: self, position, identity })
    }
}

/// A volume with the state of a new node, and not yet a node.
#[derive(Debug)]
pub struct Concluded {
    volume: Restoring,
    /// Where the state stands.
    pub position: Position,
    identity: Identity,
}

impl Concluded {
    /// The state.
    pub fn view(&self) -> View {
        self.volume.view()
    }

    /// Makes the node.
    pub async fn finish(self) -> Result<NodeId, VolumeError> {
        let Self { volume, position, identity } = self;
        let failed = |error| volume.failed(error);
        volume.states.switch_to(volume.machine.store().directory()).map_err(failed)?;
        let mut log =
            Log::open(&volume.directory.join("log"), position.index, &volume.metrics).map_err(NodeError::from)?;
        // The next term must be later than that of the last entry.
        let vote = StoredVote { term: position.term, node: identity.node, committed: false };
        log.save_vote(&vote.into()).await.map_err(failed)?;
        log.close().await.map_err(failed)?;
        sync_directories(&volume.directory).map_err(failed)?;
        crash::point("index::restore::before_identity");
        write_identity(&volume.directory, &identity).map_err(failed)?;
        crash::point("index::restore::after_identity");
        unmark(&volume.directory).map_err(failed)?;
        Ok(identity.node)
    }
}
