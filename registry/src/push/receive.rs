//! The body of a request, on its way into one segment.
//!
//! Each buffer is hashed and summed on a thread of the blocking pool while it is handed to the store and the next one
//! comes in, so a push runs at the speed of the slowest of the three and holds two buffers. A fast body has buffers of a
//! MiB, as long as all of them together stay below a bound; a slow one has small ones, so that thousands of them hold
//! little. What is small stays in memory, to be kept in the index, and never touches the store.
//!
//! Called by [`super::upload`]; it knows nothing of uploads, and nothing it does can be seen by anyone before an entry
//! names the segment.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::crash;
use super::hash::Hasher;
use crate::blobs::buffers::Buffer;
use crate::blobs::checksum::{CHUNK, ChecksumBuilder};
use crate::blobs::{ObjectKey, ObjectWriter, Store, StoreError};
use crate::index::command::{Place, Segment};

/// Why a body ended early; what it says is for the log.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The body of a request as handlers see it.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// A body that is slower than the store is handed on once it has brought this much.
const SMALL: usize = 16 << 10;
/// The size of a buffer when there are too many large ones already.
const MEDIUM: usize = 64 << 10;
/// Buffers of a MiB at once, of all bodies together. Who gets none goes on with smaller ones, so nobody waits.
static LARGE_BUFFERS: Semaphore = Semaphore::const_new(64);

/// Hashing this much takes some 50 µs: about as long as handing it to another thread and back.
const HASH_IN_PLACE: usize = 64 << 10;

/// Why a body could not be received. What was written of it is removed, as far as that is possible.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the hash stopped")]
    Hash(#[source] tokio::task::JoinError),
}

/// How a body ended.
#[derive(Debug)]
pub enum Ending {
    Whole,
    /// The client vanished or broke the protocol after what was received.
    Broken(BodyError),
}

/// A body that was received and is neither kept nor discarded yet.
pub struct Received {
    /// The hash after the last byte received.
    pub hasher: Hasher,
    /// Bytes received.
    pub length: u64,
    pub ending: Ending,
    sums: ChecksumBuilder,
    stored: Stored,
}

enum Stored {
    Memory(Bytes),
    Object(ObjectKey, Box<dyn ObjectWriter>),
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received").field("length", &self.length).field("ending", &self.ending).finish_non_exhaustive()
    }
}

impl Received {
    /// Makes what was received durable and describes it; none when it was nothing.
    pub async fn keep(self) -> Result<Option<Segment>, StoreError> {
        let place = match self.stored {
            Stored::Memory(bytes) if bytes.is_empty() => return Ok(None),
            Stored::Memory(bytes) => Place::Inline(bytes),
            Stored::Object(key, writer) => {
                crash::point("push::segment::before_finish");
                writer.finish().await?;
                crash::point("push::segment::after_finish");
                Place::Object(key)
            }
        };
        Ok(Some(Segment { length: self.length, place, sums: self.sums.finish() }))
    }

    /// Removes what was received.
    pub async fn discard(self) {
        if let Stored::Object(_, writer) = self.stored {
            writer.abort().await;
        }
    }
}

/// Receives `body`: in memory while it is at most `inline` bytes, else into the object `key`. `hasher` goes on from
/// what came before this body.
pub async fn receive(
    store: &dyn Store,
    key: ObjectKey,
    inline: u64,
    hasher: Hasher,
    body: RequestBody,
) -> Result<Received, ReceiveError> {
    let mut source = Source { body, rest: Bytes::new() };
    let mut work = Work { hasher, sums: ChecksumBuilder::default() };
    // More than may stay in memory, so that it is known what becomes of it.
    let enough = usize::try_from(inline).unwrap_or(usize::MAX).saturating_add(1).max(SMALL);
    let first = source.fill(enough).await;
    match first {
        Filled { bytes, ending: Some(ending), .. } if bytes.len() as u64 <= inline => {
            work = work.update(bytes.clone()).await?;
            let length = bytes.len() as u64;
            Ok(Received { hasher: work.hasher, length, ending, sums: work.sums, stored: Stored::Memory(bytes) })
        }
        first => {
            let mut writer = store.create(&key).await?;
            match pump(&mut source, writer.as_mut(), work, first).await {
                Ok((work, length, ending)) => {
                    let stored = Stored::Object(key, writer);
                    Ok(Received { hasher: work.hasher, length, ending, sums: work.sums, stored })
                }
                Err(error) => {
                    writer.abort().await;
                    Err(error)
                }
            }
        }
    }
}

