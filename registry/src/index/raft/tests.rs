//! The log and the state machine against openraft's own suite for stores.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use openraft::alias::EntryOf;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::testing::{blank_ent, log_id};
use openraft::{EntryPayload, StorageError};

use super::log::Log;
use super::machine::{Machine, applied_of};
use super::states::States;
use super::transfer;
use super::types::Types;
use crate::index::command::{Bootstrap, Command, Policy, Proposal, RequestId, Time};
use crate::index::metrics::IndexMetrics;
use crate::index::state::store::Store;

struct Builder;

impl StoreBuilder<Types, Log, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<Types>> {
        let directory = tempfile::tempdir().unwrap();
        let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
        let states = States::new(directory.path());
        let store = Store::open(&states.current().unwrap()).unwrap();
        let log = Log::open(&directory.path().join("log"), 0, &metrics).unwrap();
        Ok((directory, log, Machine::new(states, store, metrics)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_and_machine_keep_the_promises_that_consensus_is_built_on() {
    Suite::test_all(Builder).await.unwrap();
}

#[test]
fn a_state_that_was_received_and_is_not_needed_leaves_nothing() {
    let (sender, receiver) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(&States::new(sender.path()).current().unwrap()).unwrap();
    store.write([], &rmp_serde::to_vec_named(&super::types::Applied::default()).unwrap()).unwrap();
    let (bytes, _) = transfer::send(&store.view(), "here", Vec::new()).unwrap();
    let states = States::new(receiver.path());
    states.current().unwrap();
    let there = || receiver.path().join("state-2").exists();
    assert!(transfer::receive(&bytes[..bytes.len() - 1], "here", &states).is_err());
    assert!(!there(), "it was cut off");
    let received = transfer::receive(&bytes[..], "here", &states).unwrap();
    assert!(there());
    drop(received);
    assert!(!there());
    let received = transfer::receive(&bytes[..], "here", &states).unwrap();
    received.keep();
    drop(received);
    assert!(there());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_here_costs_nothing_to_purge() {
    let (_directory, mut log, _machine) = Builder.build().await.unwrap();
    log.blocking_append([1, 2, 3].map(|index| blank_ent::<Types>(1, 1, index))).await.unwrap();
    // A state was received that is far ahead of the log: removing each entry between would need all memory.
    log.purge(log_id::<Types>(2, 1, 50_000_000_000)).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id.unwrap().index, 50_000_000_000);
    log.blocking_append([blank_ent::<Types>(2, 1, 50_000_000_001)]).await.unwrap();
    let left = log.try_get_log_entries(50_000_000_000..50_000_000_002).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), [50_000_000_001]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_change_much_are_written_in_parts_and_come_to_the_same() {
    let entry = |index: u64, command| {
        let request = RequestId::new(Time(index), u128::from(index));
        let proposal = Proposal { time: Time(index), request, who: None, command };
        EntryOf::<Types> { log_id: log_id::<Types>(1, 1, index), payload: EntryPayload::Normal(proposal) }
    };
    let bootstrap = Bootstrap { cluster: "here".into(), epoch: 1, upload_key: Bytes::from_static(&[7; 32]) };
    let raised = |index: u64| entry(index, Command::SetPolicy(Policy { history_count: index, ..Policy::default() }));
    let entries: Vec<_> = std::iter::once(entry(1, Command::Bootstrap(bootstrap))).chain((2..9).map(raised)).collect();

    let (_whole_directory, _, whole) = Builder.build().await.unwrap();
    let replies = whole.apply_batch(&entries).unwrap();
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");

    let (_directory, _, machine) = Builder.build().await.unwrap();
    let mut in_parts = Vec::new();
    while in_parts.len() < entries.len() {
        let before = in_parts.len();
        machine.apply_first(&entries[before..], 1, &mut in_parts).unwrap();
        assert_eq!(in_parts.len(), before + 1);
    }
    assert_eq!(in_parts, replies);
    let stands = |machine: &Machine| applied_of(&machine.store()).unwrap();
    assert_eq!(stands(&machine), stands(&whole));
}
