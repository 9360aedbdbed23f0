//! The format of an archived segment of the log. Pure.
//!
//! ```text
//! magic: 8 bytes | version: u16 | length of the header: u32 | check sum of the header: u32 | header (MessagePack)
//! (length: u32 | frame) …
//! ```
//! Numbers are little-endian. The frames are those of the log ([`crate::index::raft::frame`]), in a chain of their own:
//! each names the check sum of the one before it, also across segments, so that none can be lost, repeated or exchanged.

use serde::{Deserialize, Serialize};

use super::names::SegmentName;
use crate::index::raft::frame::{self, FrameError};
use crate::index::raft::types::StoredEntry;

const MAGIC: &[u8; 8] = b"ROADSEGM";
const VERSION: u16 = 1;
const FIXED: usize = 18;

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub cluster: String,
    pub epoch: u64,
    pub first: u64,
    pub last: u64,
    pub before: u32,
    pub sum: u32,
}

/// Why a segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("this is not a segment of a log")]
    NotASegment,
    #[error("the segment has version {version}, written by a newer roadstead")]
    Newer { version: u16 },
    #[error("the segment ends too early")]
    Truncated,
    #[error("the segment is damaged: {reason}")]
    Damaged { reason: &'static str },
    #[error("entry {index} of the segment cannot be read")]
    Frame { index: u64, source: FrameError },
    #[error("an entry could not be encoded")]
    Encode(#[source] FrameError),
}

/// A segment that is being put together.
#[derive(Clone, Debug)]
pub struct Builder {
    first: u64,
    before: u32,
    sum: u32,
    /// Index and term of the last entry.
    last: Option<(u64, u64)>,
    frames: Vec<u8>,
}

impl Builder {
    /// Begins at entry `first`, behind a frame with the check sum `before`.
    pub fn new(first: u64, before: u32) -> Self {
        Self { first, before, sum: before, last: None, frames: Vec::new() }
    }

    /// The entry that comes next.
    pub fn next(&self) -> u64 {
        self.last.map_or(self.first, |(index, _)| index + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Bytes gathered so far.
    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// Adds the next entry.
    pub fn push(&mut self, entry: &StoredEntry) -> Result<(), SegmentError> {
        if entry.position.index != self.next() {
            return Err(SegmentError::Damaged { reason: "an entry is missing" });
        }
        let (bytes, sum) = frame::encode(entry, self.sum).map_err(SegmentError::Encode)?;
        let length =
            u32::try_from(bytes.len()).map_err(|_| SegmentError::Damaged { reason: "an entry is too large" })?;
        self.frames.extend_from_slice(&length.to_le_bytes());
        self.frames.extend_from_slice(&bytes);
        self.sum = sum;
        self.last = Some((entry.position.index, entry.position.term));
        Ok(())
    }

    /// The segment and its name; none when it holds nothing.
    pub fn finish(&self, cluster: &str, epoch: u64) -> Option<(SegmentName, Vec<u8>)> {
        let (last, term) = self.last?;
        let Self { first, before, sum, .. } = *self;
        let header = Header { cluster: cluster.to_owned(), epoch, first, last, before, sum };
        // A header of text and numbers can always be encoded.
        let header = rmp_serde::to_vec_named(&header).unwrap_or_default();
        let mut bytes = Vec::with_capacity(FIXED + header.len() + self.frames.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(header.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&self.frames);
        let name = SegmentName { first, last, term, before, sum, length: bytes.len() as u64 };
        Some((name, bytes))
    }
}

/// Reads a segment whole: every check sum, the chain, and that it is what `name` says.
pub fn decode(bytes: &[u8], name: &SegmentName, cluster: &str) -> Result<Vec<StoredEntry>, SegmentError> {
    const OTHER: SegmentError = SegmentError::Damaged { reason: "it is not what its name says" };
    let (header, mut frames) = split(bytes)?;
    let says = (header.first, header.last, header.before, header.sum, bytes.len() as u64);
    if says != (name.first, name.last, name.before, name.sum, name.length) || header.cluster != cluster {
        return Err(OTHER);
    }
    let mut entries = Vec::new();
    let mut sum = header.before;
    let mut index = header.first;
    while !frames.is_empty() {
        let (length, rest) = frames.split_first_chunk::<4>().ok_or(SegmentError::Truncated)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(SegmentError::Truncated)?;
        let read = frame::decode(bytes).map_err(|source| SegmentError::Frame { index, source })?;
        if read.before != sum || read.entry.position.index != index {
            return Err(SegmentError::Damaged { reason: "its entries do not follow each other" });
        }
        sum = read.sum;
        index += 1;
        entries.push(read.entry);
        frames = rest;
    }
    if index != header.last + 1 || sum != header.sum {
        return Err(SegmentError::Truncated);
    }
    Ok(entries)
}

fn split(bytes: &[u8]) -> Result<(Header, &[u8]), SegmentError> {
    let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(SegmentError::NotASegment)?;
    if fixed[..8] != *MAGIC {
        return Err(SegmentError::NotASegment);
    }
    let version = u16::from_le_bytes([fixed[8], fixed[9]]);
    if version != VERSION {
        return Err(SegmentError::Newer { version });
    }
    let length = u32::from_le_bytes([fixed[10], fixed[11], fixed[12], fixed[13]]) as usize;
    let (header, frames) = rest.split_at_checked(length).ok_or(SegmentError::Truncated)?;
    if crc32c::crc32c(header).to_le_bytes() != fixed[14..] {
        return Err(SegmentError::Damaged { reason: "the check sum of the header does not match" });
    }
    let header =
        rmp_serde::from_slice(header).map_err(|_| SegmentError::Damaged { reason: "the header does not decode" })?;
    Ok((header, frames))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::index::raft::types::{Content, Position};

    fn entry(index: u64) -> StoredEntry {
        StoredEntry { position: Position { term: 2, node: 1, index }, level: 1, content: Content::Blank }
    }

    fn segment(first: u64, last: u64, before: u32) -> (SegmentName, Vec<u8>) {
        let mut builder = Builder::new(first, before);
        for index in first..=last {
            builder.push(&entry(index)).unwrap();
        }
        builder.finish("c", 1).unwrap()
    }

    #[test]
    fn a_segment_reads_back_and_goes_on_from_the_one_before() {
        let (one, bytes) = segment(5, 9, 0);
        assert_eq!(decode(&bytes, &one, "c").unwrap(), (5..=9).map(entry).collect::<Vec<_>>());
        let (two, bytes) = segment(10, 11, one.sum);
        assert_eq!((two.before, two.first, two.term), (one.sum, 10, 2));
        assert_eq!(decode(&bytes, &two, "c").unwrap().len(), 2);
        assert!(Builder::new(1, 0).finish("c", 1).is_none());
        assert!(Builder::new(1, 0).push(&entry(2)).is_err());
    }

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_noticed() {
        let (name, bytes) = segment(1, 4, 7);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(decode(&flipped, &name, "c").is_err(), "byte {at}");
            assert!(decode(&bytes[..at], &name, "c").is_err(), "cut at {at}");
        }
        assert!(decode(&bytes, &name, "d").is_err());
        assert!(decode(&bytes, &SegmentName { last: 5, ..name }, "c").is_err());
        let mut longer = bytes;
        longer.push(0);
        assert!(decode(&longer, &name, "c").is_err());
    }
}
