//! Reclaiming on a real index and a real directory, with the clock set ahead instead of waiting.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::TryStreamExt;

use super::orphans::{Orphans, closable, to_list};
use super::sweep::{self, Sweep};
use super::{ReclaimMetrics, Reclaimer, owner, scrub};
use crate::blobs::checksum::Checksums;
use crate::blobs::directory::Directory;
use crate::blobs::key::DAY;
use crate::blobs::{ObjectKey, Store};
use crate::index::archive::names::{SnapshotName, WholeSnapshot, backup_prefix};
use crate::index::archive::{Archived, stream};
use crate::index::command::{
    Command, CommitBlob, FinishedUpload, HashState, LinkName, Place, Policy, RecordUpload, Segment, Time, UploadId,
};
use crate::index::metrics::IndexMetrics;
use crate::index::query::{Cluster, Found, GetBlob, GetStatus};
use crate::index::{Index, IndexOptions};
use crate::oci::digest::{Algorithm, Digest};

const HOUR: u64 = 3_600_000;

async fn start(directory: &Path, ahead: u64) -> Reclaimer {
    let registry = prometheus::Registry::new();
    let metrics = IndexMetrics::register(&registry).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let options = IndexOptions { directory: directory.join("index"), min_free_bytes: 0 };
    let index = loop {
        match Index::open_ahead(&options, metrics.clone(), ahead).await {
            Ok(index) => break index,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let store: Arc<dyn Store> = Arc::new(Directory::open(&directory.join("objects")).await.unwrap());
    owner::claim(store.as_ref(), index.cluster()).await.unwrap();
    Reclaimer { index, store, metrics: ReclaimMetrics::register(&registry).unwrap(), archived: None }
}

async fn write(reclaimer: &Reclaimer, number: u128, content: &[u8]) -> Segment {
    let cluster = reclaimer.index.cluster();
    let key = ObjectKey::new(&cluster.id, cluster.epoch, reclaimer.index.time(), number);
    let mut writer = reclaimer.store.create(&key).await.unwrap();
    writer.write(Bytes::copy_from_slice(content)).await.unwrap();
    writer.finish().await.unwrap();
    Segment { length: content.len() as u64, place: Place::Object(key), sums: Checksums::of(content) }
}

async fn push(reclaimer: &Reclaimer, content: &[u8], segment: Option<Segment>) -> Digest {
    let digest = Digest::of(content);
    let segment = match segment {
        Some(segment) => segment,
        None => write(reclaimer, u128::from(content[0]), content).await,
    };
    let repository = "a".parse().unwrap();
    let commit = CommitBlob { repository, digest, size: content.len() as u64, upload: None, segment: Some(segment) };
    reclaimer.index.submit(None, Command::CommitBlob(commit)).await.unwrap();
    digest
}

async fn objects(reclaimer: &Reclaimer) -> usize {
    let listed: Vec<_> = reclaimer.store.list("blobs/").await.unwrap().try_collect().await.unwrap();
    listed.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreferenced_blob_leaves_the_store_after_grace_and_pause() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    reclaimer.index.set_policy(Policy { grace: HOUR, reader_pause: HOUR, ..Policy::default() }).await.unwrap();
    let digest = push(&reclaimer, b"data", None).await;
    Sweep::default().run(&reclaimer).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 1);
    drop(reclaimer);

    let reclaimer = start(directory.path(), HOUR + 1000).await;
    Sweep::default().run(&reclaimer).await.unwrap();
    let query = GetBlob { repository: "a".parse().unwrap(), digest, linearizable: true, for_push: false };
    assert_eq!(reclaimer.index.query(query).await.unwrap(), Found::NoRepository);
    assert_eq!(objects(&reclaimer).await, 1, "readers have their pause");
    drop(reclaimer);

    let reclaimer = start(directory.path(), 3 * HOUR).await;
    Sweep::default().run(&reclaimer).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 0);
    assert_eq!(reclaimer.index.query(GetStatus).await.unwrap().counts.condemned, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_backups_hold_is_looked_through_for_a_small_part_of_the_time() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    reclaimer.index.set_policy(Policy { grace: HOUR, reader_pause: 0, ..Policy::default() }).await.unwrap();
    let digest = push(&reclaimer, b"data", None).await;
    let link = LinkName { repository: "a".parse().unwrap(), digest };
    reclaimer.index.submit(None, Command::DeleteBlob(link)).await.unwrap();
    assert_eq!(sweep::run(&reclaimer, true).await.unwrap(), None);
    assert_eq!(objects(&reclaimer).await, 1, "it rests");
    let took = sweep::run(&reclaimer, false).await.unwrap();
    assert!(took.is_some(), "all were looked through");
    assert_eq!(objects(&reclaimer).await, 0);
    assert_eq!(sweep::rest(Duration::from_secs(3)), Duration::from_mins(1));
    assert_eq!(sweep::rest(Duration::from_hours(1)), Duration::from_mins(10), "what is free again waits no longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_is_deleted_when_its_day_is_closed_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    reclaimer.index.set_policy(Policy { grace: 1000 * DAY, ..Policy::default() }).await.unwrap();
    push(&reclaimer, b"known", None).await;
    write(&reclaimer, 99, b"orphan").await;
    Orphans::default().run(&reclaimer).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 2, "a day that is not closed is left alone");
    drop(reclaimer);

    let reclaimer = start(directory.path(), 4 * DAY).await;
    Orphans::default().run(&reclaimer).await.unwrap();
    assert_eq!((objects(&reclaimer).await, reclaimer.metrics.orphans.get()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_cluster_is_refused_and_nothing_of_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    reclaimer.index.set_policy(Policy { grace: 0, reader_pause: 0, ..Policy::default() }).await.unwrap();
    let digest = push(&reclaimer, b"data", None).await;
    let other = Cluster { id: "other".into(), ..reclaimer.index.cluster().clone() };
    let error = owner::claim(reclaimer.store.as_ref(), &other).await.unwrap_err();
    assert!(error.to_string().contains("belongs to cluster"), "{error}");

    reclaimer.store.delete(&ObjectKey("OWNER".into())).await.unwrap();
    owner::claim(reclaimer.store.as_ref(), &other).await.unwrap();
    let link = LinkName { repository: "a".parse().unwrap(), digest };
    let _ = reclaimer.index.submit(None, Command::DeleteBlob(link)).await;
    assert!(Sweep::default().run(&reclaimer).await.is_err());
    assert_eq!(objects(&reclaimer).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_marks_what_is_damaged_or_missing() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    let good = push(&reclaimer, b"good", None).await;
    let segment = write(&reclaimer, 1, b"flipped").await;
    let wrong = Segment { sums: Checksums::of(b"flippet"), ..segment };
    let flipped = push(&reclaimer, b"flippet", Some(wrong)).await;
    let segment = write(&reclaimer, 2, b"missing").await;
    let Place::Object(key) = segment.place.clone() else { panic!() };
    let missing = push(&reclaimer, b"missing", Some(segment)).await;
    reclaimer.store.delete(&key).await.unwrap();

    let found = scrub::run(&reclaimer, None).await.unwrap();
    let mut expected = vec![flipped, missing];
    expected.sort();
    assert_eq!((found.blobs, found.damaged), (3, expected));
    assert_eq!(scrub::run(&reclaimer, None).await.unwrap().damaged, Vec::<Digest>::new());
    let query = |digest| GetBlob { repository: "a".parse().unwrap(), digest, linearizable: true, for_push: false };
    assert!(reclaimer.index.query(query(flipped)).await.unwrap().here().unwrap().damaged);
    assert!(!reclaimer.index.query(query(good)).await.unwrap().here().unwrap().damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrub_of_another_store_marks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    let digest = push(&reclaimer, b"content", None).await;
    std::fs::rename(directory.path().join("objects"), directory.path().join("unmounted")).unwrap();
    assert!(scrub::run(&reclaimer, None).await.is_err());
    std::fs::rename(directory.path().join("unmounted"), directory.path().join("objects")).unwrap();
    let found = scrub::run(&reclaimer, None).await.unwrap();
    assert_eq!((found.blobs, found.damaged), (1, vec![]));
    let query = GetBlob { repository: "a".parse().unwrap(), digest, linearizable: true, for_push: false };
    assert!(!reclaimer.index.query(query).await.unwrap().here().unwrap().damaged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_several_segments_becomes_one_object() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    let expires = reclaimer.index.time().after(HOUR);
    let upload = UploadId("u".into());
    for (number, (offset, content)) in [(0, b"hello "), (6, b"world!")].into_iter().enumerate() {
        let segment = write(&reclaimer, number as u128, content).await;
        let hash = HashState { algorithm: Algorithm::Sha256, length: offset + 6, state: Bytes::new(), sum: 0 };
        let record = RecordUpload {
            repository: "a".parse().unwrap(),
            upload: upload.clone(),
            expected_offset: offset,
            segment,
            hash,
            expires,
        };
        reclaimer.index.submit(None, Command::RecordUpload(record)).await.unwrap();
    }
    let digest = Digest::of(b"hello world!");
    let upload = Some(FinishedUpload { upload, expected_offset: 12, expires });
    let commit = CommitBlob { repository: "a".parse().unwrap(), digest, size: 12, upload, segment: None };
    reclaimer.index.submit(None, Command::CommitBlob(commit)).await.unwrap();

    scrub::run(&reclaimer, None).await.unwrap();
    let query = GetBlob { repository: "a".parse().unwrap(), digest, linearizable: true, for_push: false };
    let blob = reclaimer.index.query(query).await.unwrap().here().unwrap();
    assert_eq!(blob.segments.len(), 1);
    let stream = crate::blobs::reader::read(reclaimer.store.clone(), blob.segments, 0..12);
    let bytes: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), b"hello world!");
    assert_eq!(reclaimer.index.query(GetStatus).await.unwrap().counts.condemned, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_may_be_an_older_copy_deletes_no_orphans() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    push(&reclaimer, b"known", None).await;
    write(&reclaimer, 7, b"unknown").await;
    drop(reclaimer);
    let reclaimer = start(directory.path(), 4 * DAY).await;
    let waiting = Reclaimer { archived: Some(Archived::default()), ..reclaimer.clone() };
    Orphans::default().run(&waiting).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 2, "the archiver has not found its way yet");

    // A backup that this index should know, and does not.
    let cluster = reclaimer.index.cluster();
    let prefix = backup_prefix(&cluster.id, cluster.epoch, "nightly");
    let whole = WholeSnapshot { name: SnapshotName { position: 9, term: 1, id: "x".into() }, length: 1, sum: 1 };
    for key in [whole.mark(&prefix), whole.name.key(&prefix)] {
        stream::put(reclaimer.store.as_ref(), &key, Bytes::from_static(b"x")).await.unwrap();
    }
    let mut orphans = Orphans::default();
    orphans.run(&reclaimer).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 2);
    for key in [whole.mark(&prefix), whole.name.key(&prefix)] {
        reclaimer.store.delete(&key).await.unwrap();
    }
    orphans.run(&reclaimer).await.unwrap();
    assert_eq!(objects(&reclaimer).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_writer_left_of_an_object_does_not_stand_in_the_way_of_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let store = Directory::open(&directory.path().join("objects")).await.unwrap();
    let mut killed = store.create(&ObjectKey("OWNER".into())).await.unwrap();
    killed.write(Bytes::from_static(b"half")).await.unwrap();
    std::mem::forget(killed);
    let reclaimer = start(directory.path(), 0).await;
    owner::check(reclaimer.store.as_ref(), reclaimer.index.cluster()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_cannot_be_read_does_not_keep_the_others_from_being_scrubbed() {
    let directory = tempfile::tempdir().unwrap();
    let reclaimer = start(directory.path(), 0).await;
    let segment = write(&reclaimer, 1, b"unreadable").await;
    let Place::Object(key) = segment.place.clone() else { panic!() };
    let unreadable = push(&reclaimer, b"unreadable", Some(segment)).await;
    push(&reclaimer, b"one", None).await;
    push(&reclaimer, b"two", None).await;
    // What is read as a file and is a directory is neither lost nor wrong.
    let file = directory.path().join("objects").join(&key.0);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let found = scrub::run(&reclaimer, None).await.unwrap();
    assert_eq!((found.blobs, found.damaged, found.unreadable), (3, vec![], vec![unreadable]));
}

#[test]
fn a_day_is_closed_two_days_after_its_end() {
    let midnight = 1_767_225_600_000; // 2026-01-01
    for (now, expected) in [(midnight + 3 * DAY, 20_260_101), (midnight + 3 * DAY - 1, 20_251_231)] {
        assert_eq!(closable(Time(now)), expected);
    }
}

#[test]
fn each_day_is_listed_when_it_is_closed_and_again_two_days_later() {
    assert!(to_list(Some(20_260_301), 20_260_301).is_empty());
    assert_eq!(to_list(Some(20_260_301), 20_260_302), [20_260_228, 20_260_301, 20_260_302]);
    assert_eq!(to_list(None, 20_260_302).len(), 5);
    assert_eq!(to_list(Some(20_200_101), 20_260_302).len(), 400);
    assert_eq!(to_list(None, 19_700_101), [19_700_101]);
}
