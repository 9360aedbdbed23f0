//! What the tests stand on: a server to start and to hurt, and a client that speaks the API.

pub mod client;
pub mod image;
pub mod server;

use std::time::{Duration, Instant};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold in time.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    within(PATIENCE, what, condition);
}

/// Waits at most `time` until `condition` holds.
///
/// # Panics
/// When it does not hold in time.
#[track_caller]
pub fn within(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
