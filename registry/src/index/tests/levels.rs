//! What a newer roadstead wrote: told from damage, named, and left as it is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fjall::{Database, KeyspaceCreateOptions};
use serde::Serialize;

use super::{image, open, tag};
use crate::index::command::{Command, RaiseLevel, Refusal, RequestId, Time};
use crate::index::level::LEVEL;
use crate::index::metrics::IndexMetrics;
use crate::index::query::GetStatus;
use crate::index::raft::frame::{self, FrameError};
use crate::index::raft::types::Position;
use crate::index::snapshot::{self, Encoder, Header, SnapshotError};
use crate::index::{Index, IndexError, IndexOptions};

/// An entry as a later version may write it.
#[derive(Serialize)]
struct Later<C> {
    position: Position,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<u32>,
    content: BTreeMap<&'static str, LaterProposal<C>>,
}

#[derive(Serialize)]
struct LaterProposal<C> {
    time: Time,
    request: RequestId,
    command: C,
}

fn later<C: Serialize>(index: u64, level: Option<u32>, command: C, before: u32) -> Vec<u8> {
    let proposal = LaterProposal { time: Time(1), request: RequestId(1), command };
    let position = Position { term: 1, node: 1, index };
    let entry = Later { position, level, content: BTreeMap::from([("Command", proposal)]) };
    let mut frame = vec![1, 0, 0, 0, 0];
    frame.extend_from_slice(&before.to_le_bytes());
    frame.extend_from_slice(&rmp_serde::to_vec_named(&entry).unwrap());
    let sum = crc32c::crc32c(&frame[5..]);
    frame[1..5].copy_from_slice(&sum.to_le_bytes());
    frame
}

/// A command that nobody knows, and one that has a field more.
fn unknown() -> BTreeMap<&'static str, BTreeMap<&'static str, u32>> {
    BTreeMap::from([("Teleport", BTreeMap::from([("distance", 7)]))])
}

fn with_a_field_more() -> BTreeMap<&'static str, BTreeMap<&'static str, u32>> {
    BTreeMap::from([("Expire", BTreeMap::from([("limit", 7), ("gently", 1)]))])
}

#[test]
fn what_is_newer_is_told_from_what_is_damaged() {
    let newer = |frame: &[u8]| match frame::decode(frame) {
        Err(FrameError::Newer(newer)) => newer.level,
        other => panic!("{other:?}"),
    };
    assert_eq!(newer(&later(1, Some(LEVEL + 1), unknown(), 0)), LEVEL + 1);
    assert_eq!(newer(&later(1, Some(99), with_a_field_more(), 0)), 99);
    assert!(matches!(frame::decode(&later(1, None, unknown(), 0)), Err(FrameError::Entry(_))));
    assert!(matches!(frame::decode(&later(1, Some(1), unknown(), 0)), Err(FrameError::Entry(_))));
    assert!(frame::decode(&later(1, None, with_a_field_more(), 0)).is_ok());
    let mut damaged = later(1, Some(99), unknown(), 0);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(frame::decode(&damaged), Err(FrameError::Sum)));
}

#[test]
fn a_snapshot_of_a_higher_level_is_not_read() {
    let header = Header { cluster: "c".into(), position: 1, applied: bytes::Bytes::new(), level: LEVEL + 1 };
    let (bytes, _) = Encoder::new(Vec::new(), &header).unwrap().finish().unwrap();
    let error = snapshot::verify(&bytes[..]).unwrap_err();
    assert!(matches!(error, SnapshotError::NewerLevel(newer) if newer.level == LEVEL + 1), "{error}");
}

async fn refused(directory: &Path) -> String {
    let options = IndexOptions { directory: directory.to_owned(), min_free_bytes: 0 };
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    Index::open(&options, metrics).await.unwrap_err().to_string()
}

/// Every file of the databases, with what it holds.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jnl") {
                let mut bytes = std::fs::read(&path).unwrap();
                let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                bytes.truncate(end);
                all.insert(path, bytes);
            }
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_finds_a_newer_entry_stops_and_harms_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    for number in 0..5 {
        index.submit(None, image(number).0).await.unwrap();
    }
    index.close().await.unwrap();
    drop(index);
    drop(open(directory.path()).await);
    super::damage::free(directory.path()).await;

    let log = || {
        let database = Database::builder(directory.path().join("log")).open().unwrap();
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default).unwrap();
        (database, entries)
    };
    let last = {
        let (database, entries) = log();
        let (key, value) = entries.last_key_value().unwrap().into_inner().unwrap();
        let last = u64::from_be_bytes((&*key).try_into().unwrap());
        let (sum, _) = frame::sums(&value).unwrap();
        entries.insert((last + 1).to_be_bytes(), later(last + 1, Some(LEVEL + 1), unknown(), sum)).unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        last
    };
    let before = content(directory.path());
    for _ in 0..2 {
        let error = refused(directory.path()).await;
        assert!(error.contains(&format!("knows level {}", LEVEL + 1)), "{error}");
        assert!(error.contains("nothing is damaged") && !error.contains("Do not start"), "{error}");
    }
    assert_eq!(before, content(directory.path()));
    {
        let (database, entries) = log();
        entries.remove((last + 1).to_be_bytes()).unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
    }
    let index = open(directory.path()).await;
    assert_eq!(tag(&index, 4).await, Some(image(4).1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_above_the_level_in_force_is_proposed() {
    let directory = tempfile::tempdir().unwrap();
    let index = open(directory.path()).await;
    let raise = |level| Command::RaiseLevel(RaiseLevel { level });
    let before = index.health().unwrap().applied;
    let error = index.submit(None, raise(LEVEL + 1)).await.unwrap_err();
    assert!(
        matches!(error, IndexError::Refused { refusal: Refusal::LevelUnknown { known: LEVEL, .. }, .. }),
        "{error}"
    );
    assert_eq!(index.health().unwrap().applied, before, "it did not come into the log");
    #[cfg(feature = "next-level")]
    {
        let note = || Command::Note(crate::index::command::Note { text: "x".into() });
        let error = index.submit(None, note()).await.unwrap_err();
        assert!(error.to_string().contains(&format!("level {LEVEL}")), "{error}");
        assert_eq!(index.health().unwrap().applied, before);
        index.submit(None, raise(LEVEL)).await.unwrap();
        index.submit(None, note()).await.unwrap();
    }
    index.submit(None, raise(LEVEL)).await.unwrap();
    assert_eq!(index.level().await.unwrap(), LEVEL);
    assert_eq!(index.query(GetStatus).await.unwrap().level, LEVEL);
}
