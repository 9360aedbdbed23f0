//! A process that dies: at a random moment, and (with the feature `failpoints`) at each point that is named for it.
//!
//! The child is this very test binary. It writes images and says which ones were acknowledged; the parent kills it, opens
//! the volume and looks for them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command as Process, ExitStatus, Stdio};
use std::time::Duration;

use super::{image, open, tag};
use crate::index::query::GetStatus;

const DIRECTORY: &str = "ROADSTEAD_TEST_CRASH_DIRECTORY";
const FROM: &str = "ROADSTEAD_TEST_CRASH_FROM";
/// Tags that the child writes at once.
const WRITERS: u32 = 8;

/// What the child does; as a test of its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let (Ok(directory), Ok(from)) = (std::env::var(DIRECTORY), std::env::var(FROM)) else { return };
    #[cfg(feature = "failpoints")]
    let _points = fail::FailScenario::setup();
    let from: u32 = from.parse().unwrap();
    let index = open(Path::new(&directory)).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let index = index.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let number = from + writer + number * WRITERS;
                    index.submit(None, image(number).0).await.unwrap();
                    // In one write: the process may end in the middle of a `println!`.
                    std::io::stdout().write_all(format!("acknowledged {number}\n").as_bytes()).unwrap();
                    if number % 50 == 49 {
                        index.snapshot().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

fn start(directory: &Path, from: u32, points: &str) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "index::tests::crashes::child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(FROM, from.to_string())
        .env("FAILPOINTS", points)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads what the child acknowledged until it ends; ends it after so many.
fn acknowledged(mut child: Child, enough: usize) -> (Vec<u32>, ExitStatus) {
    let mut numbers = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        if let Some(number) = line.strip_prefix("acknowledged ") {
            numbers.push(number.parse().unwrap());
            if numbers.len() == enough {
                child.kill().unwrap(); // SIGKILL; what it said before that is still read
            }
        }
    }
    let status = child.wait().unwrap();
    (numbers, status)
}

async fn all_there(directory: &Path, numbers: &[u32], what: &str) {
    let index = open(directory).await;
    for number in numbers {
        assert_eq!(tag(&index, *number).await, Some(image(*number).1), "{what}: {number} was acknowledged and is gone");
    }
    let tags = index.query(GetStatus).await.unwrap().counts.tags;
    assert!(tags as usize >= numbers.len());
    index.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_being_killed_at_any_moment() {
    let directory = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for (round, enough) in [1, 7, 40, 150, 3, 90].into_iter().enumerate() {
        let child = start(directory.path(), all.len() as u32 * 100, "");
        let (numbers, _) = tokio::task::spawn_blocking(move || acknowledged(child, enough)).await.unwrap();
        assert!(numbers.len() >= enough, "the child did not come to its {enough} images");
        all.extend(numbers);
        all_there(directory.path(), &all, &format!("round {round}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_is_killed_can_be_repeated() {
    for round in 0..16 {
        let directory = tempfile::tempdir().unwrap();
        let mut child = start(directory.path(), 0, "");
        tokio::time::sleep(Duration::from_millis(5 + round * 6)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let index = open(directory.path()).await;
        index.submit(None, image(1).0).await.unwrap();
        index.close().await.unwrap();
    }
}

/// The disk fails once, and would do what it is told if it were told again: that nobody may try.
#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_once_ends_the_process_in_crashes() {
    for point in crate::index::crash::DISK_POINTS {
        let directory = tempfile::tempdir().unwrap();
        let child = start(directory.path(), 0, &format!("{point}=3*off->1*return"));
        let (numbers, status) = tokio::task::spawn_blocking(move || acknowledged(child, 4000)).await.unwrap();
        assert_eq!(status.code(), Some(1), "{point}: {status}");
        let mark = directory.path().join("UNSYNCED");
        assert!(mark.exists(), "{point}: the next start believes what the system has in memory");
        all_there(directory.path(), &numbers, point).await;
        assert!(!mark.exists(), "{point}");
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_crash_at_each_point() {
    use std::os::unix::process::ExitStatusExt;

    use crate::index::crash::FAIL_POINTS;

    /// SIGABRT.
    const ABORTED: i32 = 6;
    for point in FAIL_POINTS {
        if point.ends_with("_receive") {
            continue; // nothing is received by a single node; see `transfers`
        }
        let directory = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        // At the first time, and after some that went well.
        for (round, action) in ["return", "20*off->return"].into_iter().enumerate() {
            let from = round as u32 * 1_000_000;
            let child = start(directory.path(), from, &format!("{point}={action}"));
            let (numbers, status) = tokio::task::spawn_blocking(move || acknowledged(child, 4000)).await.unwrap();
            if round == 0 {
                assert_eq!(status.signal(), Some(ABORTED), "{point} was not passed");
            }
            all.extend(numbers);
            all_there(directory.path(), &all, &format!("{point} {action}")).await;
        }
    }
}
