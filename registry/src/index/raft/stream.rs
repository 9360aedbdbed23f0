//! Bytes between a thread that may wait for the disk and a connection that must not: a bounded channel in the form of
//! `Write` on one side, of `Read` on the other.

use std::io::{self, Read, Write};

#[cfg(not(feature = "simulation"))]
use bytes::Buf;
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

/// Runs `work` where it may wait for the disk, with the bytes that come through the channel.
#[cfg(not(feature = "simulation"))]
pub fn read_with<T: Send + 'static>(
    channel: Receiver<io::Result<Bytes>>,
    work: impl FnOnce(Box<dyn Read>) -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> {
    let reading = tokio::task::spawn_blocking(move || work(Box::new(ChannelReader::new(channel))));
    async move { reading.await.map_err(io::Error::other) }
}

/// The same in a simulation, where nothing may wait: all bytes come first.
#[cfg(feature = "simulation")]
pub async fn read_with<T: Send + 'static>(
    mut channel: Receiver<io::Result<Bytes>>,
    work: impl FnOnce(Box<dyn Read>) -> T + Send + 'static,
) -> io::Result<T> {
    let mut bytes = Vec::new();
    while let Some(piece) = channel.recv().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(work(Box::new(io::Cursor::new(bytes))))
}

/// Runs `work` where it may wait for the disk; what it writes goes through the channel, and an error after it.
#[cfg(not(feature = "simulation"))]
pub fn write_with<E: std::error::Error + Send + Sync + 'static>(
    channel: Sender<io::Result<Bytes>>,
    work: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) {
    tokio::task::spawn_blocking(move || {
        let broken = channel.clone();
        if let Err(error) = work(&mut ChannelWriter::new(channel)) {
            let _ = broken.blocking_send(Err(io::Error::other(error))); // the receiver may have gone first
        }
    });
}

/// The same in a simulation, where nothing may wait: all is written first.
#[cfg(feature = "simulation")]
pub fn write_with<E: std::error::Error + Send + Sync + 'static>(
    channel: Sender<io::Result<Bytes>>,
    work: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) {
    let mut bytes = Vec::new();
    let result = work(&mut bytes).map_err(io::Error::other);
    tokio::spawn(async move {
        for piece in bytes.chunks(PIECE) {
            if channel.send(Ok(Bytes::copy_from_slice(piece))).await.is_err() {
                return;
            }
        }
        if let Err(error) = result {
            let _ = channel.send(Err(error)).await; // the receiver may have gone first
        }
    });
}

/// Bytes gathered before they are handed on, and pieces on their way.
const PIECE: usize = 256 << 10;
pub const PIECES: usize = if cfg!(feature = "simulation") { 4096 } else { 8 };

/// Writes into a channel. Blocks while it is full.
#[cfg(not(feature = "simulation"))]
#[derive(Debug)]
struct ChannelWriter {
    channel: Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

#[cfg(not(feature = "simulation"))]
impl ChannelWriter {
    fn new(channel: Sender<io::Result<Bytes>>) -> Self {
        Self { channel, piece: Vec::with_capacity(PIECE) }
    }
}

#[cfg(not(feature = "simulation"))]
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
#[cfg(not(feature = "simulation"))]
#[derive(Debug)]
struct ChannelReader {
    channel: Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

#[cfg(not(feature = "simulation"))]
impl ChannelReader {
    fn new(channel: Receiver<io::Result<Bytes>>) -> Self {
        Self { channel, piece: Bytes::new() }
    }
}

#[cfg(not(feature = "simulation"))]
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
