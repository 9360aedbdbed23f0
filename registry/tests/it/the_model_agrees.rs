//! Random operations, one after the other, on the real registry and on a model of plain maps: every status, code, body
//! and list must be the same. What differs is shrunk to the shortest sequence that shows it.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

mod model;
mod operations;

use model::Model;
use operations::{Operation, World, operation};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError};

use crate::support::Registry;

const CASES: u32 = 32;

fn config() -> Config {
    let set = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config { cases: set.unwrap_or(CASES), max_shrink_iters: 200, failure_persistence: None, ..Config::default() }
}

#[test]
fn the_registry_does_what_the_model_does() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = World::new();
    proptest!(config(), |(operations in prop::collection::vec(operation(), 1..80))| {
        runtime.block_on(agree(&world, &operations))?;
    });
}

async fn agree(world: &World, operations: &[Operation]) -> Result<(), TestCaseError> {
    let registry = Registry::start().await;
    let mut model = Model::default();
    let mut uploads = operations::Uploads::default();
    for (number, operation) in operations.iter().enumerate() {
        let expected = model.apply(world, operation);
        let answer = operations::run(world, &registry, &mut uploads, operation).await;
        prop_assert_eq!(&answer, &expected, "operation {} is {:?}", number, operation);
    }
    // In the end everything is looked at once.
    for operation in operations::all_questions() {
        let expected = model.apply(world, &operation);
        let answer = operations::run(world, &registry, &mut uploads, &operation).await;
        prop_assert_eq!(&answer, &expected, "finally {:?}", operation);
    }
    Ok(())
}
