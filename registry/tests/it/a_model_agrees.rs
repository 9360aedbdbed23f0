//! Random streams of requests, sent to the real registry and to a model of plain maps: statuses, codes, bodies and lists
//! must agree after every one.

mod model;
mod stream;

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::support::Registry;
use model::Model;
use stream::{Operation, operations};

/// Streams tried.
fn cases() -> u32 {
    if std::env::var_os("TORTURE").is_some_and(|value| value == "1") { 3000 } else { 100 }
}

#[test]
fn the_registry_and_the_model_answer_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let registry = runtime.block_on(Registry::start());
    let number = AtomicU64::new(0);
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let result = runner.run(&operations(), |operations| {
        // Each stream has repositories of its own, so that one registry serves them all.
        let world = format!("world{:08}", number.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(agree(&registry, &world, &operations)).map_err(TestCaseError::fail)
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

async fn agree(registry: &Registry, world: &str, operations: &[Operation]) -> Result<(), String> {
    let mut model = Model::default();
    for (step, operation) in operations.iter().enumerate() {
        let actual = operation.ask(registry, world, &model).await;
        let expected = operation.expect(&mut model);
        if actual != expected {
            return Err(format!("step {step}, {operation:?}:\n  registry {actual:?}\n  model    {expected:?}"));
        }
    }
    Ok(())
}
