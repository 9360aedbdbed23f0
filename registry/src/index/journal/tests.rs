//! Journals that a crash or a bad disk left.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use xxhash_rust::xxh3::Xxh3;

use super::{Bad, Behind, END, FORMAT, Journal, JournalError, START, bad_batch, journals, mend, remove_unfinished};

fn open(directory: &Path) -> (Database, Keyspace) {
    let database = Database::builder(directory).open().unwrap();
    let keyspace = database.keyspace("k", KeyspaceCreateOptions::default).unwrap();
    (database, keyspace)
}

/// Writes batches of two records each and returns where each ends in the journal.
fn written(directory: &Path, batches: u32) -> (PathBuf, Vec<u64>) {
    let (database, keyspace) = open(directory);
    let mut ends = Vec::new();
    for number in 0..batches {
        let mut batch = database.batch();
        batch.insert(&keyspace, number.to_be_bytes(), vec![number as u8 + 1; 3000]);
        // Compressed in the journal.
        batch.insert(&keyspace, [b"large", number.to_be_bytes().as_slice()].concat(), vec![number as u8 + 1; 9000]);
        batch.commit().unwrap();
        database.persist(PersistMode::SyncData).unwrap();
        ends.push(end_of_data(&journals(directory).unwrap()[0]));
    }
    drop(keyspace);
    drop(database);
    (journals(directory).unwrap().pop().unwrap(), ends)
}

fn end_of_data(journal: &Path) -> u64 {
    let mut content = vec![0; 128 << 10];
    let read = File::open(journal).unwrap().read(&mut content).unwrap();
    content[..read].iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1)
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_whole_journal_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, ends) = written(directory.path(), 5);
    assert!(bad_batch(&journal).unwrap().is_none());
    assert_eq!(mend(directory.path(), Behind::Refuse).unwrap(), None);
    assert_eq!(end_of_data(&journal), ends[4]);
}

#[test]
fn a_last_batch_that_is_cut_short_is_cut_off() {
    for missing in [1, 5, 12, 13, 14, 60] {
        let directory = tempfile::tempdir().unwrap();
        let (journal, ends) = written(directory.path(), 5);
        OpenOptions::new().write(true).open(&journal).unwrap().set_len(ends[4] - missing).unwrap();
        let cut = mend(directory.path(), Behind::Refuse).unwrap().unwrap();
        assert_eq!(cut.at, ends[3], "{missing} bytes missing");
        let (_database, keyspace) = open(directory.path());
        assert_eq!(keyspace.len().unwrap(), 8);
    }
}

#[test]
fn a_last_batch_with_a_hole_is_cut_off_where_the_database_alone_would_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, ends) = written(directory.path(), 5);
    overwrite(&journal, ends[3] + 1000, &[0; 4]);
    assert!(Database::builder(directory.path()).open().is_err(), "otherwise this file is not needed");
    assert!(mend(directory.path(), Behind::Refuse).unwrap().is_some());
    let (_database, keyspace) = open(directory.path());
    assert_eq!(keyspace.len().unwrap(), 8);
}

#[test]
fn a_bad_batch_with_a_good_one_behind_it_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, ends) = written(directory.path(), 5);
    for at in [ends[1], ends[1] + 20, ends[2] - 3] {
        let before = fs::read(&journal).unwrap()[at as usize];
        overwrite(&journal, at, &[before ^ 0x55]);
        let error = mend(directory.path(), Behind::Refuse).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { at, .. } if at == ends[1]), "{error}");
        overwrite(&journal, at, &[before]);
    }
    assert!(bad_batch(&journal).unwrap().is_none());

    overwrite(&journal, ends[1], b"garbage");
    assert!(matches!(bad_batch(&journal).unwrap(), Some(Bad { good_behind: true, .. })));
    let cut = mend(directory.path(), Behind::Cut).unwrap().unwrap();
    assert_eq!(cut.at, ends[1], "what can be made again is cut as a whole");
    let (_database, keyspace) = open(directory.path());
    assert_eq!(keyspace.len().unwrap(), 4);
}

#[test]
fn a_journal_of_another_version_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, ends) = written(directory.path(), 2);
    overwrite(&directory.path().join("version"), 3, &[9]);
    overwrite(&journal, ends[0], b"garbage");
    assert_eq!(mend(directory.path(), Behind::Cut).unwrap(), None);
    assert!(end_of_data(&journal) >= ends[1]);
}

