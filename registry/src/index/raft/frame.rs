//! The frame around an entry in the log: version, check sum, and the check sum of the entry before it. Pure.
//!
//! ```text
//! version: u8 | crc32c of all that follows: u32 | crc of the predecessor's frame: u32 | entry: MessagePack
//! ```
//! Numbers are little-endian. The chain tells an entry that was replaced or lost from one that was damaged.

use super::types::{EntryError, StoredEntry};
use crate::index::level::Newer;

const VERSION: u8 = 1;
const HEADER: usize = 9;

/// Why a frame cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the frame is too short")]
    Short,
    #[error("the frame has version {0}, written by a newer roadstead")]
    Version(u8),
    #[error("the check sum does not match")]
    Sum,
    #[error(transparent)]
    Newer(Newer),
    #[error("the entry does not decode: {0}")]
    Entry(String),
}

/// Encodes an entry that follows one with the check sum `before`; 0 for the first. Returns the frame and its check sum.
pub fn encode(entry: &StoredEntry, before: u32) -> Result<(Vec<u8>, u32), FrameError> {
    let mut frame = vec![VERSION, 0, 0, 0, 0];
    frame.extend_from_slice(&before.to_le_bytes());
    rmp_serde::encode::write_named(&mut frame, entry).map_err(|error| FrameError::Entry(error.to_string()))?;
    let sum = crc32c::crc32c(&frame[5..]);
    frame[1..5].copy_from_slice(&sum.to_le_bytes());
    Ok((frame, sum))
}

/// A frame that is whole.
#[derive(Debug)]
pub struct Frame {
    pub entry: StoredEntry,
    pub sum: u32,
    /// The check sum of the entry before this one, when this one was written.
    pub before: u32,
}

/// Decodes a frame and checks its sum.
pub fn decode(frame: &[u8]) -> Result<Frame, FrameError> {
    let (sum, before) = sums(frame)?;
    if crc32c::crc32c(&frame[5..]) != sum {
        return Err(FrameError::Sum);
    }
    let entry = StoredEntry::read(&frame[HEADER..]).map_err(|error| match error {
        EntryError::Newer(newer) => FrameError::Newer(newer),
        EntryError::Unreadable(reason) => FrameError::Entry(reason),
    })?;
    Ok(Frame { entry, sum, before })
}

/// The check sum of a frame and of its predecessor, without looking at the entry.
pub fn sums(frame: &[u8]) -> Result<(u32, u32), FrameError> {
    let header = frame.first_chunk::<HEADER>().ok_or(FrameError::Short)?;
    if header[0] != VERSION {
        return Err(FrameError::Version(header[0]));
    }
    let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    Ok((number(1), number(5)))
}
