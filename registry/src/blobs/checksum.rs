//! CRC32C per MiB: what a segment's record keeps so that no wrong byte is ever sent. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// How many bytes one check sum covers (the last one of a segment may cover fewer).
pub const CHUNK: usize = 1 << 20;

/// The check sums of a segment, in order: little-endian u32 each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checksums(Bytes);

impl Checksums {
    /// The check sum of chunk `number`, counted from 0; none past the end.
    pub fn get(&self, number: usize) -> Option<u32> {
        let at = number.checked_mul(4)?;
        let bytes = self.0.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }

    /// Computes the check sums of `content`.
    pub fn of(content: &[u8]) -> Self {
        let mut builder = ChecksumBuilder::default();
        builder.update(content);
        builder.finish()
    }
}

/// Computes [`Checksums`] of a stream.
#[derive(Debug, Default)]
pub struct ChecksumBuilder {
    done: Vec<u8>,
    current: u32,
    filled: usize,
}

impl ChecksumBuilder {
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let take = bytes.len().min(CHUNK - self.filled);
            self.current = crc32c::crc32c_append(self.current, &bytes[..take]);
            self.filled += take;
            bytes = &bytes[take..];
            if self.filled == CHUNK {
                self.close();
            }
        }
    }

    pub fn finish(mut self) -> Checksums {
        if self.filled > 0 {
            self.close();
        }
        Checksums(self.done.into())
    }

    fn close(&mut self) {
        self.done.extend_from_slice(&self.current.to_le_bytes());
        self.current = 0;
        self.filled = 0;
    }
}
