//! Between the store, which waits, and the formats, which block: an object as a `Write` and as a `Read`, and small objects
//! as bytes.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::blobs::{ObjectKey, Store, StoreError};

/// Bytes handed to the store at once, and how many of those may be on their way.
const BUFFER: usize = 1 << 20;
const ON_THE_WAY: usize = 4;

/// Why an object could not be written or read through this file.
#[derive(Debug, thiserror::Error)]
pub enum StreamError<E: std::error::Error + 'static> {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Content(E),
    #[error("the work ended early")]
    Ended,
}

/// Takes what is written to it to an object, and sums it up.
#[derive(Debug)]
pub struct ObjectSink {
    buffer: BytesMut,
    to: mpsc::Sender<Bytes>,
    length: u64,
    sum: u32,
}

impl ObjectSink {
    fn send(&mut self) -> io::Result<()> {
        let bytes = self.buffer.split().freeze();
        self.to.blocking_send(bytes).map_err(|_| io::Error::other("the store took no more"))
    }
}

impl Write for ObjectSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        self.length += bytes.len() as u64;
        self.sum = crc32c::crc32c_append(self.sum, bytes);
        if self.buffer.len() >= BUFFER {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }
}

/// Writes a new object with what `content` writes, on a thread that may block, and returns its length and check sum.
/// Nothing is there when it fails.
pub async fn write<E, T>(
    store: &dyn Store,
    key: &ObjectKey,
    content: impl FnOnce(ObjectSink) -> Result<(ObjectSink, T), E> + Send + 'static,
) -> Result<(u64, u32, T), StreamError<E>>
where
    E: std::error::Error + Send + 'static,
    T: Send + 'static,
{
    let (to, mut from) = mpsc::channel(ON_THE_WAY);
    let sink = ObjectSink { buffer: BytesMut::new(), to, length: 0, sum: 0 };
    let mut writer = store.create(key).await?;
    // The sink comes back, and with it the knowledge that all was sent.
    let work = tokio::task::spawn_blocking(move || content(sink).map(|(sink, value)| (sink.length, sink.sum, value)));
    let mut sent = Ok(());
    while let Some(bytes) = from.recv().await {
        sent = writer.write(bytes).await;
        if sent.is_err() {
            break;
        }
    }
    drop(from);
    let done = work.await.map_err(|_| StreamError::Ended)?;
    match (sent, done) {
        (Ok(()), Ok(done)) => {
            writer.finish().await?;
            Ok(done)
        }
        (Err(error), _) => {
            writer.abort().await;
            Err(error.into())
        }
        (Ok(()), Err(error)) => {
            writer.abort().await;
            Err(StreamError::Content(error))
        }
    }
}

/// Gives an object as it comes, and sums it up.
#[derive(Debug)]
pub struct ObjectSource {
    from: mpsc::Receiver<Result<Bytes, StoreError>>,
    now: Bytes,
    sum: u32,
}

impl ObjectSource {
    /// The check sum of what was read so far.
    pub fn sum(&self) -> u32 {
        self.sum
    }
}

impl Read for ObjectSource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.from.blocking_recv() {
                Some(Ok(bytes)) => {
                    self.sum = crc32c::crc32c_append(self.sum, &bytes);
                    self.now = bytes;
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let count = self.now.len().min(into.len());
        into[..count].copy_from_slice(&self.now.split_to(count));
        Ok(count)
    }
}

/// Reads an object of `length` bytes with `content`, on a thread that may block.
pub async fn read<E, T>(
    store: Arc<dyn Store>,
    key: &ObjectKey,
    length: u64,
    content: impl FnOnce(ObjectSource) -> Result<T, E> + Send + 'static,
) -> Result<T, StreamError<E>>
where
    E: std::error::Error + Send + 'static,
    T: Send + 'static,
{
    let (to, from) = mpsc::channel(ON_THE_WAY);
    let mut stream = store.read(key, 0..length).await?;
    let source = ObjectSource { from, now: Bytes::new(), sum: 0 };
    let work = tokio::task::spawn_blocking(move || content(source));
    while let Some(piece) = stream.next().await {
        if to.send(piece).await.is_err() {
            break; // it has seen enough
        }
    }
    drop(to);
    work.await.map_err(|_| StreamError::Ended)?.map_err(StreamError::Content)
}

/// Writes a small object.
pub async fn put(store: &dyn Store, key: &ObjectKey, bytes: Bytes) -> Result<(), StoreError> {
    let mut writer = store.create(key).await?;
    match writer.write(bytes).await {
        Ok(()) => writer.finish().await,
        Err(error) => {
            writer.abort().await;
            Err(error)
        }
    }
}

/// Reads a range of a small object.
pub async fn get(store: &dyn Store, key: &ObjectKey, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
    let pieces: Vec<Bytes> = store.read(key, range).await?.try_collect().await?;
    Ok(pieces.concat())
}

/// Lists the keys that begin with `prefix`.
pub async fn list(store: &dyn Store, prefix: &str) -> Result<Vec<ObjectKey>, StoreError> {
    store.list(prefix).await?.try_collect().await
}
