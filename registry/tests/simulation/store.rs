//! An object store that all hosts share, and that fails when it is told to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use roadstead::blobs::{ObjectKey, ObjectWriter, Store, StoreError};

#[derive(Debug, Default)]
pub struct Shared {
    pub objects: Mutex<BTreeMap<ObjectKey, Bytes>>,
    pub down: AtomicBool,
    /// Of so many calls one fails after it was done; 0: none.
    pub fails: AtomicU64,
    calls: AtomicU64,
    pub failed: AtomicU64,
}

#[derive(Clone, Debug, Default)]
pub struct SimulatedStore(pub Arc<Shared>);

impl SimulatedStore {
    fn check(&self, operation: &'static str, key: &ObjectKey) -> Result<(), StoreError> {
        if self.0.down.load(Ordering::Relaxed) {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Unavailable { operation, key: key.clone(), source: "it is out".into() });
        }
        Ok(())
    }

    /// What was done may be answered as if it were not.
    fn done(&self, operation: &'static str, key: &ObjectKey) -> Result<(), StoreError> {
        let every = self.0.fails.load(Ordering::Relaxed);
        let call = self.0.calls.fetch_add(1, Ordering::Relaxed);
        if every > 0 && call.is_multiple_of(every) {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Unavailable { operation, key: key.clone(), source: "the answer was lost".into() });
        }
        Ok(())
    }
}

async fn latency() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

struct Writer {
    store: SimulatedStore,
    key: ObjectKey,
    bytes: Vec<u8>,
}

#[async_trait]
impl ObjectWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.store.check("write", &self.key)?;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        latency().await;
        self.store.check("write", &self.key)?;
        let before = self.store.0.objects.lock().unwrap().insert(self.key.clone(), self.bytes.into());
        assert!(before.is_none() || self.key.0 == "OWNER", "a key was used twice");
        self.store.done("write", &self.key)
    }

    async fn abort(self: Box<Self>) {}
}

#[async_trait]
impl Store for SimulatedStore {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.check("create", key)?;
        Ok(Box::new(Writer { store: self.clone(), key: key.clone(), bytes: Vec::new() }))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        latency().await;
        self.check("read", key)?;
        let objects = self.0.objects.lock().unwrap();
        let bytes = objects.get(key).ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        let part = bytes.slice(range.start as usize..bytes.len().min(range.end as usize));
        Ok(stream::iter([Ok(part)]).boxed())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        latency().await;
        self.check("delete", key)?;
        self.0.objects.lock().unwrap().remove(key);
        self.done("delete", key)
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        latency().await;
        self.check("list", &ObjectKey(prefix.to_owned()))?;
        let keys: Vec<_> =
            self.0.objects.lock().unwrap().keys().filter(|key| key.0.starts_with(prefix)).cloned().map(Ok).collect();
        Ok(stream::iter(keys).boxed())
    }
}