/// Takes one buffer after the other to the hash and to the store, while the next one is filled.
async fn pump(
    source: &mut Source,
    writer: &mut dyn ObjectWriter,
    mut work: Work,
    mut current: Filled,
) -> Result<(Work, u64, Ending), ReceiveError> {
    let mut length = 0;
    loop {
        let Filled { bytes, ending, _permit } = current;
        length += bytes.len() as u64;
        let hash = work.update(bytes.clone());
        let store =
            async { if bytes.is_empty() { Ok(()) } else { writer.write(bytes).await.map_err(ReceiveError::from) } };
        if let Some(ending) = ending {
            let (work, ()) = tokio::try_join!(hash, store)?;
            return Ok((work, length, ending));
        }
        (work, (), current) = tokio::try_join!(hash, store, async { Ok(source.fill(SMALL).await) })?;
    }
}

/// What is computed of each byte.
struct Work {
    hasher: Hasher,
    sums: ChecksumBuilder,
}

impl Work {
    async fn update(mut self, bytes: Bytes) -> Result<Self, ReceiveError> {
        if bytes.len() <= HASH_IN_PLACE {
            self.hasher.update(&bytes);
            self.sums.update(&bytes);
            return Ok(self);
        }
        // A thread for each buffer and not for each body: one that trickles in must hold none.
        tokio::task::spawn_blocking(move || {
            self.hasher.update(&bytes);
            self.sums.update(&bytes);
            self
        })
        .await
        .map_err(ReceiveError::Hash)
    }
}

/// The body, cut into buffers of a MiB.
struct Source {
    body: RequestBody,
    /// What of a frame did not fit into the buffer before.
    rest: Bytes,
}

/// A buffer, and how the body ended if it did after it.
struct Filled {
    bytes: Bytes,
    ending: Option<Ending>,
    /// Held by a large buffer until it is stored.
    _permit: Option<SemaphorePermit<'static>>,
}

impl Source {
    /// Fills a buffer: until it is full, the body ends, or it has `enough` and no more is there at this moment.
    async fn fill(&mut self, enough: usize) -> Filled {
        let size = MEDIUM.max(enough.min(CHUNK));
        let mut small = BytesMut::new();
        let ending = self.take(size, enough, |piece| small.extend_from_slice(piece)).await;
        let permit = if ending.is_some() || small.len() < size || size == CHUNK {
            None
        } else {
            LARGE_BUFFERS.try_acquire().ok()
        };
        if permit.is_none() {
            return Filled { bytes: small.freeze(), ending, _permit: None };
        }
        let (mut large, mut filled) = (Buffer::take(), 0);
        let mut append = |piece: &[u8]| {
            large.as_mut()[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        };
        append(&small);
        let ending = self.take(CHUNK - small.len(), 0, append).await;
        Filled { bytes: large.share(filled), ending, _permit: permit }
    }

    /// Gives `to` at most `most` bytes of what comes; fewer when the body ends, or `enough` came and no more is there.
    async fn take(&mut self, most: usize, enough: usize, mut to: impl FnMut(&[u8])) -> Option<Ending> {
        let mut taken = 0;
        loop {
            let piece = self.rest.split_to(self.rest.len().min(most - taken));
            to(&piece);
            taken += piece.len();
            if taken == most {
                return None;
            }
            let next = match self.body.frame().now_or_never() {
                Some(next) => next,
                None if taken >= enough => return None,
                None => self.body.frame().await,
            };
            match next {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Some(Ending::Broken(error)),
                None => return Some(Ending::Whole),
            }
        }
    }
}

#[cfg(test)]
mod tests;
