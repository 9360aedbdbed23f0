//! What backups keep from being reclaimed.

use super::*;
use crate::index::archive::names::{SnapshotName, WholeSnapshot};
use crate::index::archive::restore::FoundBackup;
use crate::index::command::{ForgetBackup, ForgetObjects, PinBackup, StoredSnapshot};
use crate::index::query::{Cluster, ListBackups};

const DAY: u64 = 24 * HOUR;

fn pin(name: &str) -> Command {
    Command::PinBackup(PinBackup { name: name.into(), keep_until: None, snapshot: None })
}

fn complete(name: &str, position: u64) -> Command {
    let snapshot = StoredSnapshot { position, term: 1, id: "x".into(), length: 1, sum: 1 };
    Command::PinBackup(PinBackup { name: name.into(), keep_until: None, snapshot: Some(snapshot) })
}

fn forget(name: &str) -> Command {
    Command::ForgetBackup(ForgetBackup { name: name.into(), position: None })
}

impl World {
    /// Pushes a blob that is an object.
    fn store_blob(&mut self, number: u128) -> (Digest, ObjectKey) {
        let content = number.to_be_bytes();
        let (digest, key) = (Digest::of(&content), object(self.now, number));
        self.ok(commit("a", digest, Some(stored(&content, &key))));
        (digest, key)
    }

    fn condemn(&mut self, digest: Digest) {
        self.ok(Command::DeleteBlob(link("a", digest)));
    }

    fn due_after_the_pause(&mut self) -> Vec<ObjectKey> {
        self.later(2 * HOUR);
        self.due_objects()
    }

    fn due_when_archived(&self, archived: u64) -> Vec<ObjectKey> {
        self.ask(DueObjects { limit: 9, archived: Some(archived) })
    }
}

#[test]
fn an_object_that_a_backup_may_refer_to_is_held_until_the_backup_is_forgotten() {
    let mut world = World::new();
    let (before, gone) = world.store_blob(1);
    world.condemn(before);
    let (digest, kept) = world.store_blob(2);
    world.ok(pin("one"));
    world.ok(complete("one", world.position));
    let (later, unknown_to_it) = world.store_blob(3);
    world.condemn(digest);
    world.condemn(later);
    assert_eq!(world.due_after_the_pause(), [gone.clone(), unknown_to_it.clone()]);
    world.ok(Command::ForgetObjects(ForgetObjects { keys: vec![gone.clone(), unknown_to_it] }));
    assert_eq!(world.due_after_the_pause(), []);
    assert!(world.is_known(&kept), "an orphan could be deleted");
    assert!(!world.is_known(&gone));
    world.ok(forget("one"));
    assert_eq!(world.due_after_the_pause(), [kept]);
}

#[test]
fn a_backup_that_is_being_written_holds_everything_that_is_condemned_behind_its_pin() {
    let mut world = World::new();
    world.ok(pin("one"));
    let (digest, between) = world.store_blob(1);
    world.condemn(digest);
    assert_eq!(world.due_after_the_pause(), []);
    // Its snapshot was taken before that blob came.
    world.ok(complete("one", 2));
    assert_eq!(world.due_after_the_pause(), [between]);
}

#[test]
fn of_several_backups_each_holds_what_it_refers_to() {
    let mut world = World::new();
    let (digest, key) = world.store_blob(1);
    for name in ["one", "two"] {
        world.ok(pin(name));
        world.ok(complete(name, world.position));
    }
    world.condemn(digest);
    world.ok(pin("three")); // behind it: nothing to hold
    for name in ["one", "two"] {
        assert_eq!(world.due_after_the_pause(), []);
        world.ok(forget(name));
    }
    assert_eq!(world.due_after_the_pause(), [key]);
    let names: Vec<_> = world.ask(ListBackups).into_iter().map(|backup| backup.name).collect();
    assert_eq!(names, ["three"]);
}

#[test]
fn an_object_of_an_upload_that_became_a_blob_is_as_old_as_the_upload() {
    let mut world = World::new();
    let key = object(world.now, 1);
    world.ok(record("a", "u", 0, stored(b"data", &key)));
    world.ok(pin("one"));
    world.ok(complete("one", world.position));
    let digest = Digest::of(b"data");
    let upload = FinishedUpload { upload: UploadId("u".into()), expected_offset: 4, expires: world.now.after(DAY) };
    let finish = CommitBlob { repository: name("a"), digest, size: 4, upload: Some(upload), segment: None };
    world.ok(Command::CommitBlob(finish));
    world.condemn(digest);
    assert_eq!(world.due_after_the_pause(), []);
}

