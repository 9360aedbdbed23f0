//! The end of a journal: what a crash left of the last batch that a fjall database was writing.
//!
//! Called before a database of the index is opened. fjall itself refuses to open a journal whose last batch has holes (a
//! power cut may write its pages in any order), and silently drops everything behind a byte that it does not understand.
//! Neither is right for us. A batch that was never made durable is cut here; a bad batch with a good one behind it is
//! damage, and the caller says what that means: for the log the end of this node, for the state a longer replay.
//!
//! Must never change a journal of a format that it does not know: the version file of the database is looked at first.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// The version file of a database whose journals are understood, and the end of each batch.
const FORMAT: &[u8] = b"FJL\x03";
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// Numbers of batches in the same journal are close to each other; content that merely looks like a batch has another.
const NEAR: u64 = 1 << 20;
/// An item that claims to be larger is damaged: the largest has a manifest of 4 MiB.
const MOST_BYTES: u64 = 16 << 20;
/// Bytes looked at together.
const BLOCK: usize = 1 << 20;

/// What to do with a bad batch that has a good one behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// What is behind was acknowledged: refuse.
    Refuse,
    /// What is behind can be made again: cut it as well.
    Cut,
}

/// What was cut off a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    pub file: PathBuf,
    pub at: u64,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("could not read {file}")]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{file} is damaged at byte {at}, with good data behind it")]
    Damaged { file: PathBuf, at: u64 },
}

/// Cuts the incomplete last batch of the database in `directory`, if there is one; to be called while it is closed.
pub fn mend(directory: &Path, behind: Behind) -> Result<Option<Cut>, JournalError> {
    let failed = |file: &Path, source| JournalError::Read { file: file.to_owned(), source };
    match fs::read(directory.join("version")) {
        Ok(version) if version == FORMAT => {}
        Ok(_) => return Ok(None), // fjall says what is wrong with it
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(directory, error)),
    }
    let mut journals = journals(directory).map_err(|error| failed(directory, error))?;
    let Some(active) = journals.pop() else { return Ok(None) };
    // All but the last were made durable as a whole when they were closed.
    for sealed in journals {
        if let Some(at) = bad_batch(&sealed).map_err(|error| failed(&sealed, error))?.map(|bad| bad.at) {
            return Err(JournalError::Damaged { file: sealed, at });
        }
    }
    let Some(bad) = bad_batch(&active).map_err(|error| failed(&active, error))? else { return Ok(None) };
    if bad.good_behind && behind == Behind::Refuse {
        return Err(JournalError::Damaged { file: active, at: bad.at });
    }
    let cut = || {
        let file = File::options().write(true).open(&active)?;
        file.set_len(bad.at)?;
        file.sync_all()
    };
    cut().map_err(|error| failed(&active, error))?;
    Ok(Some(Cut { file: active, at: bad.at }))
}

/// Removes a database whose making was cut short: it has no version yet, and nothing was ever written to it. What cannot be
/// read is no sign of that.
pub fn remove_unfinished(directory: &Path) -> io::Result<()> {
    let version = match fs::read(directory.join("version")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        version => version?,
    };
    // Keyspaces are made once the version is there for good.
    if version.len() >= FORMAT.len() || !directory.exists() || has_keyspaces(directory)? {
        return Ok(());
    }
    for journal in journals(directory)? {
        let mut first = [0];
        if File::open(journal)?.read(&mut first)? == 1 && first[0] != 0 {
            return Ok(()); // it was in use: let fjall say what it misses
        }
    }
    fs::remove_dir_all(directory)
}

