//! A volume after a power cut, and after a disk that lied.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{image, open, push_in_waves, tag};
use crate::index::metrics::IndexMetrics;
use crate::index::query::GetStatus;
use crate::index::{Index, IndexOptions};

/// An index that took `count` images and was dropped without a clean stop.
async fn dropped(directory: &Path, count: u32) {
    let index = open(directory).await;
    for number in 0..count {
        index.submit(None, image(number).0).await.unwrap();
    }
    drop(index);
    // Its last task may still hold the volume.
    drop(open(directory).await);
    free(directory).await;
}

/// Waits until nobody holds the databases.
pub(super) async fn free(directory: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    for lock in [directory.join("LOCK"), directory.join("log/lock"), directory.join("state-1/lock")] {
        let file = OpenOptions::new().write(true).open(lock).unwrap();
        while file.try_lock().is_err() {
            assert!(Instant::now() < deadline, "the volume is still held");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn journal(database: &Path) -> (PathBuf, u64) {
    let file = fs::read_dir(database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .max()
        .unwrap();
    let mut content = vec![0; 4 << 20];
    let read = fs::File::open(&file).unwrap().read(&mut content).unwrap();
    let end = content[..read].iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    (file, end)
}

fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

async fn refused(directory: &Path) -> String {
    let options = IndexOptions { directory: directory.to_owned(), min_free_bytes: 0 };
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    Index::open(&options, metrics).await.unwrap_err().to_string()
}

/// Forgets the state, so that everything comes from the log again.
fn forget_state(directory: &Path) {
    fs::remove_dir_all(directory.join("state-1")).unwrap();
    fs::remove_file(directory.join("CURRENT")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_made_again_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    dropped(directory.path(), 30).await;
    forget_state(directory.path());
    let index = open(directory.path()).await;
    assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_of_the_state_is_made_again_from_the_log() {
    let directory = tempfile::tempdir().unwrap();
    dropped(directory.path(), 30).await;
    let (file, end) = journal(&directory.path().join("state-1"));
    overwrite(&file, end / 2, b"a page that never came");
    let index = open(directory.path()).await;
    assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, 30);
    assert_eq!(tag(&index, 29).await, Some(image(29).1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_end_of_the_log_that_nobody_saw_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    for number in 0..10 {
        index.submit(None, image(number).0).await.unwrap();
    }
    // No clean stop, and no election afterwards that would write behind the last image.
    let held = directory.path().to_owned();
    drop(index);
    free(&held).await;
    forget_state(directory.path());
    let (file, end) = journal(&directory.path().join("log"));
    OpenOptions::new().write(true).open(&file).unwrap().set_len(end - 7).unwrap();
    let index = open(directory.path()).await;
    assert_eq!(tag(&index, 8).await, Some(image(8).1));
    assert_eq!(tag(&index, 9).await, None);
    assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_the_state_has_applied_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    dropped(directory.path(), 10).await;
    let (file, end) = journal(&directory.path().join("log"));
    OpenOptions::new().write(true).open(&file).unwrap().set_len(end / 2).unwrap();
    let error = refused(directory.path()).await;
    assert!(error.contains("acknowledged entries are missing from the log"), "{error}");
    fs::remove_dir_all(directory.path().join("log")).unwrap();
    let error = refused(directory.path()).await;
    assert!(error.contains("acknowledged entries are missing from the log"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_with_good_entries_behind_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    dropped(directory.path(), 30).await;
    forget_state(directory.path());
    let (file, end) = journal(&directory.path().join("log"));
    overwrite(&file, end / 2, b"not what was written");
    for _ in 0..2 {
        let error = refused(directory.path()).await;
        assert!(error.contains("damaged") && error.contains("restore it from a backup"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_ends_before_the_log_begins_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    push_in_waves(&index, 1200).await;
    index.snapshot().await.unwrap();
    index.wait_for_purge().await;
    drop(index);
    free(directory.path()).await;
    forget_state(directory.path());
    let error = refused(directory.path()).await;
    assert!(error.contains("the log begins behind"), "{error}");
}
