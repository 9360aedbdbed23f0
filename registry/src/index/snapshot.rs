//! The format of a snapshot: the whole state as a stream, for a member that joins, for backups and for the archive. Pure:
//! encoding writes to any `Write`, decoding reads from any `Read`; `raft::transfer` connects them to a state.
//!
//! ```text
//! magic: 8 bytes | version: u16 | frame …
//! frame   = kind: u8 | length: u32 | check sum: u32 | payload
//! kinds   = H header (MessagePack), R records, E end (MessagePack); one H first, one E last, nothing behind it
//! records = (table: u8 | length of the key: u32 | length of the value: u32 | key | value) …
//! ```
//! Numbers are little-endian. Records come in the order of their tables and keys. A check sum (CRC32C) covers kind, length
//! and payload and goes on from the sum of the frame before, so frames cannot be lost, repeated or exchanged.
//!
//! Decoding takes no more memory than the input is long, and never more than one frame.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};

use super::level::{self, FIRST, Newer};
use super::state::records::Table;

const MAGIC: &[u8; 8] = b"ROADSNAP";
const VERSION: u16 = 1;
const HEADER: u8 = b'H';
const RECORDS: u8 = b'R';
const END: u8 = b'E';
/// Records are gathered up to this many bytes; one larger record has a frame of its own.
const FRAME: usize = 1 << 20;
/// A frame that claims more is damaged: no record is nearly as large.
const LARGEST: usize = 256 << 20;

/// Where a snapshot comes from and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub cluster: String,
    /// The log position of the last applied entry.
    pub position: u64,
    /// The same with its term, and the members; opaque here, see `raft::types`.
    pub applied: Bytes,
    /// The feature level in force in this state, which its reader must know.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub level: u32,
}

