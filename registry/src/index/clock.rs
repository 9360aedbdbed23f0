//! The clock of the index. Entries are stamped by the leader with a time that never goes back: within a term it follows
//! the monotonic clock of the machine from where the last entry left it, so that a change of its wall clock moves
//! nothing while it leads. A new leader goes on from what it heard of the one before, and takes its own wall clock only
//! when that is near, or when most members' clocks agree with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::command::Time;

/// A wall clock that leads by more than this is not taken on one node's word.
pub const STEP: u64 = 10 * 60_000;

/// The time of the index, as this process knows it.
#[derive(Debug)]
pub struct Clock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    base: Time,
    began: Instant,
    /// The term in which this node began to lead.
    term: u64,
    /// The wall clock is far ahead, and nobody has confirmed it yet.
    doubtful: bool,
    /// The wall clock was seen to go its own way.
    stepped: bool,
}

impl Clock {
    /// A clock that goes on from `last`, the time of the newest entry known.
    pub fn from(last: Time) -> Self {
        let state = State { base: last, began: Instant::now(), term: 0, doubtful: false, stepped: false };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index time now.
    pub fn now(&self) -> Time {
        self.lock().now()
    }

    /// Somebody who knows better says that it is at least so late.
    pub fn note(&self, time: Time) {
        self.lock().advance(time);
    }

    /// The index time for an entry of `term`, in which this node leads: the first time in a term it looks at the wall
    /// clock of the machine. A node that is `alone` has nobody to ask.
    pub fn stamp(&self, term: u64, last: impl FnOnce() -> Time, alone: bool, wall: Time) -> Time {
        let mut state = self.lock();
        if state.term != term {
            state.term = term;
            state.advance(last());
            state.doubtful = !alone && leads_far(state.now(), wall);
            if state.doubtful {
                tracing::warn!(
                    index = state.now().0,
                    wall = wall.0,
                    "this machine's clock is far ahead of the index: expiry waits until most members' clocks agree"
                );
            } else {
                state.advance(wall);
            }
        }
        let now = state.now();
        let stepped = !state.doubtful && wall.0.abs_diff(now.0) > STEP;
        if stepped && !state.stepped {
            tracing::warn!(index = now.0, wall = wall.0, "the machine's clock was set: the index keeps its own time");
        }
        state.stepped = stepped;
        now
    }

    /// Whether expiry and the closing of days must wait.
    pub fn is_doubtful(&self) -> bool {
        self.lock().doubtful
    }

    /// What the clocks of members say, and of how many voters: ends the doubt when most of them agree.
    pub fn settle(&self, walls: &[Time], voters: usize) {
        if let Some(time) = agreed(walls, voters) {
            self.accept(time);
        }
    }

    /// Takes this time, if it is later, and ends the doubt.
    pub fn accept(&self, time: Time) {
        let mut state = self.lock();
        if state.doubtful {
            tracing::info!(index = state.now().0, taken = time.0, "the time of the index is settled");
        }
        state.advance(time);
        state.doubtful = false;
    }
}

impl State {
    fn now(&self) -> Time {
        time(self.base, self.began.elapsed())
    }

    fn advance(&mut self, time: Time) {
        if time > self.now() {
            (self.base, self.began) = (time, Instant::now());
        }
    }
}

/// The index time when so much has passed since `base` by the monotonic clock. Pure.
fn time(base: Time, elapsed: Duration) -> Time {
    base.after(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// Whether a wall clock is so far ahead that it must be confirmed. Pure.
fn leads_far(now: Time, wall: Time) -> bool {
    wall.0 > now.0.saturating_add(STEP)
}

/// The time that more than half of `voters` have, within a step of each other: the middle one of them. Pure.
fn agreed(walls: &[Time], voters: usize) -> Option<Time> {
    let mut walls = walls.to_vec();
    walls.sort_unstable();
    let needed = voters / 2 + 1;
    // Of all groups that agree the latest: time goes on.
    (0..walls.len())
        .filter_map(|first| {
            let group: Vec<_> = walls[first..].iter().take_while(|wall| wall.0 - walls[first].0 <= STEP).collect();
            (group.len() >= needed).then(|| *group[group.len() / 2])
        })
        .next_back()
}

/// Tells what the machine's own clock says.
pub type Wall = Arc<dyn Fn() -> Time + Send + Sync>;

/// The clock of this machine.
pub fn machine() -> Wall {
    Arc::new(wall)
}

/// The clock of this machine, set ahead by so many milliseconds.
pub fn ahead(milliseconds: u64) -> Wall {
    Arc::new(move || wall().after(milliseconds))
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const YEAR: u64 = 365 * 24 * HOUR;

    #[test]
    fn a_clock_goes_on_from_the_last_entry_though_the_wall_clock_is_behind() {
        let ahead = wall().after(YEAR);
        let clock = Clock::from(Time(0));
        let first = clock.stamp(1, || ahead, true, wall());
        assert!(first >= ahead && clock.now() >= first);
        assert!(first < ahead.after(HOUR));
    }

    #[test]
    fn alone_the_wall_clock_is_taken_however_far_it_is_ahead() {
        let before = wall();
        let now = Clock::from(Time(0)).stamp(1, || before.before(YEAR), true, wall());
        assert!(now >= before && now < before.after(HOUR));
    }

    #[test]
    fn a_new_leader_whose_clock_is_a_year_ahead_goes_on_from_the_last_entry_until_most_clocks_agree() {
        let last = wall();
        let clock = Clock::from(Time(0));
        let now = clock.stamp(7, || last, false, wall().after(YEAR));
        assert!(now < last.after(HOUR) && clock.is_doubtful());
        clock.settle(&[last.after(YEAR), last.after(1)], 3);
        assert!(clock.is_doubtful(), "one against one is no majority of three");
        clock.settle(&[last.after(YEAR), last.after(1), last.after(2)], 3);
        assert!(!clock.is_doubtful() && clock.now() < last.after(HOUR));
    }

    #[test]
    fn after_a_day_without_anybody_most_clocks_bring_the_index_forward() {
        let (last, walls) = (Time(wall().0 - 24 * HOUR), [wall(), wall().after(1000)]);
        let clock = Clock::from(last);
        clock.stamp(3, || last, false, wall());
        assert!(clock.is_doubtful());
        clock.settle(&walls, 3);
        assert!(clock.now() >= walls[0] && !clock.is_doubtful());
    }

    #[test]
    fn time_goes_on_with_the_monotonic_clock_and_a_step_of_the_wall_clock_is_not_taken() {
        let base = Time(1_767_225_600_000);
        assert_eq!(time(base, Duration::from_millis(1500)), base.after(1500));
        assert!(!leads_far(base, base.after(STEP)) && leads_far(base, base.after(STEP + 1)));
        assert!(!leads_far(base, base.before(YEAR)), "a clock that is behind is never taken, so it needs no doubt");
    }

    #[test]
    fn only_more_than_half_of_all_voters_agree_on_a_time() {
        let at = |minutes: u64| Time(YEAR + minutes * 60_000);
        assert_eq!(agreed(&[at(0)], 1), Some(at(0)));
        assert_eq!(agreed(&[at(0), at(1)], 5), None);
        assert_eq!(agreed(&[at(0), at(60), at(61), at(62)], 5), Some(at(61)));
        assert_eq!(agreed(&[at(0), at(20), at(40)], 3), None);
    }
}
