//! An object store that does wrong in every way it can, now and then, under many writers and readers at once: no wrong
//! byte is given out, nothing is said to be stored that is not, and no more is asked of it than some retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use roadstead::blobs::budget::Budget;
use roadstead::blobs::checksum::Checksums;
use roadstead::blobs::reader;
use roadstead::blobs::s3::S3;
use roadstead::blobs::{ObjectKey, Store, StoreError};
use roadstead::config;
use roadstead::index::command::{Place, Segment};

use crate::support::s3::{FakeS3, Fault};

const MIB: usize = 1 << 20;
const ATTEMPTS: u32 = 3;

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % limit as u64) as usize
    }
}

#[derive(Default)]
struct Counts {
    operations: AtomicU64,
    stored: AtomicU64,
    read: AtomicU64,
    caught: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// About one request in twenty goes wrong.
fn faults(seed: u64) -> impl FnMut(&http::Method, &str) -> Option<Fault> {
    let mut numbers = Numbers(seed);
    move |_, _| match numbers.below(1000) {
        0..10 => Some(Fault::Status(503)),
        10..18 => Some(Fault::Status(500)),
        18..20 => Some(Fault::Status(409)),
        20..28 => Some(Fault::DoneAndFailed),
        28..38 => Some(Fault::Truncated),
        38..48 => Some(Fault::Flipped),
        48..49 => Some(Fault::RangeIgnored),
        49..50 => Some(Fault::FailedInside),
        50..51 => Some(Fault::Stall),
        _ => None,
    }
}

async fn write(store: &dyn Store, key: &ObjectKey, content: &Bytes) -> Result<(), StoreError> {
    let mut writer = store.create(key).await?;
    for at in (0..content.len()).step_by(MIB) {
        writer.write(content.slice(at..content.len().min(at + MIB))).await?;
    }
    writer.finish().await
}

/// Writes and reads, and gives what was said to be stored.
async fn work(store: Arc<dyn Store>, worker: u64, operations: usize, counts: Arc<Counts>) -> Vec<(Segment, Bytes)> {
    let mut numbers = Numbers(worker + 1);
    let mut stored: Vec<(Segment, Bytes)> = Vec::new();
    for number in 0..operations {
        add(&counts.operations);
        if stored.is_empty() || numbers.below(3) == 0 {
            let length = if numbers.below(20) == 0 { 11 * MIB } else { 1 + numbers.below(300_000) };
            let content: Bytes = vec![numbers.below(256) as u8; length].into();
            let key = ObjectKey(format!("blobs/c/1/20260101/{worker}-{number}"));
            let sums = Checksums::of(&content);
            match write(store.as_ref(), &key, &content).await {
                Ok(()) => {
                    add(&counts.stored);
                    stored.push((Segment { length: length as u64, place: Place::Object(key), sums }, content));
                }
                Err(StoreError::Unavailable { .. }) => {}
                Err(error) => panic!("a store that fails is not {error:?}"),
            }
        } else {
            let (segment, content) = &stored[numbers.below(stored.len())];
            let from = numbers.below(content.len());
            let to = from + 1 + numbers.below(content.len() - from);
            let chunks = reader::read(store.clone(), vec![segment.clone()], from as u64..to as u64);
            match chunks.try_collect::<Vec<_>>().await {
                Ok(chunks) => {
                    assert!(chunks.concat() == content[from..to], "wrong bytes");
                    add(&counts.read);
                }
                Err(error) => {
                    assert!(!error.is_gone(), "an object that was stored is gone: {error}");
                    add(&counts.caught);
                }
            }
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wrong_byte_no_false_success_and_few_retries() {
    let server = FakeS3::start().await;
    let settings = config::S3 {
        bucket: "registry".into(),
        endpoint: Some(server.endpoint().into()),
        path_style: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some("testtest".into()),
        part_bytes: 5 << 20,
        attempt_seconds: 2,
        attempts: ATTEMPTS,
        ..config::S3::default()
    };
    let budget = Budget::new(16 << 20);
    let store: Arc<dyn Store> = Arc::new(S3::new(&settings, &config::Blobs::default(), budget.clone()).await);
    let operations = if std::env::var_os("TORTURE").is_some_and(|value| value == "1") { 20_000 } else { 200 };
    server.fail(faults(7));
    let counts = Arc::new(Counts::default());
    let workers: Vec<_> =
        (0..8).map(|worker| tokio::spawn(work(store.clone(), worker, operations, counts.clone()))).collect();
    let mut stored = Vec::new();
    for worker in workers {
        stored.extend(worker.await.unwrap());
    }
    let requests = server.requests();
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} operations, {requests} requests: {} objects stored, {} reads whole, {} reads that failed",
        count(&counts.operations),
        count(&counts.stored),
        count(&counts.read),
        count(&counts.caught),
    );
    // A large object is five calls and a few of them are; an operation that fails is asked for again only so often.
    assert!(requests < count(&counts.operations) * 2, "too many retries: {requests}");
    assert!(count(&counts.stored) * 10 >= count(&counts.operations), "retries do not help");
    assert_eq!(budget.free(), 16 << 20, "room in the budget is lost");

    // Everything that was said to be stored is there, and what was given up can be cleared away.
    server.heal();
    for (segment, content) in stored {
        let all = 0..segment.length;
        let chunks: Vec<Bytes> = reader::read(store.clone(), vec![segment], all).try_collect().await.unwrap();
        assert!(chunks.concat() == content, "a stored object is not what was written");
    }
    store.abort_stale("blobs/c/1/", Duration::ZERO).await.unwrap();
    assert_eq!(server.unfinished(), 0);
}