#[test]
fn what_was_condemned_behind_the_archived_position_waits_for_the_archive() {
    let mut world = World::new();
    let (digest, key) = world.store_blob(1);
    world.condemn(digest);
    let condemned_at = world.position;
    world.due_after_the_pause();
    assert_eq!(world.due_when_archived(0), []);
    assert_eq!(world.due_when_archived(condemned_at - 1), []);
    assert_eq!(world.due_when_archived(condemned_at), [key]);
}

#[test]
fn a_name_is_taken_until_it_is_forgotten_and_only_what_was_begun_is_completed() {
    let mut world = World::new();
    assert_eq!(world.refused(complete("one", 5)), Refusal::BackupUnknown);
    assert_eq!(world.refused(forget("one")), Refusal::BackupUnknown);
    world.ok(pin("one"));
    assert_eq!(world.refused(pin("one")), Refusal::BackupExists);
    assert_eq!(world.refused(complete("one", 1)), Refusal::BackupExists, "a snapshot older than its pin");
    world.ok(complete("one", world.position));
    assert_eq!(world.refused(complete("one", world.position)), Refusal::BackupExists);
    world.ok(forget("one"));
    world.ok(pin("one"));
}

#[test]
fn only_the_backup_that_is_meant_is_forgotten() {
    let mut world = World::new();
    let forget_at = |position| Command::ForgetBackup(ForgetBackup { name: "one".into(), position: Some(position) });
    world.ok(pin("one"));
    let first = world.position;
    world.ok(forget("one"));
    world.ok(pin("one"));
    let second = world.position;
    assert_eq!(world.refused(forget_at(first)), Refusal::BackupUnknown);
    world.ok(forget_at(second));
}

#[test]
fn who_takes_over_holds_backups_that_it_did_not_know_and_a_copy_has_none() {
    let name = SnapshotName { position: 1000, term: 1, id: "x".into() };
    let found = FoundBackup { name: "newer".into(), epoch: 1, snapshot: WholeSnapshot { name, length: 1, sum: 1 } };
    for copy in [false, true] {
        let mut world = World::new();
        world.ok(pin("known"));
        world.ok(complete("known", world.position));
        let (digest, key) = world.store_blob(1);
        let claim = copy.then(|| "claim".to_owned());
        let cluster = world.status().cluster.unwrap();
        let new = Cluster { epoch: 2, owned: if copy { vec![] } else { vec![1] }, claim, ..cluster };
        let mut transaction = Transaction::new(&world.records);
        crate::index::state::restored(&mut transaction, &new, std::slice::from_ref(&found)).unwrap();
        let changes: Vec<_> = transaction.into_changes().collect();
        world.records.write(changes);
        assert_eq!(world.status().cluster.unwrap(), new);
        assert_eq!((new.owns(1), new.owns(2), new.owns(3)), (!copy, true, false));
        world.condemn(digest);
        let names: Vec<_> = world.ask(ListBackups).into_iter().map(|backup| backup.name).collect();
        if copy {
            assert!(names.is_empty());
            assert_eq!(world.due_after_the_pause(), [key]);
        } else {
            assert_eq!(names, ["newer"], "the other one is not in the store any more");
            assert_eq!(world.due_after_the_pause(), []);
        }
    }
}

#[test]
fn who_takes_over_completes_a_pin_by_what_is_in_the_store() {
    let found = |position| {
        let name = SnapshotName { position, term: 1, id: "x".into() };
        FoundBackup { name: "own".into(), epoch: 1, snapshot: WholeSnapshot { name, length: 1, sum: 1 } }
    };
    let mut world = World::new();
    world.ok(pin("own"));
    let pinned = world.position;
    // What is restored is the state in the backup itself: it knows that it was begun, and nothing else.
    for (backup, holds_since) in [(found(pinned), pinned), (found(pinned + 9), 0)] {
        let cluster = world.status().cluster.unwrap();
        let new = Cluster { epoch: cluster.epoch + 1, owned: vec![1], ..cluster };
        let mut transaction = Transaction::new(&world.records);
        crate::index::state::restored(&mut transaction, &new, std::slice::from_ref(&backup)).unwrap();
        let changes: Vec<_> = transaction.into_changes().collect();
        world.records.write(changes);
        let own = world.ask(ListBackups).remove(0);
        assert_eq!((own.position, own.snapshot), (holds_since, Some((&backup.snapshot).into())));
    }
}
