//! The clock of the index: what the leader stamps into entries. Never goes back, and goes on by the monotonic clock of
//! the machine, so that a change of its wall clock moves nothing while it leads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
        let (now, wall) = (time(self.base, self.began.elapsed()), wall());
        let stepped = has_stepped(now, wall);
        let mut before = self.stepped.lock().unwrap_or_else(PoisonError::into_inner);
        if stepped && !*before {
            tracing::warn!(
                index = now.0,
                wall = wall.0,
                "the machine's clock was set: the index keeps its own time until it is restarted"
            );
        }
        *before = stepped;
        now
    }
}

/// The index time when so much has passed since `base` by the monotonic clock. Pure.
fn time(base: Time, elapsed: Duration) -> Time {
    base.after(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Whether the wall clock went another way than the monotonic one. Pure.
fn has_stepped(now: Time, wall: Time) -> bool {
    wall.0.abs_diff(now.0) > STEP
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_clock_goes_on_from_the_last_entry_though_the_wall_clock_is_behind() {
        let ahead = wall().after(365 * 24 * HOUR);
        let clock = Clock::after(ahead, 0);
        let first = clock.now();
        assert!(first >= ahead && clock.now() >= first);
        assert!(first < ahead.after(HOUR));
    }

    #[test]
    fn a_clock_begins_at_the_wall_clock_when_the_last_entry_is_older() {
        let before = wall();
        let now = Clock::after(before.before(HOUR), 0).now();
        assert!(now >= before && now < before.after(HOUR));
    }

    #[test]
    fn time_goes_on_with_the_monotonic_clock_and_a_step_of_the_wall_clock_is_seen_but_not_taken() {
        let base = Time(1_767_225_600_000);
        let now = time(base, Duration::from_millis(1500));
        assert_eq!(now, base.after(1500));
        assert!(!has_stepped(now, now.after(STEP)));
        assert!(has_stepped(now, now.after(STEP + 1)));
        assert!(has_stepped(now, now.before(24 * HOUR)));
    }
}