#[test]
fn a_database_whose_making_was_cut_short_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let (_, _) = written(&new, 0);
    fs::remove_file(new.join("version")).unwrap();
    fs::write(new.join("0.jnl"), [0; 100]).unwrap();
    for journal in journals(&new).unwrap() {
        overwrite(&journal, 0, &[0; 4096]);
    }
    // They are made after the version.
    fs::remove_dir_all(new.join("keyspaces")).unwrap();
    fs::create_dir(new.join("keyspaces")).unwrap();
    remove_unfinished(&new).unwrap();
    assert!(!new.exists());

    let used = directory.path().join("used");
    written(&used, 1);
    remove_unfinished(&used).unwrap();
    fs::write(used.join("version"), b"").unwrap();
    remove_unfinished(&used).unwrap();
    assert!(used.exists(), "what holds data is never removed");
}

#[test]
fn a_database_whose_journal_is_empty_is_kept_when_its_version_is_lost_or_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = written(directory.path(), 1);
    // All is in tables, as after a journal was flushed and the next one begun.
    overwrite(&journal, 0, &vec![0; 64 << 10]);
    let version = directory.path().join("version");
    fs::write(&version, b"").unwrap();
    remove_unfinished(directory.path()).unwrap();
    assert!(journal.exists(), "there are keyspaces");
    fs::remove_file(&version).unwrap();
    fs::remove_dir_all(directory.path().join("keyspaces")).unwrap();
    fs::create_dir(&version).unwrap();
    assert!(remove_unfinished(directory.path()).is_err());
    assert!(journal.exists(), "who knows what it says");
}

/// What a client may push: the end of a batch, and behind it a whole one without items, whose number may come next.
fn looks_like_a_batch(number: u64) -> Vec<u8> {
    let mut crafted = FORMAT.to_vec();
    crafted.push(START);
    crafted.extend(0_u32.to_le_bytes());
    crafted.extend(number.to_le_bytes());
    crafted.push(END);
    crafted.extend(Xxh3::new().finish().to_le_bytes());
    crafted.extend(FORMAT);
    crafted
}

#[test]
fn content_that_looks_like_a_batch_does_not_make_a_torn_batch_into_damage() {
    for (what, zeros) in [("the file ends in it", 0), ("preallocated zeros follow", 1 << 20)] {
        let directory = tempfile::tempdir().unwrap();
        let (database, keyspace) = open(directory.path());
        let mut ends = Vec::new();
        let crafted: Vec<u8> = (0..100).flat_map(looks_like_a_batch).collect();
        for number in 0..3_u8 {
            let mut batch = database.batch();
            batch.insert(&keyspace, [number], crafted.clone());
            batch.insert(&keyspace, [number, 1], [7; 500]);
            batch.commit().unwrap();
            database.persist(PersistMode::SyncData).unwrap();
            ends.push(end_of_data(&journals(directory.path()).unwrap()[0]));
        }
        drop((database, keyspace));
        let journal = journals(directory.path()).unwrap().pop().unwrap();
        assert!(bad_batch(&journal).unwrap().is_none(), "{what}");
        let file = OpenOptions::new().write(true).open(&journal).unwrap();
        file.set_len(ends[2] - 100).unwrap();
        file.set_len(ends[2] - 100 + zeros).unwrap();
        let found = Journal::open(&journal).unwrap().good_behind(ends[1], None).unwrap();
        assert!(found, "{what}: otherwise this test shows nothing");
        assert_eq!(mend(directory.path(), Behind::Refuse).unwrap().map(|cut| cut.at), Some(ends[1]), "{what}");
        let (_database, keyspace) = open(directory.path());
        assert_eq!(keyspace.len().unwrap(), 4, "{what}");
    }
}

#[test]
fn a_length_that_cannot_be_hides_nothing_that_stands_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, ends) = written(directory.path(), 5);
    // The length of the first value of the second batch, behind the batch's head, its tag and the fields before it.
    overwrite(&journal, ends[0] + 13 + 1 + 16, &[0xff; 4]);
    let bad = bad_batch(&journal).unwrap().unwrap();
    assert_eq!((bad.at, bad.good_behind), (ends[0], true));
}
