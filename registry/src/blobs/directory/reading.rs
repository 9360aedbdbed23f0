//! A range of a file, as a stream of buffers.
//!
//! What the system has in memory is taken on the spot: to ask another thread for a MiB takes longer than to copy it. What it
//! has not is waited for by another thread, and from then on that is always a buffer ahead.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, retry_on_intr};
use tokio::task::{JoinHandle, spawn_blocking};

use super::failed;
use crate::blobs::buffers::Buffer;
use crate::blobs::checksum::CHUNK;
use crate::blobs::{ObjectKey, StoreError};

/// Reads `at..end` of a file, in buffers of [`CHUNK`] bytes and a last one.
pub fn read(key: ObjectKey, file: File, at: u64, end: u64) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let reading = Reading { file: Arc::new(file), at, end, ahead: None };
    stream::try_unfold(reading, move |mut reading| {
        let key = key.clone();
        async move {
            let next = reading.next().await.map_err(|error| failed("read", &key, error))?;
            Ok(next.map(|bytes| (bytes, reading)))
        }
    })
}

struct Reading {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// The next buffer, if somebody reads it already.
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Reading {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let waited = if let Some(ahead) = self.ahead.take() {
            ahead
        } else {
            let Some(mut piece) = self.piece() else { return Ok(None) };
            if piece.read_at_once(&self.file)? {
                return Ok(Some(piece.into_bytes()));
            }
            self.wait_for(piece)
        };
        // At most two buffers are held: the one that is waited for, and the one that the client has not taken yet.
        let bytes = waited.await.map_err(io::Error::other)??;
        self.ahead = self.piece().map(|piece| self.wait_for(piece));
        Ok(Some(bytes))
    }

    fn wait_for(&self, mut piece: Piece) -> JoinHandle<io::Result<Bytes>> {
        let file = Arc::clone(&self.file);
        spawn_blocking(move || piece.read(&file).map(|()| piece.into_bytes()))
    }

    /// The next part of the range; none at its end.
    fn piece(&mut self) -> Option<Piece> {
        let length = self.end.saturating_sub(self.at).min(CHUNK as u64) as usize;
        let piece = (length > 0).then(|| Piece { memory: Memory::of(length), begin: self.at, length, filled: 0 });
        self.at += length as u64;
        piece
    }
}

enum Memory {
    Large(Buffer),
    Small(Vec<u8>),
}

impl Memory {
    /// A short piece has memory of its size: there may be many of them.
    fn of(length: usize) -> Self {
        if length > CHUNK / 2 { Self::Large(Buffer::take()) } else { Self::Small(vec![0; length]) }
    }
}

/// A part of the file, and what of it is there.
struct Piece {
    memory: Memory,
    begin: u64,
    length: usize,
    filled: usize,
}

impl Piece {
    /// Reads what can be had without waiting; whether that was all.
    fn read_at_once(&mut self, file: &File) -> io::Result<bool> {
        while self.filled < self.length {
            let at = self.begin + self.filled as u64;
            let mut rest = [IoSliceMut::new(self.rest())];
            match retry_on_intr(|| preadv2(file, &mut rest, at, ReadWriteFlags::NOWAIT)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.filled += count,
                // Not all file systems can tell.
                Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads the rest.
    fn read(&mut self, file: &File) -> io::Result<()> {
        while self.filled < self.length {
            let at = self.begin + self.filled as u64;
            match retry_on_intr(|| pread(file, self.rest(), at))? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.filled += count,
            }
        }
        Ok(())
    }

    fn rest(&mut self) -> &mut [u8] {
        let memory = match &mut self.memory {
            Memory::Large(buffer) => buffer.as_mut(),
            Memory::Small(bytes) => bytes,
        };
        &mut memory[self.filled..self.length]
    }

    fn into_bytes(self) -> Bytes {
        match self.memory {
            Memory::Large(buffer) => buffer.share(self.length),
            Memory::Small(bytes) => bytes.into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_range_is_the_same_whether_it_was_waited_for_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        let content: Vec<u8> = (0..5 * CHUNK / 2).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        for (begin, end) in [(0, content.len()), (1, CHUNK + 2), (CHUNK, CHUNK), (7, 8), (CHUNK, content.len())] {
            let read = |waits: bool| {
                let mut reading = Reading {
                    file: Arc::new(File::open(&path).unwrap()),
                    at: begin as u64,
                    end: end as u64,
                    ahead: None,
                };
                if waits {
                    reading.ahead = reading.piece().map(|piece| reading.wait_for(piece));
                }
                async move {
                    let mut whole = Vec::new();
                    while let Some(bytes) = reading.next().await.unwrap() {
                        whole.extend_from_slice(&bytes);
                    }
                    whole
                }
            };
            assert_eq!(read(false).await, content[begin..end], "{begin}..{end} at once");
            assert_eq!(read(true).await, content[begin..end], "{begin}..{end} waited for");
        }
    }

    #[tokio::test]
    async fn a_file_that_ends_early_is_told_both_ways() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, b"short").unwrap();
        let read: Result<Vec<_>, _> = read(ObjectKey("a".into()), File::open(&path).unwrap(), 2, 9).try_collect().await;
        assert!(matches!(read, Err(StoreError::Truncated { .. })));
        let mut piece = Piece { memory: Memory::of(7), begin: 2, length: 7, filled: 0 };
        let error = piece.read(&File::open(&path).unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
