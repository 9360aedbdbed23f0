//! A whole state on its way: a view written as a snapshot, and a snapshot read into a state of its own.
//!
//! Called by the network, by backups and by restore. Blocks on the disk: never on a thread that serves connections.

use std::io::{self, Read, Seek, Write};

use super::machine::decode_applied;
use super::states::States;
use crate::index::crash::{self, disk_failed};
use crate::index::snapshot::{Decoder, Encoder, Header, SnapshotError, Totals};
use crate::index::state;
use crate::index::state::records::{Records, RecordsError, Table};
use crate::index::state::store::{Store, StoreError, View};

/// Why a state could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not make a directory for the received state")]
    Directory(#[source] io::Error),
    #[error("this process has no state of the index")]
    NoState,
    #[error("the state has no readable position")]
    Position(#[source] io::Error),
    #[error("the snapshot is of cluster {theirs}, this is cluster {ours}")]
    OtherCluster { ours: String, theirs: String },
}

/// Writes the state of `view` as a snapshot.
pub fn send<W: Write>(view: &View, cluster: &str, output: W) -> Result<(W, Totals), TransferError> {
    let applied = view.applied()?.unwrap_or_default();
    let position = decode_applied(Some(&applied).filter(|bytes| !bytes.is_empty()).map(|bytes| &bytes[..]))
        .map_err(TransferError::Position)?
        .position
        .map_or(0, |position| position.index);
    let header = Header { cluster: cluster.to_owned(), position, applied, level: state::level(view)? };
    let mut encoder = Encoder::new(output, &header)?;
    for table in Table::ALL {
        let mut result = Ok(());
        view.scan(table, &[], &[], false, &mut |key, value| {
            result = encoder.record(table, key, value);
            if result.is_ok() { std::ops::ControlFlow::Continue(()) } else { std::ops::ControlFlow::Break(()) }
        })?;
        result?;
    }
    Ok(encoder.finish()?)
}

/// Copies the state of `view` into a new state: when both are in this process.
pub fn copy(view: &View, states: &States) -> Result<Store, TransferError> {
    let file = states.scratch().map_err(TransferError::Directory)?;
    let (mut file, _) = send(view, "", io::BufWriter::new(file))?;
    file.seek(io::SeekFrom::Start(0)).map_err(TransferError::Directory)?;
    let file = file.into_inner().map_err(|error| TransferError::Directory(error.into_error()))?;
    receive(io::BufReader::new(file), "", states)
}

/// Reads a snapshot of this cluster into a new state, durable but not yet in force. It goes with whoever holds it, unless he
/// keeps it: what is not received to its end, or is not needed after all, takes no room.
pub fn receive(input: impl Read, cluster: &str, states: &States) -> Result<Store, TransferError> {
    crash::point("index::snapshot::before_receive");
    let mut decoder = Decoder::new(input)?;
    let header = decoder.header().clone();
    if header.cluster != cluster {
        return Err(TransferError::OtherCluster { ours: cluster.to_owned(), theirs: header.cluster });
    }
    let mut applied = decode_applied(Some(&header.applied)).map_err(TransferError::Position)?;
    // The log may end before this position, and need not hold what led to it.
    applied.installed = applied.position.map(|position| position.index);
    let store = Store::open(&states.next().map_err(TransferError::Directory)?)?;
    store.retire();
    while let Some(records) = decoder.records()? {
        store.fill(records.into_iter().map(|(table, key, value)| ((table, key.to_vec()), Some(value))))?;
    }
    let applied = rmp_serde::to_vec_named(&applied).map_err(io::Error::other).map_err(TransferError::Position)?;
    store.write([], &applied)?;
    if let Err(error) = store.sync() {
        disk_failed(states.volume(), "could not make the received state durable", &error);
    }
    crash::point("index::snapshot::after_receive");
    Ok(store)
}
