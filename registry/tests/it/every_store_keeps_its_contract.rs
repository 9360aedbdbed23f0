//! The contract of [`roadstead::blobs::Store`], run against the directory, an S3 server in memory, and a real one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use roadstead::blobs::budget::Budget;
use roadstead::blobs::directory::Directory;
use roadstead::blobs::s3::S3;
use roadstead::blobs::{ObjectKey, Store, StoreError};
use roadstead::config;

use crate::support::s3::{FakeS3, Fault, Versitygw};
use crate::support::wait::eventually;

const MIB: usize = 1 << 20;
const DAY: &str = "blobs/cluster/1/20260101/";

fn key(name: &str) -> ObjectKey {
    ObjectKey(format!("{DAY}{name}"))
}

fn content(length: usize) -> Bytes {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

async fn s3(endpoint: &str, prefix: &str) -> Arc<dyn Store> {
    let s3 = config::S3 {
        bucket: "registry".into(),
        prefix: prefix.into(),
        endpoint: Some(endpoint.into()),
        path_style: true,
        access_key_id: Some("test".into()),
        secret_access_key: Some("testtest".into()),
        part_bytes: 5 << 20,
        attempt_seconds: 2,
        attempts: 2,
        ..config::S3::default()
    };
    Arc::new(S3::new(&s3, &config::Blobs::default(), Budget::new(16 << 20)).await)
}

async fn write(store: &dyn Store, key: &ObjectKey, content: &Bytes) -> Result<(), StoreError> {
    let mut writer = store.create(key).await?;
    for at in (0..content.len()).step_by(MIB) {
        writer.write(content.slice(at..content.len().min(at + MIB))).await?;
    }
    writer.finish().await
}

async fn read(store: &dyn Store, key: &ObjectKey, range: std::ops::Range<u64>) -> Result<Vec<u8>, StoreError> {
    let pieces: Vec<Bytes> = store.read(key, range).await?.try_collect().await?;
    assert!(pieces.iter().all(|piece| piece.len() <= MIB), "a buffer is larger than a MiB");
    Ok(pieces.concat())
}

async fn names(store: &dyn Store, prefix: &str) -> Vec<ObjectKey> {
    let mut keys: Vec<_> = store.list(prefix).await.unwrap().try_collect().await.unwrap();
    keys.sort();
    keys
}

/// Every rule of the contract.
async fn check(store: Arc<dyn Store>) {
    let store = store.as_ref();
    // Whole objects, small, of exactly one part, and of several parts with a rest.
    for (name, length) in [("small", 100), ("one-part", 5 * MIB), ("parts", 13 * MIB + 77)] {
        let content = content(length);
        write(store, &key(name), &content).await.unwrap();
        assert!(read(store, &key(name), 0..length as u64).await.unwrap() == content, "{name}");
        let middle = length / 2;
        for (from, to) in [(0, 1), (middle - 1, middle + 1), (length - 1, length), (length, length)] {
            let part = read(store, &key(name), from as u64..to as u64).await.unwrap();
            assert!(part == content[from..to], "{name} {from}..{to}");
        }
    }
    // A range over the border of two parts.
    let border = 5 * MIB as u64;
    let over = read(store, &key("parts"), border - 10..border + 10).await.unwrap();
    assert_eq!(over, content(13 * MIB)[5 * MIB - 10..5 * MIB + 10]);
    // What is shorter than asked is an error, never a short answer.
    assert!(matches!(read(store, &key("small"), 50..200).await, Err(StoreError::Truncated { .. })));
    assert!(matches!(read(store, &key("small"), 150..200).await, Err(StoreError::Truncated { .. })));
    assert!(matches!(read(store, &key("none"), 0..1).await, Err(StoreError::NotFound { .. })));
    // An object that is given up, small or large, is not seen.
    for (name, length) in [("given-up", 10), ("given-up-large", 7 * MIB)] {
        let mut writer = store.create(&key(name)).await.unwrap();
        writer.write(content(length)).await.unwrap();
        writer.abort().await;
        assert!(matches!(read(store, &key(name), 0..1).await, Err(StoreError::NotFound { .. })), "{name}");
    }
    // Lists are of one prefix, whole.
    write(store, &ObjectKey("blobs/cluster/1/20260102/x".into()), &content(1)).await.unwrap();
    assert_eq!(names(store, DAY).await, [key("one-part"), key("parts"), key("small")]);
    assert_eq!(names(store, "blobs/cluster/1/").await.len(), 4);
    assert_eq!(names(store, "blobs/cluster/2/").await, []);
    // Deleting may be repeated.
    store.delete(&key("small")).await.unwrap();
    store.delete(&key("small")).await.unwrap();
    assert!(matches!(read(store, &key("small"), 0..1).await, Err(StoreError::NotFound { .. })));
    assert_eq!(names(store, DAY).await.len(), 2);
    // A write that nobody ended is found by its age.
    let mut writer = store.create(&key("left")).await.unwrap();
    writer.write(content(7 * MIB)).await.unwrap();
    std::mem::forget(writer);
    assert_eq!(store.abort_stale("blobs/cluster/1/", Duration::ZERO).await.unwrap(), 1);
    // Its part that was still on its way may bring it back, until that has arrived.
    eventually("nothing is left", async || store.abort_stale("blobs/cluster/1/", Duration::ZERO).await.unwrap() == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_directory() {
    let root = tempfile::tempdir().unwrap();
    check(Arc::new(Directory::open(root.path()).await.unwrap())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_in_memory_under_a_prefix() {
    let server = FakeS3::start().await;
    check(s3(server.endpoint(), "some/prefix").await).await;
    assert!(server.keys().iter().all(|key| key.starts_with("some/prefix/blobs/")));
    assert_eq!(server.unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_of_versitygw() {
    let server = Versitygw::start().await;
    check(s3(server.endpoint(), "").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_now_and_then_gives_no_wrong_byte_and_no_false_success() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    let content = content(11 * MIB);
    let mut number = 0_u64;
    server.fail(move |_, _| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        match (number >> 33) % 20 {
            0 => Some(Fault::Status(503)),
            1 => Some(Fault::Status(500)),
            2 => Some(Fault::DoneAndFailed),
            3 | 4 => Some(Fault::Truncated),
            _ => None,
        }
    });
    let (mut written, mut whole) = (0, 0);
    for number in 0..40 {
        let key = key(&number.to_string());
        if write(store.as_ref(), &key, &content).await.is_ok() {
            written += 1;
            assert!(server.keys().contains(&key.0), "{key} was said to be written");
            match read(store.as_ref(), &key, 0..content.len() as u64).await {
                Ok(bytes) => {
                    assert!(bytes == content, "wrong bytes");
                    whole += 1;
                }
                Err(StoreError::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    println!("{written} of 40 written, {whole} read whole, {} requests", server.requests());
    assert!(written >= 20 && whole >= 15, "retries do not help: {written} written, {whole} read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_never_answers_is_given_up_in_bounded_time() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    server.fail(|_, _| Some(Fault::Stall));
    let began = std::time::Instant::now();
    assert!(matches!(write(store.as_ref(), &key("a"), &content(10)).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(read(store.as_ref(), &key("a"), 0..1).await, Err(StoreError::Unavailable { .. })));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_completed_is_whole_even_when_the_answer_got_lost() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    let content = content(11 * MIB);
    // The first POST begins the upload, the second completes it; asked again, the server knows no such upload.
    let mut posts = 0;
    server.fail(move |method, _| {
        posts += u32::from(method == "POST");
        (method == "POST" && posts == 2).then_some(Fault::DoneAndFailed)
    });
    write(store.as_ref(), &key("a"), &content).await.unwrap();
    assert!(read(store.as_ref(), &key("a"), 0..content.len() as u64).await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_under_a_status_of_success_is_a_failure() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    server.fail(|_, _| Some(Fault::FailedInside));
    let written = write(store.as_ref(), &key("a"), &content(11 * MIB)).await;
    assert!(matches!(written, Err(StoreError::Unavailable { .. })), "{written:?}");
    assert!(server.keys().is_empty());
    assert_eq!(server.unfinished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_ranges_is_out_of_order_and_the_object_is_not_damaged() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    let content = content(1000);
    write(store.as_ref(), &key("a"), &content).await.unwrap();
    server.fail(|_, _| Some(Fault::RangeIgnored));
    assert!(matches!(read(store.as_ref(), &key("a"), 500..510).await, Err(StoreError::Unavailable { .. })));
    assert!(read(store.as_ref(), &key("a"), 0..10).await.unwrap() == content[..10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_list_unfinished_uploads_is_not_in_trouble() {
    let server = FakeS3::start().await;
    let store = s3(server.endpoint(), "").await;
    server.fail(|_, _| Some(Fault::Status(501)));
    assert_eq!(store.abort_stale(DAY, Duration::ZERO).await.unwrap(), 0);
    server.fail(|_, _| Some(Fault::Status(503)));
    assert!(matches!(store.abort_stale(DAY, Duration::ZERO).await, Err(StoreError::Unavailable { .. })));
}
