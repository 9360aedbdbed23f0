//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds; fails the test when it does not in time.
pub async fn eventually(what: &str, condition: impl AsyncFnMut() -> bool) {
    within(PATIENCE, what, condition).await;
}

/// Waits at most `time` until `condition` holds.
pub async fn within(time: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {time:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
