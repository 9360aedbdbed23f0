//! How bodies become segments: whole, broken off, or into a store that is full.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http_body::Frame;
use http_body_util::StreamBody;

use super::*;
use crate::blobs::checksum::Checksums;
use crate::oci::digest::{Algorithm, Digest};

const INLINE: u64 = 1000;

/// What a test looks at afterwards.
#[derive(Debug, Default)]
struct Memory {
    finished: Mutex<BTreeMap<ObjectKey, Vec<u8>>>,
    aborted: Mutex<u32>,
    /// Bytes after which there is no more room.
    room: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct MemoryStore(Arc<Memory>);

struct Writer {
    memory: Arc<Memory>,
    key: ObjectKey,
    bytes: Vec<u8>,
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        assert!(bytes.len() <= CHUNK);
        self.bytes.extend_from_slice(&bytes);
        match self.memory.room {
            Some(room) if room < self.bytes.len() => Err(StoreError::Full),
            _ => Ok(()),
        }
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.memory.finished.lock().unwrap().insert(self.key, self.bytes);
        Ok(())
    }

    async fn abort(self: Box<Self>) {
        *self.memory.aborted.lock().unwrap() += 1;
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        Ok(Box::new(Writer { memory: self.0.clone(), key: key.clone(), bytes: Vec::new() }))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        _range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        Err(StoreError::NotFound { key: key.clone() })
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.0.finished.lock().unwrap().remove(key);
        Ok(())
    }

    async fn list(&self, _prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        Ok(Box::pin(stream::empty()))
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

/// A body of `content` in frames of `frame` bytes that breaks at its end when `broken`.
fn body(content: &[u8], frame: usize, broken: bool) -> RequestBody {
    let mut frames: Vec<Result<Frame<Bytes>, BodyError>> =
        content.chunks(frame).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
    if broken {
        frames.push(Err("the connection was reset".into()));
    }
    RequestBody::new(StreamBody::new(stream::iter(frames)))
}

fn key() -> ObjectKey {
    ObjectKey("blobs/k".into())
}

async fn receive_into(store: &MemoryStore, body: RequestBody) -> Result<Received, ReceiveError> {
    receive(store, key(), INLINE, Hasher::new(Algorithm::Sha256), body).await
}

#[tokio::test]
async fn a_body_is_hashed_summed_and_stored_whatever_its_frames() {
    for (length, frame) in
        [(1001, 7), (CHUNK, CHUNK), (CHUNK + 1, 300_000), (3 * CHUNK + 17, 65_536), (2 * CHUNK, 3 * CHUNK)]
    {
        let store = MemoryStore::default();
        let content = content(length);
        let received = receive_into(&store, body(&content, frame, false)).await.unwrap();
        assert!(matches!(received.ending, Ending::Whole));
        assert_eq!(received.hasher.digest().unwrap(), Digest::of(&content), "{length}");
        assert!(store.0.finished.lock().unwrap().is_empty(), "nothing is there before it is kept");
        let segment = received.keep().await.unwrap().unwrap();
        assert_eq!(
            segment,
            Segment { length: length as u64, place: Place::Object(key()), sums: Checksums::of(&content) }
        );
        assert_eq!(store.0.finished.lock().unwrap()[&key()], content);
    }
}

#[tokio::test]
async fn a_small_body_never_touches_the_store() {
    let store = MemoryStore::default();
    let content = content(1000);
    let segment = receive_into(&store, body(&content, 10, false)).await.unwrap().keep().await.unwrap().unwrap();
    assert_eq!(segment.place, Place::Inline(content.clone().into()));
    assert_eq!(segment.sums, Checksums::of(&content));
    assert!(store.0.finished.lock().unwrap().is_empty());
    let nothing = receive_into(&store, body(&[], 10, false)).await.unwrap();
    assert_eq!(nothing.length, 0);
    assert_eq!(nothing.keep().await.unwrap(), None);
}

#[tokio::test]
async fn what_came_before_the_client_vanished_can_be_kept() {
    for length in [500, 5000, CHUNK + 5] {
        let store = MemoryStore::default();
        let content = content(length);
        let received = receive_into(&store, body(&content, 999, true)).await.unwrap();
        assert!(matches!(received.ending, Ending::Broken(_)));
        assert_eq!(received.hasher.digest().unwrap(), Digest::of(&content));
        assert_eq!(received.keep().await.unwrap().unwrap().length, length as u64);
    }
}

#[tokio::test]
async fn what_is_discarded_is_removed() {
    let store = MemoryStore::default();
    receive_into(&store, body(&content(5000), 999, false)).await.unwrap().discard().await;
    assert_eq!(*store.0.aborted.lock().unwrap(), 1);
    assert!(store.0.finished.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_runs_full_ends_the_body_and_leaves_nothing() {
    let store = MemoryStore(Arc::new(Memory { room: Some(CHUNK + 1), ..Memory::default() }));
    let result = receive_into(&store, body(&content(3 * CHUNK), 65_536, false)).await;
    assert!(matches!(result, Err(ReceiveError::Store(StoreError::Full))));
    assert_eq!(*store.0.aborted.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_hash_goes_on_from_the_bodies_before() {
    let store = MemoryStore::default();
    let content = content(4000);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(&content[..1500]);
    let received = receive(&store, key(), 0, hasher, body(&content[1500..], 100, false)).await.unwrap();
    assert_eq!(received.length, 2500);
    assert_eq!(received.hasher.digest().unwrap(), Digest::of_with(Algorithm::Sha512, &content));
}

/// A body of `parts`, none of which is there when it is first asked for.
fn slow(parts: usize, length: usize) -> RequestBody {
    let frames = stream::iter(0..parts).then(move |_| async move {
        tokio::task::yield_now().await;
        Ok(Frame::data(Bytes::from(vec![1; length])))
    });
    RequestBody::new(StreamBody::new(frames))
}

#[tokio::test]
async fn a_slow_body_holds_little_and_a_fast_one_fills_its_buffers() {
    let largest = |body| async {
        let mut source = Source { body, rest: Bytes::new() };
        let (mut largest, mut total) = (0, 0);
        loop {
            let filled = source.fill(SMALL).await;
            largest = filled.bytes.len().max(largest);
            total += filled.bytes.len();
            if filled.ending.is_some() {
                return (largest, total);
            }
        }
    };
    assert_eq!(largest(slow(3000, 1000)).await, (17_000, 3_000_000));
    assert_eq!(largest(body(&content(3 * CHUNK), 100_000, false)).await, (CHUNK, 3 * CHUNK));
    assert_eq!(largest(body(&content(3 * CHUNK), 4 * CHUNK, false)).await, (CHUNK, 3 * CHUNK));
}

#[tokio::test]
async fn a_slow_body_is_stored_whole() {
    let store = MemoryStore::default();
    let received = receive_into(&store, slow(300, 999)).await.unwrap();
    assert_eq!(received.hasher.digest().unwrap(), Digest::of(&vec![1; 299_700]));
    received.keep().await.unwrap();
    assert_eq!(store.0.finished.lock().unwrap()[&key()].len(), 299_700);
}
