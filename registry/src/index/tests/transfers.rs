//! A state that goes to another volume as a snapshot.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use openraft::SnapshotMeta;
use openraft::storage::RaftStateMachine;

use super::{image, open, tag};
use crate::index::Index;
use crate::index::metrics::IndexMetrics;
use crate::index::query::GetStatus;
use crate::index::raft::machine::{Machine, StateSnapshot, applied_of};
use crate::index::raft::states::States;
use crate::index::raft::transfer::{TransferError, receive, send};
use crate::index::snapshot::{Decoder, SnapshotError, verify};
use crate::index::state::records::{Records, Table};
use crate::index::state::store::Store;

fn everything(records: &dyn Records) -> Vec<(Table, Vec<u8>, Bytes)> {
    let mut all = Vec::new();
    for table in Table::ALL {
        let visit = &mut |key: &[u8], value: &Bytes| {
            all.push((table, key.to_vec(), value.clone()));
            ControlFlow::Continue(())
        };
        records.scan(table, &[], &[], false, visit).unwrap();
    }
    all
}

async fn filled(directory: &Path, images: u32) -> Index {
    let index = open(directory).await;
    for number in 0..images {
        index.submit(Some("me"), image(number).0).await.unwrap();
    }
    index
}

fn member(directory: &Path) -> (States, Machine) {
    let states = States::new(directory);
    let store = Store::open(&states.current().unwrap()).unwrap();
    let metrics = IndexMetrics::register(&prometheus::Registry::new()).unwrap();
    (states.clone(), Machine::new(states, store, metrics))
}

async fn install(machine: &mut Machine, store: Store) {
    let applied = applied_of(&store).unwrap();
    let meta =
        SnapshotMeta { last_log_id: applied.position.map(Into::into), last_membership: (&applied.members).into() };
    machine.install_snapshot(&meta, StateSnapshot::Received(store)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_snapshot_is_the_same_state_and_outlives_a_restart() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = filled(here.path(), 40).await;
    let (bytes, totals) = index.write_snapshot(Vec::new()).unwrap();
    let source = everything(&index.view());
    assert_eq!(totals.records as usize, source.len());

    let (states, mut machine) = member(there.path());
    let store = receive(&bytes[..], &index.cluster().id, &states).unwrap();
    install(&mut machine, store).await;
    assert_eq!(everything(&machine.store().view()), source);
    drop(machine);

    let (_, machine) = member(there.path());
    assert_eq!(everything(&machine.store().view()), source);
    assert!(!there.path().join("state-1").exists(), "the state that is not in force is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_in_force_any_more_goes_with_the_last_who_reads_it() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = filled(here.path(), 40).await;
    let (states, mut machine) = member(there.path());
    let cluster = index.cluster().id.clone();
    let received = || receive(&index.write_snapshot(Vec::new()).unwrap().0[..], &cluster, &states).unwrap();
    install(&mut machine, received()).await;
    assert!(!there.path().join("state-1").exists(), "nobody reads it");

    let view = machine.store().view();
    let before = everything(&view);
    for number in 40..50 {
        index.submit(None, image(number).0).await.unwrap();
    }
    install(&mut machine, received()).await;
    assert!(there.path().join("state-2").exists());
    assert_eq!(everything(&view), before);
    drop(view);
    assert!(!there.path().join("state-2").exists());
    assert_eq!(everything(&machine.store().view()), everything(&index.view()));
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_goes_on_beside_a_snapshot_which_stays_what_it_was() {
    let here = tempfile::tempdir().unwrap();
    let index = filled(here.path(), 20).await;
    let view = index.view();
    let before = everything(&view);
    for number in 20..40 {
        index.submit(None, image(number).0).await.unwrap();
    }
    let (bytes, totals) = send(&view, "c", Vec::new()).unwrap();
    assert_eq!(totals.records as usize, before.len());
    let mut decoder = Decoder::new(&bytes[..]).unwrap();
    let mut read = Vec::new();
    while let Some(records) = decoder.records().unwrap() {
        read.extend(records.into_iter().map(|(table, key, value)| (table, key.to_vec(), value)));
    }
    assert_eq!(read, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_cuts_an_installation_short_one_whole_state_is_left() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = filled(here.path(), 20).await;
    let (bytes, _) = index.write_snapshot(Vec::new()).unwrap();
    let cluster = index.cluster().id.clone();
    let source = everything(&index.view());

    // The sender went away in the middle.
    let (states, machine) = member(there.path());
    let error = receive(&bytes[..bytes.len() / 2], &cluster, &states).unwrap_err();
    assert!(matches!(error, TransferError::Snapshot(SnapshotError::Truncated)), "{error}");
    // All was received, and then the process died before it was put in force.
    drop(receive(&bytes[..], &cluster, &states).unwrap());
    drop(machine);
    let (states, machine) = member(there.path());
    assert!(everything(&machine.store().view()).is_empty());
    assert!(!there.path().join("state-2").exists());
    // It died while the name was written.
    fs::write(there.path().join("CURRENT.new"), "state-7").unwrap();
    drop((states, machine));
    let (states, mut machine) = member(there.path());
    assert!(everything(&machine.store().view()).is_empty());
    // Nothing of this keeps the next try from success.
    let store = receive(&bytes[..], &cluster, &states).unwrap();
    install(&mut machine, store).await;
    assert_eq!(everything(&machine.store().view()), source);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_another_cluster_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = filled(here.path(), 1).await;
    let (bytes, _) = index.write_snapshot(Vec::new()).unwrap();
    let (states, _machine) = member(there.path());
    let error = receive(&bytes[..], "another", &states).unwrap_err();
    assert!(matches!(error, TransferError::OtherCluster { .. }), "{error}");
    assert_eq!(verify(&bytes[..]).unwrap().0.cluster, index.cluster().id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_has_a_snapshot_and_no_log_goes_on_from_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let index = filled(here.path(), 20).await;
    let (bytes, _) = index.write_snapshot(Vec::new()).unwrap();
    fs::copy(here.path().join("identity.json"), there.path().join("identity.json")).unwrap();
    let (states, mut machine) = member(there.path());
    let store = receive(&bytes[..], &index.cluster().id, &states).unwrap();
    install(&mut machine, store).await;
    drop(machine);

    let index = open(there.path()).await;
    assert_eq!(tag(&index, 19).await, Some(image(19).1));
    index.submit(None, image(20).0).await.unwrap();
    drop(index);
    let index = open(there.path()).await;
    assert_eq!(index.query(GetStatus).await.unwrap().counts.tags, 21);
}
