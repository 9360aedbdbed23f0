//! Scrubbing: reads every object again and checks it. What is damaged or missing is marked, so that the next push of it
//! heals it; and blobs of several segments found on the way are joined.

use std::time::Duration;

use futures::StreamExt;

use super::{ReclaimError, Reclaimer, join, owner};
use crate::blobs::StoreError;
use crate::blobs::reader::{self, ReadError};
use crate::index::IndexError;
use crate::index::command::{Command, MarkDamaged, Place, Segment};
use crate::index::query::{GetStatus, ListBlobs, StoredBlob};
use crate::oci::digest::Digest;

/// Blobs looked up at once.
const STEP: usize = 50;
/// The background scrub reads at least this many bytes a second while it reads.
const SLOWEST: u64 = 1 << 20;
/// So many failures of the store in a row end a round: then it is the store that is in trouble, and not an object.
const UNREADABLE: usize = 10;
/// How long it waits before it begins, and after a round that failed.
const PAUSE: Duration = Duration::from_mins(10);

/// What a round found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub blobs: u64,
    pub bytes: u64,
    pub damaged: Vec<Digest>,
    /// The store had them, perhaps, and could not give them.
    pub unreadable: Vec<Digest>,
}

/// Scrubs all the time, one round in `days` days.
pub async fn forever(reclaimer: Reclaimer, days: u32) {
    let round = Duration::from_secs(u64::from(days) * 24 * 3600);
    loop {
        tokio::time::sleep(PAUSE).await;
        if !reclaimer.index.leads() {
            continue;
        }
        let began = tokio::time::Instant::now();
        let result = async {
            let bytes = reclaimer.index.query(GetStatus).await?.counts.blob_bytes;
            run(&reclaimer, Some((bytes / round.as_secs().max(1)).max(SLOWEST))).await
        };
        match result.await {
            Ok(found) => {
                tracing::info!(blobs = found.blobs, bytes = found.bytes, damaged = found.damaged.len(), "scrubbed");
                tokio::time::sleep_until(began + round).await;
            }
            Err(error) => {
                reclaimer.metrics.failures.inc();
                let error = anyhow::Error::from(error);
                tracing::warn!(error = format!("{error:#}"), "scrubbing did not finish; it begins again later");
            }
        }
    }
}

/// One round over all blobs, at most `rate` bytes a second.
pub async fn run(reclaimer: &Reclaimer, rate: Option<u64>) -> Result<Findings, ReclaimError> {
    let mut found = Findings::default();
    let (mut last, mut in_a_row) = (None, 0);
    loop {
        let page = reclaimer.index.query(ListBlobs { last, limit: STEP }).await?;
        last = page.items.last().map(|blob| blob.digest);
        for blob in page.items {
            if !blob.damaged {
                match check(reclaimer, &blob).await {
                    Ok(true) if blob.segments.len() > 1 => join::run(reclaimer, &blob).await?,
                    Ok(true) => in_a_row = 0,
                    Ok(false) => found.damaged.push(blob.digest),
                    // One object that the store cannot read must not keep the others from being looked at.
                    Err(ReclaimError::Store(error)) if in_a_row < UNREADABLE => {
                        in_a_row += 1;
                        reclaimer.metrics.failures.inc();
                        let error = anyhow::Error::from(error);
                        tracing::warn!(digest = %blob.digest, error = format!("{error:#}"), "a blob could not be read; going on");
                        found.unreadable.push(blob.digest);
                    }
                    Err(error) => return Err(error),
                }
            }
            found.blobs += 1;
            found.bytes += blob.size;
            reclaimer.metrics.scrubbed_bytes.inc_by(blob.size);
            if let Some(rate) = rate {
                tokio::time::sleep(Duration::from_secs_f64(blob.size as f64 / rate as f64)).await;
            }
        }
        if !page.more {
            return Ok(found);
        }
    }
}

/// Reads a blob; whether it is whole. A damaged one is marked.
async fn check(reclaimer: &Reclaimer, blob: &StoredBlob) -> Result<bool, ReclaimError> {
    for segment in &blob.segments {
        let Place::Object(key) = &segment.place else { continue };
        let wrong = match read(reclaimer, segment).await {
            Ok(()) => continue,
            Err(ReadError::Store(error)) if !matches!(error, StoreError::NotFound { .. }) => return Err(error.into()),
            Err(error) => error,
        };
        // Another store, or an empty one, in the place of ours says nothing about our blobs.
        owner::check(reclaimer.store.as_ref(), reclaimer.index.cluster()).await?;
        let mark = MarkDamaged { digest: blob.digest, key: key.clone() };
        return match reclaimer.index.submit(None, Command::MarkDamaged(mark)).await {
            Ok(_) => {
                tracing::error!(digest = %blob.digest, error = %wrong, "a blob is damaged: push it again to heal it");
                reclaimer.metrics.damaged.inc();
                Ok(false)
            }
            // It was deleted or replaced while we read.
            Err(IndexError::Refused { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        };
    }
    Ok(true)
}

async fn read(reclaimer: &Reclaimer, segment: &Segment) -> Result<(), ReadError> {
    let mut stream = reader::read(reclaimer.store.clone(), vec![segment.clone()], 0..segment.length);
    while let Some(bytes) = stream.next().await {
        bytes?;
    }
    Ok(())
}
