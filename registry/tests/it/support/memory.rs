//! A store in memory that can be told to fail, to fill up, and to damage what it holds.

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

/// What the store holds and how it misbehaves.
#[derive(Debug, Default)]
pub struct Memory {
    pub objects: Mutex<BTreeMap<ObjectKey, Bytes>>,
    /// Every call fails.
    pub down: AtomicBool,
    /// There is no room for another object.
    pub full: AtomicBool,
    /// Objects ever begun.
    pub begun: AtomicU64,
    /// The next object that is read is not there, as when it was reclaimed just now.
    pub lose_next: AtomicBool,
    /// Where clients are sent for objects, when the store has such a place.
    pub public: Mutex<Option<String>>,
}

#[derive(Clone, Debug, Default)]
pub struct MemoryStore(pub Arc<Memory>);

impl MemoryStore {
    /// How many whole objects there are.
    pub fn count(&self) -> usize {
        self.0.objects.lock().unwrap().len()
    }

    /// Flips a bit of every object, at `position`.
    pub fn damage(&self, position: usize) {
        for bytes in self.0.objects.lock().unwrap().values_mut() {
            let mut copy = bytes.to_vec();
            copy[position] ^= 1;
            *bytes = copy.into();
        }
    }

    fn check(&self, operation: &'static str, key: &ObjectKey) -> Result<(), StoreError> {
        if self.0.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { operation, key: key.clone(), source: "it is down".into() });
        }
        if operation == "write" && self.0.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        Ok(())
    }
}

struct Writer {
    store: MemoryStore,
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
        self.store.check("write", &self.key)?;
        let before = self.store.0.objects.lock().unwrap().insert(self.key, self.bytes.into());
        assert!(before.is_none(), "a key was used twice");
        Ok(())
    }

    async fn abort(self: Box<Self>) {}
}

#[async_trait]
impl Store for MemoryStore {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.check("create", key)?;
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Writer { store: self.clone(), key: key.clone(), bytes: Vec::new() }))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        self.check("read", key)?;
        if self.0.lose_next.swap(false, Ordering::SeqCst) {
            return Err(StoreError::NotFound { key: key.clone() });
        }
        let objects = self.0.objects.lock().unwrap();
        let bytes = objects.get(key).ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        let part = bytes.slice(range.start as usize..range.end as usize);
        let buffers: Vec<_> = part.chunks(1 << 20).map(|chunk| Ok(part.slice_ref(chunk))).collect();
        Ok(stream::iter(buffers).boxed())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.check("delete", key)?;
        self.0.objects.lock().unwrap().remove(key);
        Ok(())
    }

    async fn presign(&self, key: &ObjectKey, _valid: Duration) -> Result<Option<String>, StoreError> {
        Ok(self.0.public.lock().unwrap().as_ref().map(|public| format!("{public}/{key}?signed")))
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        let keys: Vec<_> =
            self.0.objects.lock().unwrap().keys().filter(|key| key.0.starts_with(prefix)).cloned().map(Ok).collect();
        Ok(stream::iter(keys).boxed())
    }
}
