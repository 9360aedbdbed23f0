//! The index as a whole: on a disk, stopped, killed and started again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crashes;
mod damage;
mod levels;
mod samples;
mod transfers;
mod trouble;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::command::{Command, CommitBlob, DeleteTag, Outcome, Place, PutManifest, Refusal, Segment};
use super::metrics::IndexMetrics;
use super::query::{Found, GetManifest, GetStatus, ListTags};
use super::{Index, IndexError, IndexOptions};
use crate::blobs::checksum::Checksums;
use crate::oci::digest::Digest;
use crate::oci::reference::Reference;

async fn open(directory: &Path) -> Index {
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    open_with(directory, metrics).await
}

async fn open_with(directory: &Path, metrics: IndexMetrics) -> Index {
    opened(IndexOptions { directory: directory.to_owned(), min_free_bytes: 0 }, metrics).await
}

async fn open_on(directory: &Path, min_free_bytes: u64) -> Index {
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    opened(IndexOptions { directory: directory.to_owned(), min_free_bytes }, metrics).await
}

async fn opened(options: IndexOptions, metrics: IndexMetrics) -> Index {
    // The lock of a node that was dropped is free when its last task has ended.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Index::open(&options, metrics.clone()).await {
            Ok(index) => return index,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

fn image(number: u32) -> (Command, Digest) {
    let bytes = Bytes::from(format!("manifest {number}"));
    let digest = Digest::of(&bytes);
    let put = PutManifest {
        repository: "a/b".parse().unwrap(),
        digest,
        media_type: "application/vnd.oci.image.manifest.v1+json".into(),
        bytes,
        artifact_type: None,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
        blobs: vec![],
        foreign: Vec::new(),
        children: vec![],
        tags: vec![format!("t{number}").parse().unwrap()],
        condition: None,
        sparse: false,
    };
    (Command::PutManifest(Box::new(put)), digest)
}

async fn tag(index: &Index, number: u32) -> Option<Digest> {
    let reference = Reference::Tag(format!("t{number}").parse().unwrap());
    let query =
        GetManifest { repository: "a/b".parse().unwrap(), reference, bytes: false, held: None, as_it_stands: false };
    index.query(query).await.unwrap().here().map(|manifest| manifest.digest)
}

async fn push_at_once(index: &Index, numbers: std::ops::Range<u32>) {
    let pushes: Vec<_> = numbers
        .map(|number| {
            let index = index.clone();
            tokio::spawn(async move { index.submit(None, image(number).0).await })
        })
        .collect();
    for push in pushes {
        push.await.unwrap().unwrap();
    }
}

/// Few at once: here the index remembers 500 requests, and one that so many later ones overtake is refused.
async fn push_in_waves(index: &Index, count: u32) {
    for from in (0..count).step_by(250) {
        push_at_once(index, from..count.min(from + 250)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_clean_stop_and_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    let cluster = index.cluster().clone();
    let (put, digest) = image(1);
    assert_eq!(index.submit(Some("me"), put).await.unwrap(), Outcome::Manifest { existed: false });
    index.close().await.unwrap();
    drop(index);

    let index = open(directory.path()).await;
    assert_eq!(index.cluster(), &cluster);
    assert_eq!(tag(&index, 1).await, Some(digest));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_share_fsyncs_and_none_is_lost_without_a_clean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    let index = open_with(directory.path(), metrics.clone()).await;
    let before = metrics.fsync_seconds.get_sample_count();
    push_at_once(&index, 0..500).await;
    let fsyncs = metrics.fsync_seconds.get_sample_count() - before;
    assert!(fsyncs < 250, "{fsyncs} fsyncs for 500 commands");
    drop(index);

    let index = open(directory.path()).await;
    let query = ListTags { repository: "a/b".parse().unwrap(), last: None, limit: 1000 };
    assert_eq!(index.query(query).await.unwrap().unwrap().items.len(), 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_request_is_applied_once() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    index.submit(None, image(1).0).await.unwrap();
    let delete = || {
        Command::DeleteTag(DeleteTag {
            repository: "a/b".parse().unwrap(),
            tag: "t1".parse().unwrap(),
            condition: None,
        })
    };
    let request = index.request().unwrap();
    let first = index.submit_as(request, None, delete()).await.unwrap();
    assert_eq!(index.submit_as(request, None, delete()).await.unwrap(), first);
    let again = index.submit(None, delete()).await.unwrap_err();
    assert!(matches!(again, IndexError::Refused { refusal: Refusal::TagUnknown, .. }), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_volume_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    let options = IndexOptions { directory: directory.path().to_owned(), min_free_bytes: 0 };
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    let error = Index::open(&options, metrics).await.unwrap_err();
    assert!(error.to_string().contains("used by another process"), "{error}");
    drop(index);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_cut_behind_a_snapshot_and_the_state_stays_whole() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    push_in_waves(&index, 1500).await;
    index.snapshot().await.unwrap();
    index.wait_for_purge().await;
    drop(index);

    let index = open(directory.path()).await;
    for number in [0, 700, 1499] {
        assert_eq!(tag(&index, number).await, Some(image(number).1));
    }
    assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, 1500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_to_nothing_goes_on_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut count = 0;
    for _ in 0..3 {
        let index = open(directory.path()).await;
        assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, u64::from(count));
        for _ in 0..20 {
            index.submit(None, image(count).0).await.unwrap();
            count += 1;
        }
        index.cut().await.unwrap();
        index.wait_for_purge().await;
        drop(index);
    }
    let index = open(directory.path()).await;
    assert_eq!(tag(&index, count - 1).await, Some(image(count - 1).1));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_free_space_only_what_adds_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    index.submit(None, image(1).0).await.unwrap();
    index.close().await.unwrap();
    drop(index);

    let volume = rustix::fs::statvfs(directory.path()).unwrap();
    let index = open_on(directory.path(), volume.f_bavail * volume.f_frsize * 2).await;
    let (put, _) = image(2);
    assert!(matches!(index.submit(None, put).await, Err(IndexError::Full { command: "put_manifest" })));
    let content = Bytes::from_static(b"x");
    let segment = Segment { length: 1, sums: Checksums::of(&content), place: Place::Inline(content.clone()) };
    let commit = CommitBlob {
        repository: "a/b".parse().unwrap(),
        digest: Digest::of(&content),
        size: 1,
        upload: None,
        segment: Some(segment),
    };
    assert!(matches!(index.submit(None, Command::CommitBlob(commit)).await, Err(IndexError::Full { .. })));
    let delete = DeleteTag { repository: "a/b".parse().unwrap(), tag: "t1".parse().unwrap(), condition: None };
    index.submit(None, Command::DeleteTag(delete.clone())).await.unwrap();
    index.close().await.unwrap();
    drop(index);

    // From the last reserve nothing is taken: what the databases need for themselves must not run out.
    let index = open_on(directory.path(), u64::MAX).await;
    assert!(matches!(index.submit(None, Command::DeleteTag(delete)).await, Err(IndexError::Full { .. })));
    assert_eq!(tag(&index, 1).await, None, "reads go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_named_by_its_digest_needs_no_round() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    let index = open_with(directory.path(), metrics.clone()).await;
    let (put, digest) = image(1);
    index.submit(None, put).await.unwrap();
    let get = |digest| GetManifest {
        repository: "a/b".parse().unwrap(),
        reference: Reference::Digest(digest),
        bytes: true,
        held: None,
        as_it_stands: false,
    };
    let before = metrics.read_rounds.get();
    assert!(matches!(index.query(get(digest)).await.unwrap(), Found::Here(_)));
    assert_eq!(metrics.read_rounds.get(), before);
    assert!(matches!(index.query(get(Digest::of(b"other"))).await.unwrap(), Found::Nothing));
    assert_eq!(metrics.read_rounds.get(), before + 1, "what is absent may have come since");
}
