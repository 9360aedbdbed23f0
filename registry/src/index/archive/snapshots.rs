//! Snapshots in the store: written as they are read from a view, marked when they are whole, read back with every check.

use std::io::Read;
use std::sync::Arc;

use super::ArchiveError;
use super::names::{SnapshotName, WholeSnapshot};
use super::stream::{self, ObjectSource, StreamError};
use crate::blobs::{ObjectKey, Store};
use crate::index::raft::transfer::{self, TransferError};
use crate::index::snapshot::{self, Decoder, Header, SnapshotError, Totals};
use crate::index::state::records::Table;
use crate::index::state::store::View;

/// Writes the state of `view` under `prefix`, and then the mark that says that it is whole.
pub async fn write(
    store: &dyn Store,
    prefix: &str,
    cluster: &str,
    name: SnapshotName,
    view: View,
) -> Result<WholeSnapshot, ArchiveError> {
    let key = name.key(prefix);
    let cluster = cluster.to_owned();
    let content = move |sink| transfer::send(&view, &cluster, sink);
    let written = stream::write(store, &key, content).await;
    let (length, sum, totals) = written.map_err(|error| ArchiveError::write(&key, error))?;
    let whole = WholeSnapshot { name, length, sum };
    let text = format!("{{\"records\":{},\"bytes\":{}}}\n", totals.records, totals.bytes);
    stream::put(store, &whole.mark(prefix), text.into()).await?;
    Ok(whole)
}

/// Reads a snapshot under `prefix` with `content`, and checks that what it read is what was written.
pub async fn read<T: Send + 'static>(
    store: &Arc<dyn Store>,
    prefix: &str,
    whole: &WholeSnapshot,
    content: impl FnOnce(&mut ObjectSource) -> Result<T, TransferError> + Send + 'static,
) -> Result<T, ArchiveError> {
    let key = whole.name.key(prefix);
    let sum = whole.sum;
    let work = move |mut source: ObjectSource| {
        let value = content(&mut source)?;
        // Whatever is behind what was decoded belongs to the sum as well.
        std::io::copy(&mut source, &mut std::io::sink()).map_err(SnapshotError::Read)?;
        if source.sum() == sum {
            Ok(value)
        } else {
            Err(SnapshotError::Damaged { reason: "the check sum of the whole does not match its name" }.into())
        }
    };
    let read = stream::read(Arc::clone(store), &key, whole.length, work).await;
    read.map_err(|error| ArchiveError::read(&key, error))
}

/// What a snapshot refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub totals: Totals,
    pub position: u64,
    /// The objects of blobs, with their lengths; empty unless they were asked for.
    pub objects: Vec<(ObjectKey, u64)>,
}

/// Reads a whole snapshot and keeps nothing of it but what it refers to, when `objects` says so.
pub async fn verify(
    store: &Arc<dyn Store>,
    prefix: &str,
    cluster: &str,
    whole: &WholeSnapshot,
    objects: bool,
) -> Result<Contents, ArchiveError> {
    let position = whole.name.position;
    let cluster = cluster.to_owned();
    read(store, prefix, whole, move |source| {
        let contents = contents(source, objects)?;
        if contents.0.cluster != cluster {
            return Err(TransferError::OtherCluster { ours: cluster, theirs: contents.0.cluster });
        }
        if contents.1.position != position {
            return Err(SnapshotError::Damaged { reason: "it does not stand where its name says" }.into());
        }
        Ok(contents.1)
    })
    .await
}

fn contents(source: impl Read, objects: bool) -> Result<(Header, Contents), TransferError> {
    if !objects {
        let (header, totals) = snapshot::verify(source)?;
        let position = header.position;
        return Ok((header, Contents { totals, position, objects: Vec::new() }));
    }
    let mut decoder = Decoder::new(source)?;
    let mut found = Contents { position: decoder.header().position, ..Contents::default() };
    while let Some(records) = decoder.records()? {
        for (table, _, value) in records {
            found.totals.records += 1;
            if table == Table::Blobs {
                found.objects.extend(crate::index::state::objects_of_blob(&value)?);
            }
        }
    }
    Ok((decoder.header().clone(), found))
}

impl ArchiveError {
    fn write(key: &ObjectKey, error: StreamError<TransferError>) -> Self {
        match error {
            StreamError::Store(error) => Self::Store(error),
            StreamError::Content(source) => Self::Write { key: key.clone(), source: Box::new(source) },
            StreamError::Ended => Self::Ended,
        }
    }

    fn read(key: &ObjectKey, error: StreamError<TransferError>) -> Self {
        match error {
            StreamError::Store(error) => Self::Store(error),
            StreamError::Content(source) => Self::Read { key: key.clone(), source: Box::new(source) },
            StreamError::Ended => Self::Ended,
        }
    }
}
