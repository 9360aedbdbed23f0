//! The clock of the index: what the leader stamps into entries. Never goes back, and goes on by the monotonic clock of
//! the machine, so that a change of its wall clock moves nothing while it leads.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::command::Time;

/// A wall clock that leads or lags by more than this is not what we count by.
const STEP: u64 = 10 * 60_000;

/// Stamps entries, starting from the later of the last entry's time and the wall clock.
#[derive(Debug)]
pub struct Clock {
    base: Time,
    began: Instant,
    stepped: Mutex<bool>,
}

impl Clock {
    /// A clock that goes on from `last`, the time of the newest entry, or from the wall clock set `ahead` by so many
    /// milliseconds.
    pub fn after(last: Time, ahead: u64) -> Self {
        Self { base: last.max(wall().after(ahead)), began: Instant::now(), stepped: Mutex::new(false) }
    }

    /// The index time now.
    pub fn now(&self) -> Time {
        let now = self.base.after(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let stepped = wall().0.abs_diff(now.0) > STEP;
        let mut before = self.stepped.lock().unwrap_or_else(PoisonError::into_inner);
        if stepped && !*before {
            tracing::warn!(
                index = now.0,
                wall = wall().0,
                "the machine's clock was set: the index keeps its own time until it is restarted"
            );
        }
        *before = stepped;
        now
    }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
