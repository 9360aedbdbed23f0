//! The archive of a real index in a real directory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::backups::{BackupError, Backups};
use super::chain::{Listing, PlanError};
use super::names::{SnapshotName, backup_prefix, epoch_prefix, log_prefix, snapshots_prefix};
use super::task::new_id;
use super::{ArchiveMetrics, Archived, Archiver, Options, segment, snapshots, stream};
use crate::blobs::Store;
use crate::blobs::checksum::Checksums;
use crate::blobs::directory::Directory;
use crate::index::command::{Command, CommitBlob, ForgetBackup, Place, Segment};
use crate::index::metrics::IndexMetrics;
use crate::index::raft::archive::position_of;
use crate::index::{Index, IndexOptions};
use crate::oci::digest::Digest;
use crate::reclaim::owner;

struct World {
    index: Index,
    store: Arc<dyn Store>,
    archived: Archived,
    metrics: ArchiveMetrics,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn options() -> Options {
    Options {
        close_after: Duration::from_millis(20),
        snapshot_entries: 20,
        snapshot_bytes: u64::MAX,
        snapshot_age: Duration::from_hours(1),
        keep: 2,
    }
}

async fn open(directory: &Path, registry: &prometheus::Registry) -> Index {
    let metrics = IndexMetrics::register(registry).unwrap();
    let index_options = IndexOptions { directory: directory.join("volume"), min_free_bytes: 0 };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Index::open(&index_options, metrics.clone()).await {
            Ok(index) => return index,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn push(index: &Index, number: u32) {
    let content = number.to_be_bytes();
    let segment =
        Segment { length: 4, place: Place::Inline(Bytes::copy_from_slice(&content)), sums: Checksums::of(&content) };
    let (repository, digest) = ("a".parse().unwrap(), Digest::of(&content));
    let commit = CommitBlob { repository, digest, size: 4, upload: None, segment: Some(segment) };
    index.submit(None, Command::CommitBlob(commit)).await.unwrap();
}

async fn start(directory: &Path, options: Options) -> World {
    let registry = prometheus::Registry::new();
    let index = open(directory, &registry).await;
    let store: Arc<dyn Store> = Arc::new(Directory::open(&directory.join("store")).await.unwrap());
    owner::claim(store.as_ref(), index.cluster()).await.unwrap();
    let metrics = ArchiveMetrics::register(&registry).unwrap();
    let archiver = Archiver::new(index.clone(), Arc::clone(&store), options, metrics.clone());
    let (archived, stop) = (archiver.archived(), CancellationToken::new());
    let task = archiver.start(&stop);
    World { index, store, archived, metrics, stop, task }
}

impl World {
    async fn push(&self, number: u32) {
        push(&self.index, number).await;
    }

    fn applied(&self) -> u64 {
        self.index.health().unwrap().applied
    }

    async fn wait_until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < deadline, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn wait_until_archived(&self) {
        let applied = self.applied();
        self.wait_until("everything is archived", |world| world.archived.position() >= applied).await;
    }

    async fn listing(&self) -> Listing {
        let cluster = self.index.cluster();
        let mut keys = stream::list(self.store.as_ref(), &snapshots_prefix(&cluster.id, cluster.epoch)).await.unwrap();
        keys.extend(stream::list(self.store.as_ref(), &log_prefix(&cluster.id, cluster.epoch)).await.unwrap());
        Listing::of(keys)
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
        self.index.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_is_archived_and_a_restart_goes_on_in_the_same_chain() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), Options { snapshot_entries: 1000, ..options() }).await;
    for number in 0..10 {
        world.push(number).await;
    }
    world.wait_until_archived().await;
    world.push(10).await;
    let last = world.applied();
    world.end().await; // which archives what is left

    let world = start(directory.path(), Options { snapshot_entries: 1000, ..options() }).await;
    assert!(world.listing().await.plan(None, 0).unwrap().position >= last);
    for number in 20..30 {
        world.push(number).await;
    }
    world.wait_until_archived().await;
    let plan = world.listing().await.plan(None, 0).unwrap();
    assert_eq!((plan.position, world.metrics.snapshots.get()), (world.applied(), 0), "the chain goes on");
    let cluster = world.index.cluster().clone();
    let prefix = snapshots_prefix(&cluster.id, cluster.epoch);
    let contents = snapshots::verify(&world.store, &prefix, &cluster.id, &plan.snapshot, true).await.unwrap();
    assert_eq!(contents.position, plan.snapshot.name.position);
    let mut next = plan.snapshot.name.position + 1;
    for name in &plan.segments {
        let key = name.key(&cluster.id, cluster.epoch);
        let bytes = stream::get(world.store.as_ref(), &key, 0..name.length).await.unwrap();
        for entry in segment::decode(&bytes, name, &cluster.id).unwrap() {
            if entry.position.index >= next {
                assert_eq!(entry.position.index, next);
                next += 1;
            }
        }
    }
    assert_eq!(next, plan.position + 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_snapshots_and_what_leads_to_them_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    for round in 0..5 {
        for number in 0..25 {
            world.push(round * 100 + number).await;
        }
        world.wait_until_archived().await;
        let wanted = u64::from(round) + 1;
        world.wait_until("a snapshot", |world| world.metrics.snapshots.get() >= wanted).await;
    }
    let applied = world.applied();
    let stop = &world.stop;
    stop.cancel();
    while !world.task.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let listing = world.listing().await;
    assert!((2..=3).contains(&listing.whole.len()), "{listing:?}");
    for skip in 0..2 {
        assert_eq!(listing.plan(None, skip).unwrap().position, applied);
    }
    assert!(matches!(listing.plan(Some(3), 0), Err(PlanError::TooOld { .. })));
    world.index.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_cut_first_is_archived_by_a_new_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    world.wait_until_archived().await;
    world.end().await;
    let slow = Options { close_after: Duration::from_hours(1), ..options() };
    let world = start(directory.path(), slow.clone()).await;
    world.stop.cancel();
    while !world.task.is_finished() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 10..15 {
        world.push(number).await;
    }
    world.index.cut().await.unwrap();
    world.index.wait_for_purge().await;
    world.index.close().await.unwrap();
    drop(world);
    let world = start(directory.path(), options()).await;
    world.push(99).await;
    world.wait_until_archived().await;
    let plan = world.listing().await.plan(None, 0).unwrap();
    assert_eq!(plan.position, world.archived.position());
    assert_eq!(world.metrics.snapshots.get(), 1);
    world.end().await;
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_volume_does_not_write_into_the_archive() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, older) = (directory.path().join("volume"), directory.path().join("older"));
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    world.wait_until_archived().await;
    world.end().await;
    copy(&volume, &older);
    let world = start(directory.path(), options()).await;
    for number in 2..10 {
        world.push(number).await;
    }
    world.wait_until_archived().await;
    let (cluster, before) = (world.index.cluster().clone(), world.listing().await);
    let archived = world.archived.position();
    world.end().await;
    std::fs::remove_dir_all(&volume).unwrap();
    std::fs::rename(&older, &volume).unwrap();

    let world = start(directory.path(), options()).await;
    assert!(world.applied() < archived);
    let refused = |world: &World| world.metrics.failures.get();
    world.wait_until("it refuses while its log is shorter", |world| refused(world) > 0).await;
    let shorter = refused(&world);
    for number in 20..40 {
        world.push(number).await;
    }
    assert!(world.applied() > archived);
    world.wait_until("it refuses when its log is longer, too", |world| refused(world) > shorter + 1).await;
    let after = world.listing().await;
    assert_eq!((after.segments, after.whole), (before.segments.clone(), before.whole.clone()));
    assert_eq!(world.archived.position(), 0, "what was condemned is not deleted");
    assert_eq!(*world.index.cluster(), cluster);
    // Nor when there is nothing left in its log that could be compared.
    world.index.local().unwrap().node().cut().await.unwrap();
    world.end().await;
    let world = start(directory.path(), options()).await;
    world.push(40).await;
    world.wait_until("it still refuses", |world| refused(world) > 1).await;
    let after = world.listing().await.whole;
    assert_eq!((world.archived.position(), after), (0, before.whole));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_is_known_when_the_newest_snapshot_is_ahead_of_the_entries() {
    let directory = tempfile::tempdir().unwrap();
    let (volume, older) = (directory.path().join("volume"), directory.path().join("older"));
    let world = start(directory.path(), Options { snapshot_entries: 1000, ..options() }).await;
    world.push(1).await;
    world.wait_until_archived().await;
    world.end().await;
    copy(&volume, &older);
    // Entries that are archived, and a snapshot of what comes after them.
    let world = start(directory.path(), Options { snapshot_entries: 1000, ..options() }).await;
    for number in 2..6 {
        world.push(number).await;
    }
    world.wait_until_archived().await;
    world.stop.cancel();
    world.task.await.unwrap();
    for number in 6..10 {
        push(&world.index, number).await;
    }
    let view = world.index.local().unwrap().node().view();
    let stands = position_of(&view).unwrap().unwrap();
    let cluster = world.index.cluster().clone();
    let name = SnapshotName { position: stands.index, term: stands.term, id: new_id(world.index.time()).unwrap() };
    let prefix = snapshots_prefix(&cluster.id, cluster.epoch);
    snapshots::write(world.store.as_ref(), &prefix, &cluster.id, name, view).await.unwrap();
    world.index.close().await.unwrap();
    drop(world.index);
    std::fs::remove_dir_all(&volume).unwrap();
    std::fs::rename(&older, &volume).unwrap();

    // It gets as far in another way before its archiver looks.
    let index = open(directory.path(), &prometheus::Registry::new()).await;
    for number in 20..40 {
        push(&index, number).await;
    }
    index.close().await.unwrap();
    drop(index);
    let world = start(directory.path(), Options { snapshot_entries: 1000, ..options() }).await;
    world.wait_until("it refuses", |world| world.metrics.failures.get() > 1).await;
    assert_eq!(world.archived.position(), 0);
    world.end().await;
}

/// Makes the pin of a backup, and its snapshot, and does not say that it is whole: as if its writer had died just then.
async fn interrupted(world: &World, name: &str) {
    let backups = Backups::new(world.index.clone(), Arc::clone(&world.store));
    backups.begin(Some(name.to_owned()), None).await.unwrap();
    let cluster = world.index.cluster();
    let view = world.index.local().unwrap().node().view();
    let stands = position_of(&view).unwrap().unwrap();
    let id = new_id(world.index.time()).unwrap();
    let snapshot = SnapshotName { position: stands.index, term: stands.term, id };
    let prefix = backup_prefix(&cluster.id, cluster.epoch, name);
    snapshots::write(world.store.as_ref(), &prefix, &cluster.id, snapshot, view).await.unwrap();
}

async fn objects_of(world: &World, backup: &str) -> usize {
    let cluster = world.index.cluster();
    stream::list(world.store.as_ref(), &backup_prefix(&cluster.id, cluster.epoch, backup)).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_whole_is_completed_by_whoever_leads() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    interrupted(&world, "nightly").await;
    let backups = Backups::new(world.index.clone(), Arc::clone(&world.store));
    backups.begin(Some("unfinished".into()), None).await.unwrap();
    backups.look_after().await.unwrap();
    let pins = backups.list().await.unwrap();
    let complete: Vec<_> = pins.iter().map(|pin| (pin.name.as_str(), pin.snapshot.is_some())).collect();
    assert_eq!(complete, [("nightly", true), ("unfinished", false)]);
    assert_eq!(objects_of(&world, "nightly").await, 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_deleted_while_it_was_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    let backups = Backups::new(world.index.clone(), Arc::clone(&world.store));
    let begun = backups.begin(Some("nightly".into()), None).await.unwrap();
    backups.delete("nightly").await.unwrap();
    let error = backups.finish(begun).await.unwrap_err();
    assert!(matches!(error, BackupError::Unknown { .. }), "{error}");
    assert_eq!(objects_of(&world, "nightly").await, 0);

    // One that looks whole and that nothing pins can be deleted.
    interrupted(&world, "nightly").await;
    let forget = ForgetBackup { name: "nightly".into(), position: None };
    world.index.submit(None, Command::ForgetBackup(forget)).await.unwrap();
    backups.delete("nightly").await.unwrap();
    assert_eq!(objects_of(&world, "nightly").await, 0);
    assert!(matches!(backups.delete("nightly").await, Err(BackupError::Unknown { .. })));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_could_not_be_written_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    // Nothing can be written below a file.
    let cluster = world.index.cluster();
    let place = directory.path().join("store").join(epoch_prefix(&cluster.id, cluster.epoch));
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("backups"), b"").unwrap();
    let backups = Backups::new(world.index.clone(), Arc::clone(&world.store));
    backups.write(backups.begin(Some("nightly".into()), None).await.unwrap());
    world.wait_until("the writer has ended", |_| backups.writing().is_empty()).await;
    assert_eq!(backups.list().await.unwrap(), []);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_writer_heard_of_a_failure_stays_when_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), options()).await;
    world.push(1).await;
    let backups = Backups::new(world.index.clone(), Arc::clone(&world.store));
    interrupted(&world, "nightly").await;
    let pin = backups.list().await.unwrap()[0].position;
    backups.give_up("nightly", pin).await.unwrap();
    assert_eq!(objects_of(&world, "nightly").await, 2, "only the answer was lost");
    backups.look_after().await.unwrap();
    backups.give_up("nightly", pin).await.unwrap();
    assert_eq!(objects_of(&world, "nightly").await, 2, "somebody saw that it is whole");
    backups.begin(Some("other".into()), None).await.unwrap();
    let pin = backups.list().await.unwrap()[1].position;
    backups.give_up("other", pin + 1).await.unwrap();
    assert_eq!(backups.list().await.unwrap().len(), 2, "that is another one");
    backups.give_up("other", pin).await.unwrap();
    assert_eq!(backups.list().await.unwrap().len(), 1);
    world.end().await;
}
