//! Slows down those who guess: each wrong secret makes the next answer to the same source about the same account wait
//! longer, and a source may try only so many that need work. Nobody is locked out: whoever knows the secret gets in.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;

/// Wrong secrets that cost nothing, what the next one costs, and the most that one costs; each doubles.
const FREE: u32 = 3;
const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(8);
/// How long a wrong secret is remembered, and of how many pairs of source and account.
const REMEMBERED: Duration = Duration::from_mins(15);
const PAIRS: u64 = 100_000;
/// Tries of one source that need work: so many at once, and so many a second.
const BURST: f64 = 50.0;
const RATE: f64 = 10.0;

/// What is known of those who tried.
#[derive(Debug)]
pub struct Throttle {
    wrong: Cache<(IpAddr, String), Arc<AtomicU32>>,
    sources: Cache<IpAddr, Arc<std::sync::Mutex<Bucket>>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Throttle {
    fn default() -> Self {
        let remembered = |most| Cache::builder().max_capacity(most).time_to_idle(REMEMBERED);
        Self {
            wrong: remembered(PAIRS).build(),
            sources: Cache::builder().max_capacity(PAIRS).time_to_idle(REMEMBERED).build(),
        }
    }
}

/// The network that an address belongs to: whoever has one address of version 6 has 2⁶⁴.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            if let Some(address) = address.to_ipv4_mapped() {
                return IpAddr::V4(address);
            }
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A directory takes capital letters and more spaces for the same name, so each spelling of one is not a name of its own here either.
fn pair(from: IpAddr, account: &str) -> (IpAddr, String) {
    // No account has a longer name.
    let account: String = account.chars().take(255).collect();
    let account = account.split_whitespace().collect::<Vec<_>>().join(" ");
    (source(from), account.to_lowercase())
}

impl Throttle {
    /// How long a try about `account` must wait.
    pub fn delay(&self, from: IpAddr, account: &str) -> Duration {
        let wrong = self.wrong.get(&pair(from, account));
        let wrong = wrong.map_or(0, |wrong| wrong.load(Ordering::Relaxed));
        match wrong.checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => FIRST.saturating_mul(1 << more.min(10)).min(MOST),
        }
    }

    pub fn was_wrong(&self, from: IpAddr, account: &str) {
        let wrong = self.wrong.get_with(pair(from, account), Arc::default);
        wrong.fetch_add(1, Ordering::Relaxed);
    }

    /// It was no guess.
    pub fn was_right(&self, from: IpAddr, account: &str) {
        self.give_back(from);
        self.wrong.invalidate(&pair(from, account));
    }

    /// Whether a source may try once more now.
    pub fn may_try(&self, from: IpAddr) -> bool {
        let full = || Arc::new(std::sync::Mutex::new(Bucket { left: BURST, at: Instant::now() }));
        let bucket = self.sources.get_with(source(from), full);
        let mut bucket = bucket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        bucket.left = (bucket.left + now.duration_since(bucket.at).as_secs_f64() * RATE).min(BURST);
        bucket.at = now;
        if bucket.left < 1.0 {
            return false;
        }
        bucket.left -= 1.0;
        true
    }

    /// What was tried was no guess.
    pub fn give_back(&self, from: IpAddr) {
        if let Some(bucket) = self.sources.get(&source(from)) {
            let mut bucket = bucket.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            bucket.left = (bucket.left + 1.0).min(BURST);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_secret_makes_the_next_wait_longer_and_a_right_one_ends_that() {
        let throttle = Throttle::default();
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        let delays: Vec<_> = (0..12)
            .map(|_| {
                let delay = throttle.delay(here, "alice");
                throttle.was_wrong(here, "alice");
                delay
            })
            .collect();
        assert!(delays[..3].iter().all(Duration::is_zero));
        assert!(delays[3..].windows(2).all(|pair| pair[0] < pair[1] || pair[1] == MOST));
        assert_eq!(delays.last(), Some(&MOST));
        assert!(throttle.delay("192.0.2.2".parse().unwrap(), "alice").is_zero(), "others are not held up by it");
        assert!(throttle.delay(here, "bob").is_zero());
        assert_eq!(throttle.delay(here, " ALICE"), MOST, "however the name is spelled");
        throttle.was_right(here, "alice");
        assert!(throttle.delay(here, "alice").is_zero());
    }

    #[test]
    fn a_source_may_try_only_so_often_and_one_network_is_one_source() {
        let throttle = Throttle::default();
        let tries = (0..200).filter(|n| throttle.may_try(format!("2001:db8::{n:x}").parse().unwrap())).count();
        assert!((50..60).contains(&tries), "{tries}");
        let here = "2001:db8::1".parse().unwrap();
        assert!(!throttle.may_try(here));
        throttle.give_back(here);
        assert!(throttle.may_try(here) && !throttle.may_try(here), "what was no guess counts for nothing");
        assert!(throttle.may_try("2001:db8:0:1::1".parse().unwrap()));
        assert_eq!(source("::ffff:192.0.2.1".parse().unwrap()), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