fn has_keyspaces(directory: &Path) -> io::Result<bool> {
    match fs::read_dir(directory.join("keyspaces")) {
        Ok(mut keyspaces) => Ok(keyspaces.next().transpose()?.is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The journals of a database, oldest first.
fn journals(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
        if let (Some(number), true) = (number, path.extension().is_some_and(|extension| extension == "jnl")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The first batch that is not whole.
struct Bad {
    at: u64,
    good_behind: bool,
}

fn bad_batch(path: &Path) -> io::Result<Option<Bad>> {
    let mut journal = Journal::open(path)?;
    let mut last = None;
    while journal.position < journal.length {
        let at = journal.position;
        if let Some(number) = journal.batch()? {
            last = Some(number);
            continue;
        }
        journal.seek(at)?;
        if journal.only_zeros()? {
            return Ok(None); // preallocated and not yet written
        }
        journal.seek(at)?;
        let behind = journal.end_of_items()?;
        return Ok(Some(Bad { at, good_behind: journal.good_behind(behind, last)? }));
    }
    Ok(None)
}

/// How much an item's key and value take, by its header: kind and compression, keyspace, lengths of the key, of the value, and of
/// the value as it stands here.
fn content_length(header: &[u8; 20]) -> u64 {
    let key = u16::from_le_bytes([header[10], header[11]]);
    let value = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    u64::from(key) + u64::from(value)
}

struct Journal {
    reader: BufReader<File>,
    /// What is read only for its check sum; kept, as there are a hundred thousand items and more.
    buffer: Vec<u8>,
    position: u64,
    length: u64,
}

impl Journal {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let reader = BufReader::with_capacity(64 << 10, file);
        Ok(Self { reader, buffer: vec![0; 8 << 10], position: 0, length })
    }

    fn seek(&mut self, to: u64) -> io::Result<()> {
        self.reader.seek(SeekFrom::Start(to))?;
        self.position = to;
        Ok(())
    }

    /// Reads exactly `N` bytes; none at the end of the file.
    fn bytes<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        if self.length - self.position < N as u64 {
            return Ok(None);
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(Some(bytes))
    }

    /// Reads one batch and returns its number; none when it is not whole.
    fn batch(&mut self) -> io::Result<Option<u64>> {
        let Some([START, start @ ..]) = self.bytes::<13>()? else { return Ok(None) };
        let count = u32::from_le_bytes([start[0], start[1], start[2], start[3]]);
        let Some(number) = start.last_chunk().map(|bytes| u64::from_le_bytes(*bytes)) else { return Ok(None) };
        let mut sum = Xxh3::new();
        for _ in 0..count {
            if !self.item(&mut sum)? {
                return Ok(None);
            }
        }
        let Some([END, end @ ..]) = self.bytes::<13>()? else { return Ok(None) };
        let whole = end[..8] == sum.finish().to_le_bytes() && end[8..] == *FORMAT;
        Ok(whole.then_some(number))
    }

    /// Reads one item of a batch into its check sum.
    fn item(&mut self, sum: &mut Xxh3) -> io::Result<bool> {
        let Some([tag]) = self.bytes::<1>()? else { return Ok(false) };
        sum.write(&[tag]);
        match tag {
            CLEAR => {
                let Some(keyspace) = self.bytes::<8>()? else { return Ok(false) };
                sum.write(&keyspace);
                Ok(true)
            }
            ITEM => {
                let Some(header) = self.bytes::<20>()? else { return Ok(false) };
                sum.write(&header);
                self.sum(content_length(&header), sum)
            }
            _ => Ok(false),
        }
    }

    /// Goes over the items of a batch that is not whole by what it says of their lengths, as far as that can be believed. What
    /// lies in them is content, and may look like anything: clients write it.
    fn end_of_items(&mut self) -> io::Result<u64> {
        let mut end = self.position;
        let Some([START, start @ ..]) = self.bytes::<13>()? else { return Ok(end) };
        for _ in 0..u32::from_le_bytes([start[0], start[1], start[2], start[3]]) {
            end = self.position;
            let length = match self.bytes::<1>()? {
                Some([CLEAR]) => Some(8),
                Some([ITEM]) => self.bytes::<20>()?.as_ref().map(content_length),
                _ => None,
            };
            let Some(length) = length.filter(|length| *length <= MOST_BYTES) else { return Ok(end) };
            self.seek((self.position + length).min(self.length))?;
        }
        Ok(self.position)
    }

    /// Reads `length` bytes into a check sum.
    fn sum(&mut self, length: u64, sum: &mut Xxh3) -> io::Result<bool> {
        if self.length - self.position < length {
            return Ok(false);
        }
        let mut left = length;
        while left > 0 {
            let part = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = &mut self.buffer[..part];
            self.reader.read_exact(part)?;
            sum.write(part);
            left -= part.len() as u64;
        }
        self.position += length;
        Ok(true)
    }

    /// Whether nothing but preallocated zeros is left.
    fn only_zeros(&mut self) -> io::Result<bool> {
        let zeros = vec![0; BLOCK];
        let mut buffer = vec![0; BLOCK];
        loop {
            let read = self.reader.read(&mut buffer)?;
            if read == 0 {
                return Ok(true);
            }
            if buffer[..read] != zeros[..read] {
                return Ok(false);
            }
        }
    }

    /// Whether a whole batch begins after `from`, with a number that may follow `last`.
    fn good_behind(&mut self, from: u64, last: Option<u64>) -> io::Result<bool> {
        let zeros = vec![0; BLOCK];
        let mut window = vec![0; BLOCK];
        let mut start = from;
        while self.length - start > FORMAT.len() as u64 {
            self.seek(start)?;
            let length = (self.length - start).min(BLOCK as u64) as usize;
            self.reader.read_exact(&mut window[..length])?;
            if window[..length] != zeros[..length] {
                for at in 0..length - FORMAT.len() {
                    // The end of one batch and the start of the next.
                    if window[at] != FORMAT[0] || window[at..at + FORMAT.len()] != *FORMAT {
                        continue;
                    }
                    self.seek(start + (at + FORMAT.len()) as u64)?;
                    if let Some(number) = self.batch()?
                        && last.is_none_or(|last| number > last && number - last < NEAR)
                    {
                        return Ok(true);
                    }
                }
            }
            // Windows overlap, so that what is searched for is whole in one of them.
            start += (length - FORMAT.len()) as u64;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
