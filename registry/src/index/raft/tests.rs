//! The log and the state machine against openraft's own suite for stores.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::log::Log;
use super::machine::Machine;
use super::states::States;
use super::types::Types;
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
