//! Bytes between a thread that may wait for the disk and a connection that must not: a bounded channel in the form of
//! `Write` on one side, of `Read` on the other.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{Receiver, Sender};

/// Bytes gathered before they are handed on, and pieces on their way.
const PIECE: usize = 256 << 10;
pub const PIECES: usize = 8;

/// Writes into a channel. Blocks while it is full.
#[derive(Debug)]
pub struct ChannelWriter {
    channel: Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl ChannelWriter {
    pub fn new(channel: Sender<io::Result<Bytes>>) -> Self {
        Self { channel, piece: Vec::with_capacity(PIECE) }
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the other side has gone");
        self.channel.blocking_send(Ok(piece.into())).map_err(gone)
    }
}

/// Reads from a channel. Blocks while it is empty; its end is the end of the bytes.
#[derive(Debug)]
pub struct ChannelReader {
    channel: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl ChannelReader {
    pub fn new(channel: Receiver<io::Result<Bytes>>) -> Self {
        Self { channel, piece: Bytes::new() }
    }
}

impl Read for ChannelReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.channel.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
