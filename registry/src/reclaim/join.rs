//! Joining: a blob that was pushed in chunks is rewritten as one object, so that it is read in one request and can be
//! offered as a redirect. One entry swaps; whoever still reads the old objects has the readers' pause.

use futures::StreamExt;

use super::{ReclaimError, Reclaimer};
use crate::blobs::checksum::ChecksumBuilder;
use crate::blobs::reader::{self, ReadError};
use crate::blobs::{ObjectKey, ObjectWriter};
use crate::index::command::{Command, Place, ReplaceSegments, Segment};
use crate::index::query::StoredBlob;

/// Rewrites a blob as one object. A blob that cannot be read whole, or that somebody changed meanwhile, is left alone.
pub async fn run(reclaimer: &Reclaimer, blob: &StoredBlob) -> Result<(), ReclaimError> {
    let cluster = reclaimer.cluster();
    let mut random = [0; 16];
    if crate::random::fill(&mut random).is_err() {
        return Ok(());
    }
    let key = ObjectKey::new(&cluster.id, cluster.epoch, reclaimer.index.time(), u128::from_le_bytes(random));
    let mut writer = reclaimer.store.create(&key).await?;
    let sums = match copy(reclaimer, blob, writer.as_mut()).await {
        Ok(sums) => sums,
        Err(error) => {
            writer.abort().await;
            return match error {
                ReadError::Store(error) => Err(error.into()),
                ReadError::Damaged { .. } | ReadError::InlineDamaged => Ok(()), // the next scrub marks it
            };
        }
    };
    writer.finish().await?;
    let old = blob.segments.iter().filter_map(|segment| match &segment.place {
        Place::Object(key) => Some(key.clone()),
        Place::Inline(_) => None,
    });
    let new = Segment { length: blob.size, place: Place::Object(key.clone()), sums: sums.finish() };
    let replace = ReplaceSegments { digest: blob.digest, old: old.collect(), new };
    match reclaimer.index.submit(None, Command::ReplaceSegments(replace)).await {
        Ok(_) => {
            reclaimer.metrics.joined.inc();
            Ok(())
        }
        Err(error) if error.is_certain() => Ok(reclaimer.store.delete(&key).await?),
        Err(error) => Err(error.into()), // it may have happened: if not, the object is found as an orphan
    }
}

async fn copy(
    reclaimer: &Reclaimer,
    blob: &StoredBlob,
    writer: &mut dyn ObjectWriter,
) -> Result<ChecksumBuilder, ReadError> {
    let mut sums = ChecksumBuilder::default();
    let mut stream = reader::read(reclaimer.store.clone(), blob.segments.clone(), 0..blob.size);
    while let Some(bytes) = stream.next().await {
        let bytes = bytes?;
        sums.update(&bytes);
        writer.write(bytes).await?;
    }
    Ok(sums)
}
