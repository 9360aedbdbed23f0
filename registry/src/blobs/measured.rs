//! A store that counts and times the calls to another.

use std::ops::Range;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, exponential_buckets};

use super::{ObjectKey, ObjectWriter, Store, StoreError};

/// The metrics of the store. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    written: IntCounter,
    read: IntCounter,
}

impl StoreMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = IntCounterVec::new(
            Opts::new("roadstead_store_calls_total", "Calls to the object store"),
            &["operation", "result"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new(
                "roadstead_store_call_seconds",
                "Time of calls to the object store; of a read, to its first byte",
            )
            .buckets(exponential_buckets(0.0005, 2.0, 17)?),
            &["operation"],
        )?;
        let written = IntCounter::new("roadstead_store_written_bytes_total", "Bytes written to the object store")?;
        let read = IntCounter::new("roadstead_store_read_bytes_total", "Bytes read from the object store")?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(written.clone()))?;
        registry.register(Box::new(read.clone()))?;
        Ok(Self { calls, seconds, written, read })
    }

    fn count<T>(&self, operation: &str, began: Instant, result: Result<T, StoreError>) -> Result<T, StoreError> {
        self.seconds.with_label_values(&[operation]).observe(began.elapsed().as_secs_f64());
        self.end(operation, result)
    }

    /// Counts how something ended whose time means nothing.
    fn end<T>(&self, operation: &str, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let outcome = match &result {
            Ok(_) => "ok",
            Err(StoreError::NotFound { .. }) => "not_found",
            Err(StoreError::Truncated { .. }) => "truncated",
            Err(StoreError::Full) => "full",
            Err(StoreError::Unavailable { .. }) => "unavailable",
        };
        self.calls.with_label_values(&[operation, outcome]).inc();
        result
    }
}

/// A store with metrics.
#[derive(Debug)]
pub struct Measured<S> {
    store: S,
    metrics: StoreMetrics,
}

impl<S: Store> Measured<S> {
    pub const fn new(store: S, metrics: StoreMetrics) -> Self {
        Self { store, metrics }
    }
}

#[async_trait]
impl<S: Store> Store for Measured<S> {
    async fn create(&self, key: &ObjectKey) -> Result<Box<dyn ObjectWriter>, StoreError> {
        let began = Instant::now();
        let writer = self.metrics.count("create", began, self.store.create(key).await)?;
        Ok(Box::new(MeasuredWriter { writer, metrics: self.metrics.clone() }))
    }

    async fn read(
        &self,
        key: &ObjectKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let began = Instant::now();
        let stream = self.metrics.count("read", began, self.store.read(key, range).await)?;
        let metrics = self.metrics.clone();
        let counted = stream.map(move |item| match item {
            Ok(bytes) => {
                metrics.read.inc_by(bytes.len() as u64);
                Ok(bytes)
            }
            failed => metrics.end("read_on", failed),
        });
        Ok(counted.boxed())
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let began = Instant::now();
        self.metrics.count("delete", began, self.store.delete(key).await)
    }

    async fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<ObjectKey, StoreError>>, StoreError> {
        let began = Instant::now();
        self.metrics.count("list", began, self.store.list(prefix).await)
    }

    async fn presign(&self, key: &ObjectKey, valid: Duration) -> Result<Option<String>, StoreError> {
        self.store.presign(key, valid).await
    }

    async fn abort_stale(&self, prefix: &str, age: Duration) -> Result<u64, StoreError> {
        let began = Instant::now();
        self.metrics.count("abort_stale", began, self.store.abort_stale(prefix, age).await)
    }
}

struct MeasuredWriter {
    writer: Box<dyn ObjectWriter>,
    metrics: StoreMetrics,
}

#[async_trait]
impl ObjectWriter for MeasuredWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (began, length) = (Instant::now(), bytes.len() as u64);
        self.metrics.count("write", began, self.writer.write(bytes).await)?;
        self.metrics.written.inc_by(length);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let began = Instant::now();
        self.metrics.count("finish", began, self.writer.finish().await)
    }

    async fn abort(self: Box<Self>) {
        self.writer.abort().await;
    }
}
