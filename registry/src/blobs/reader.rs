//! Reading a blob: its segments in order, as one stream of checked bytes.
//!
//! Called by downloads. A chunk is checked against its CRC32C before any byte of it is given out, for ranges too; what is
//! wrong ends the stream with an error.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};

use super::checksum::CHUNK;
use super::{ObjectKey, Store, StoreError};
use crate::index::command::{Place, Segment};

/// Why a blob could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("object {key} is damaged in its MiB {chunk}")]
    Damaged { key: ObjectKey, chunk: usize },
    #[error("the bytes of the blob in the index are damaged")]
    InlineDamaged,
}

impl ReadError {
    /// The object is not in the store, as when it was reclaimed after the index was asked.
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Store(StoreError::NotFound { .. }))
    }

    /// The object that was found damaged, or not at all.
    pub const fn damaged(&self) -> Option<&ObjectKey> {
        match self {
            Self::Damaged { key, .. } | Self::Store(StoreError::Truncated { key } | StoreError::NotFound { key }) => {
                Some(key)
            }
            Self::Store(_) | Self::InlineDamaged => None,
        }
    }
}

/// Reads `range` of the blob that consists of `segments`, in buffers of at most 1 MiB.
pub fn read(
    store: Arc<dyn Store>,
    segments: Vec<Segment>,
    range: Range<u64>,
) -> BoxStream<'static, Result<Bytes, ReadError>> {
    let reader = Reader { store, pieces: pieces(segments, range), open: None };
    stream::unfold(Some(reader), |reader| async move {
        let mut reader = reader?;
        match reader.next().await {
            Ok(None) => None,
            Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

/// A part of a segment, counted from the segment's beginning.
struct Piece {
    segment: Segment,
    range: Range<u64>,
}

fn pieces(segments: Vec<Segment>, range: Range<u64>) -> VecDeque<Piece> {
    let mut begin = 0;
    let mut pieces = VecDeque::new();
    for segment in segments {
        let end = begin + segment.length;
        let (from, to) = (range.start.max(begin), range.end.min(end));
        if from < to {
            let range = from - begin..to - begin;
            pieces.push_back(Piece { segment, range });
        }
        begin = end;
    }
    pieces
}

struct Reader {
    store: Arc<dyn Store>,
    pieces: VecDeque<Piece>,
    open: Option<Open>,
}

/// An object being read, from the beginning of a chunk.
struct Open {
    key: ObjectKey,
    piece: Piece,
    stream: BoxStream<'static, Result<Bytes, StoreError>>,
    chunk: usize,
    /// What came beyond the chunk before.
    rest: Bytes,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if let Some(open) = &mut self.open {
                if open.at() < open.piece.range.end {
                    return open.next().await.map(Some);
                }
                self.open = None;
            }
            let Some(piece) = self.pieces.pop_front() else { return Ok(None) };
            match &piece.segment.place {
                Place::Inline(bytes) => return inline(bytes, &piece).map(Some),
                Place::Object(key) => {
                    let key = key.clone();
                    let chunk = (piece.range.start / CHUNK as u64) as usize;
                    let end = piece.range.end.next_multiple_of(CHUNK as u64).min(piece.segment.length);
                    let stream = match self.store.read(&key, chunk as u64 * CHUNK as u64..end).await {
                        Ok(stream) => stream,
                        Err(StoreError::Truncated { key }) => return Err(ReadError::Damaged { key, chunk }),
                        Err(error) => return Err(error.into()),
                    };
                    self.open = Some(Open { key, piece, stream, chunk, rest: Bytes::new() });
                }
            }
        }
    }
}

fn inline(bytes: &Bytes, piece: &Piece) -> Result<Bytes, ReadError> {
    let good = bytes.len() as u64 == piece.segment.length
        && bytes
            .chunks(CHUNK)
            .enumerate()
            .all(|(number, chunk)| piece.segment.sums.get(number) == Some(crc32c::crc32c(chunk)));
    if !good {
        return Err(ReadError::InlineDamaged);
    }
    Ok(bytes.slice(piece.range.start as usize..piece.range.end as usize))
}

impl Open {
    /// Where the next chunk begins.
    const fn at(&self) -> u64 {
        self.chunk as u64 * CHUNK as u64
    }

    /// Reads and checks the next chunk, and gives what of it is wanted.
    async fn next(&mut self) -> Result<Bytes, ReadError> {
        let begin = self.at();
        let length = (self.piece.segment.length - begin).min(CHUNK as u64) as usize;
        let chunk = self.fill(length).await?;
        if self.piece.segment.sums.get(self.chunk) != Some(crc32c::crc32c(&chunk)) {
            return Err(ReadError::Damaged { key: self.key.clone(), chunk: self.chunk });
        }
        self.chunk += 1;
        let from = self.piece.range.start.saturating_sub(begin) as usize;
        let to = (self.piece.range.end - begin).min(length as u64) as usize;
        Ok(chunk.slice(from..to))
    }

    /// Exactly `length` bytes.
    async fn fill(&mut self, length: usize) -> Result<Bytes, ReadError> {
        if self.rest.len() >= length {
            return Ok(self.rest.split_to(length));
        }
        let mut buffer = BytesMut::with_capacity(length);
        loop {
            let take = self.rest.len().min(length - buffer.len());
            buffer.extend_from_slice(&self.rest.split_to(take));
            if buffer.len() == length {
                return Ok(buffer.freeze());
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.rest = bytes,
                Some(Err(StoreError::Truncated { key })) => {
                    return Err(ReadError::Damaged { key, chunk: self.chunk });
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(ReadError::Damaged { key: self.key.clone(), chunk: self.chunk }),
            }
            if buffer.is_empty() && self.rest.len() >= length {
                return Ok(self.rest.split_to(length));
            }
        }
    }
}

#[cfg(test)]
mod tests;
