//! A node that finds its own volume wrong: it says why, ends, and its next start knows.

use std::fs;

use fjall::{Database, KeyspaceCreateOptions, PersistMode};

use super::{image, open, tag};
use crate::index::OpenError;
use crate::index::metrics::IndexMetrics;
use crate::index::raft::refused::{Reason, set_aside};
use crate::index::raft::witness::{Judgement, judge};
use crate::index::{Index, IndexOptions};

async fn error_of(directory: &std::path::Path) -> OpenError {
    let options = IndexOptions { directory: directory.to_owned(), min_free_bytes: 0 };
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    Index::open(&options, metrics).await.unwrap_err()
}

fn is_damage(error: &OpenError) -> bool {
    matches!(error, OpenError::Node(error) if error.is_damage())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_told_to_stop_says_why_and_does_not_start_again() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("index");
    let index = open(&volume).await;
    index.submit(None, image(1).0).await.unwrap();
    assert_eq!(index.health().unwrap().stopped, None);
    index.local().unwrap().node().halt().refuse(Reason::Diverged, "at entry 7".into());
    assert!(index.health().unwrap().stopped.unwrap().contains("at entry 7"));
    index.close().await.unwrap();
    drop(index);
    super::damage::free(&volume).await;
    for _ in 0..2 {
        let error = error_of(&volume).await;
        assert!(is_damage(&error) && error.to_string().contains("at entry 7"), "{error}");
    }
    let aside = set_aside(&volume).unwrap();
    let index = open(&volume).await;
    assert_eq!(tag(&index, 1).await, None, "it begins again with nothing");
    assert!(fs::read_dir(aside).unwrap().count() > 3, "what there was is kept for people to look at");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_found_damaged_while_the_node_runs_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    for number in 0..10 {
        index.submit(None, image(number).0).await.unwrap();
    }
    index.close().await.unwrap();
    drop(index);
    super::damage::free(directory.path()).await;
    {
        let database = Database::builder(directory.path().join("log")).open().unwrap();
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default).unwrap();
        let key = 5_u64.to_be_bytes();
        let mut bad = entries.get(key).unwrap().unwrap().to_vec();
        *bad.last_mut().unwrap() ^= 1;
        entries.insert(key, bad).unwrap();
        database.persist(PersistMode::SyncAll).unwrap();
    }
    // It lies behind what the state has applied, so a start does not look at it.
    let index = open(directory.path()).await;
    let node = index.local().unwrap().node().clone();
    assert_eq!(index.health().unwrap().stopped, None);
    assert!(node.entry(4).is_ok() && node.entry(5).is_err());
    let reason = index.health().unwrap().stopped.unwrap();
    assert!(reason.contains("damaged") && reason.contains("check sum"), "{reason}");
    drop((index, node));
    super::damage::free(directory.path()).await;
    assert!(is_damage(&error_of(directory.path()).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_sums_of_a_state_are_the_same_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    for number in 0..5 {
        index.submit(None, image(number).0).await.unwrap();
    }
    let sums = index.local().unwrap().node().sums();
    let volume = index.local().unwrap().node().acknowledged().unwrap();
    assert!(!sums.is_empty(), "the entry that made the members is a mark");
    index.close().await.unwrap();
    drop(index);
    let index = open(directory.path()).await;
    let node = index.local().unwrap().node();
    assert_eq!(node.sums(), sums);
    let now = node.acknowledged().unwrap();
    assert!(now.generation.number > volume.generation.number);
    assert_eq!(judge(&volume, &now), Judgement::Fine);
    assert!(matches!(judge(&now, &volume), Judgement::RolledBack(_)));
}