const fn first() -> u32 {
    FIRST
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
const fn is_first(level: &u32) -> bool {
    *level == FIRST
}

/// What a snapshot held, for its reader to check that all of it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub frames: u64,
    pub records: u64,
    /// Bytes of keys and values.
    pub bytes: u64,
}

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("could not write the snapshot")]
    Write(#[source] io::Error),
    #[error("could not read the snapshot")]
    Read(#[source] io::Error),
    #[error("this is not a snapshot")]
    NotASnapshot,
    #[error("the snapshot has version {version}, written by a newer roadstead")]
    Newer { version: u16 },
    #[error(transparent)]
    NewerLevel(#[from] Newer),
    #[error("the snapshot ends too early")]
    Truncated,
    #[error("the snapshot is damaged: {reason}")]
    Damaged { reason: &'static str },
    #[error("the snapshot holds a table {table} that this roadstead does not know")]
    UnknownTable { table: u8 },
}

/// Writes a snapshot.
#[derive(Debug)]
pub struct Encoder<W> {
    output: W,
    frame: Vec<u8>,
    sum: u32,
    totals: Totals,
}

impl<W: Write> Encoder<W> {
    pub fn new(mut output: W, header: &Header) -> Result<Self, SnapshotError> {
        output.write_all(MAGIC).map_err(SnapshotError::Write)?;
        output.write_all(&VERSION.to_le_bytes()).map_err(SnapshotError::Write)?;
        let mut encoder = Self { output, frame: Vec::with_capacity(FRAME), sum: 0, totals: Totals::default() };
        encoder.named(HEADER, header)?;
        Ok(encoder)
    }

    /// Adds a record; they come in the order of their tables and keys.
    pub fn record(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        if !self.frame.is_empty() && self.frame.len() + 9 + key.len() + value.len() > FRAME {
            self.records()?;
        }
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len()).map_err(|_| SnapshotError::Damaged { reason: "a record is too large" })
        };
        self.frame.push(table as u8);
        self.frame.extend_from_slice(&length(key)?.to_le_bytes());
        self.frame.extend_from_slice(&length(value)?.to_le_bytes());
        self.frame.extend_from_slice(key);
        self.frame.extend_from_slice(value);
        self.totals.records += 1;
        self.totals.bytes += (key.len() + value.len()) as u64;
        Ok(())
    }

    /// Writes the end and flushes.
    pub fn finish(mut self) -> Result<(W, Totals), SnapshotError> {
        if !self.frame.is_empty() {
            self.records()?;
        }
        let totals = self.totals;
        self.named(END, &totals)?;
        self.output.flush().map_err(SnapshotError::Write)?;
        Ok((self.output, totals))
    }

    fn records(&mut self) -> Result<(), SnapshotError> {
        let payload = std::mem::take(&mut self.frame);
        self.write(RECORDS, &payload)?;
        self.totals.frames += 1;
        self.frame = payload;
        self.frame.clear();
        Ok(())
    }

    fn named<T: Serialize>(&mut self, kind: u8, value: &T) -> Result<(), SnapshotError> {
        let payload = rmp_serde::to_vec_named(value).map_err(|error| SnapshotError::Write(io::Error::other(error)))?;
        self.write(kind, &payload)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> Result<(), SnapshotError> {
        let Some(length) = u32::try_from(payload.len()).ok().filter(|length| *length as usize <= LARGEST) else {
            return Err(SnapshotError::Damaged { reason: "a record is too large" });
        };
        self.sum = sum(self.sum, kind, length, payload);
        let mut head = [kind; 9];
        head[1..5].copy_from_slice(&length.to_le_bytes());
        head[5..].copy_from_slice(&self.sum.to_le_bytes());
        self.output.write_all(&head).map_err(SnapshotError::Write)?;
        self.output.write_all(payload).map_err(SnapshotError::Write)
    }
}

fn sum(before: u32, kind: u8, length: u32, payload: &[u8]) -> u32 {
    let sum = crc32c::crc32c_append(before, &[kind]);
    let sum = crc32c::crc32c_append(sum, &length.to_le_bytes());
    crc32c::crc32c_append(sum, payload)
}

/// A record of a snapshot.
pub type Record = (Table, Bytes, Bytes);

/// Reads a snapshot.
#[derive(Debug)]
pub struct Decoder<R> {
    input: R,
    header: Header,
    sum: u32,
    totals: Totals,
    /// The record read last: what comes must be behind it.
    last: Option<(Table, Bytes)>,
}

impl<R: Read> Decoder<R> {
    /// Reads the beginning.
    pub fn new(mut input: R) -> Result<Self, SnapshotError> {
        let mut begin = [0; 10];
        read(&mut input, &mut begin).map_err(|error| match error {
            SnapshotError::Truncated => SnapshotError::NotASnapshot,
            other => other,
        })?;
        if begin[..8] != *MAGIC {
            return Err(SnapshotError::NotASnapshot);
        }
        let version = u16::from_le_bytes([begin[8], begin[9]]);
        if version != VERSION {
            return Err(SnapshotError::Newer { version });
        }
        let mut before = 0;
        let (kind, payload) = frame(&mut input, &mut before)?;
        if kind != HEADER {
            return Err(SnapshotError::Damaged { reason: "it does not begin with a header" });
        }
        let header: Header = rmp_serde::from_slice(&payload)
            .map_err(|_| SnapshotError::Damaged { reason: "the header does not decode" })?;
        level::check("the snapshot", header.level)?;
        Ok(Self { input, header, sum: before, totals: Totals::default(), last: None })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next records; none at the end, when all that was written has come.
    pub fn records(&mut self) -> Result<Option<Vec<Record>>, SnapshotError> {
        let (kind, mut payload) = frame(&mut self.input, &mut self.sum)?;
        match kind {
            RECORDS => {
                let mut records = Vec::new();
                while !payload.is_empty() {
                    let record = record(&mut payload)?;
                    self.totals.records += 1;
                    self.totals.bytes += (record.1.len() + record.2.len()) as u64;
                    let place = (record.0, record.1.clone());
                    if self.last.as_ref().is_some_and(|last| *last >= place) {
                        return Err(SnapshotError::Damaged { reason: "its records are not in order" });
                    }
                    self.last = Some(place);
                    records.push(record);
                }
                self.totals.frames += 1;
                Ok(Some(records))
            }
            END => {
                let totals: Totals = rmp_serde::from_slice(&payload)
                    .map_err(|_| SnapshotError::Damaged { reason: "the end does not decode" })?;
                if totals != self.totals {
                    return Err(SnapshotError::Damaged { reason: "something is missing from it" });
                }
                match self.input.read(&mut [0]).map_err(SnapshotError::Read)? {
                    0 => Ok(None),
                    _ => Err(SnapshotError::Damaged { reason: "there is something behind its end" }),
                }
            }
            _ => Err(SnapshotError::Damaged { reason: "it holds a frame of an unknown kind" }),
        }
    }
}

/// Reads a whole snapshot and keeps nothing of it: whether a backup is good, and what the fuzzer runs.
pub fn verify(input: impl Read) -> Result<(Header, Totals), SnapshotError> {
    let mut decoder = Decoder::new(input)?;
    while decoder.records()?.is_some() {}
    Ok((decoder.header, decoder.totals))
}

fn read(input: &mut impl Read, into: &mut [u8]) -> Result<(), SnapshotError> {
    input.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SnapshotError::Truncated,
        _ => SnapshotError::Read(error),
    })
}

fn frame(input: &mut impl Read, before: &mut u32) -> Result<(u8, Bytes), SnapshotError> {
    let mut head = [0; 9];
    read(input, &mut head)?;
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
    if length as usize > LARGEST {
        return Err(SnapshotError::Damaged { reason: "a frame is too large" });
    }
    // What the length claims is believed only as the bytes come.
    let mut payload = Vec::with_capacity((length as usize).min(FRAME));
    let got = input.take(u64::from(length)).read_to_end(&mut payload).map_err(SnapshotError::Read)?;
    if got < length as usize {
        return Err(SnapshotError::Truncated);
    }
    let is = sum(*before, head[0], length, &payload);
    if is.to_le_bytes() != head[5..] {
        return Err(SnapshotError::Damaged { reason: "a check sum does not match" });
    }
    *before = is;
    Ok((head[0], payload.into()))
}

fn record(payload: &mut Bytes) -> Result<Record, SnapshotError> {
    const SHORT: SnapshotError = SnapshotError::Damaged { reason: "a record is longer than its frame" };
    if payload.len() < 9 {
        return Err(SHORT);
    }
    let number = payload.get_u8();
    let (key, value) = (payload.get_u32_le() as usize, payload.get_u32_le() as usize);
    if payload.len() < key || payload.len() - key < value {
        return Err(SHORT);
    }
    let table = Table::ALL.into_iter().find(|table| *table as u8 == number);
    let table = table.ok_or(SnapshotError::UnknownTable { table: number })?;
    Ok((table, payload.split_to(key), payload.split_to(value)))
}

#[cfg(test)]
mod tests;
