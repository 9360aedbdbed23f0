//! Clients that ask again and again, each as soon as it has its answer, and how long each answer took.
//!
//! All of them run on one thread: the one processor that is left beside the server's.

use std::ops::AsyncFn;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;

use crate::http::Connection;

/// When clients stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    Passed(Duration),
    /// So many have been done by all of them.
    Done(usize),
}

/// How long each of many took, in the order of their ends, and all of them together.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    pub each: Vec<Duration>,
    pub all: Duration,
}

/// Runs `work` on each connection with the number of the task, which counts over all of them.
pub async fn run(
    connections: &mut [Connection],
    until: Until,
    work: impl AsyncFn(&mut Connection, usize) -> Result<()>,
) -> Result<Timings> {
    let began = Instant::now();
    let next = std::cell::Cell::new(0);
    let each = std::cell::RefCell::new(Vec::new());
    let clients = connections.iter_mut().map(async |connection| {
        loop {
            let number = next.get();
            let is_over = match until {
                Until::Passed(time) => began.elapsed() >= time,
                Until::Done(count) => number >= count,
            };
            if is_over {
                return Ok::<_, anyhow::Error>(());
            }
            next.set(number + 1);
            let asked = Instant::now();
            work(connection, number).await?;
            each.borrow_mut().push(asked.elapsed());
        }
    });
    try_join_all(clients).await?;
    Ok(Timings { each: each.into_inner(), all: began.elapsed() })
}

impl Timings {
    pub fn per_second(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }

    /// In microseconds, the answer that this share took no longer than: 0.5 is the median.
    pub fn micros(&self, share: f64) -> f64 {
        micros_of(&self.each, share)
    }
}

/// See [`Timings::micros`].
pub fn micros_of(each: &[Duration], share: f64) -> f64 {
    let mut sorted = each.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_answers_takes_no_longer_than_its_quantile() {
        let each: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        for (share, micros) in [(0.0, 1.0), (0.5, 51.0), (0.99, 100.0), (1.0, 100.0)] {
            assert!((micros_of(&each, share) - micros).abs() < 1e-9, "{share}");
        }
        assert!(micros_of(&[], 0.5).is_nan());
    }
}
