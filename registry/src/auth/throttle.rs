//! Slows down those who guess: each wrong secret makes the next answer to the same source about the same account wait
//! longer, and a source may try only so many that need work. After that the tries of one source about one account are taken one
//! after the other, or many at once would wait no longer than one. Nobody is locked out: whoever knows the secret gets in.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Wrong secrets that cost nothing, what the next one costs, and the most that one costs; each doubles.
const FREE: u32 = 3;
const FIRST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(8);
/// How long a wrong secret is remembered, and of how many pairs of source and account.
const REMEMBERED: Duration = Duration::from_mins(15);
const PAIRS: u64 = 100_000;
/// Tries of one pair that wait; more are refused.
const WAITING: usize = 16;
/// Tries of one source that need work: so many at once, and so many a second.
const BURST: f64 = 50.0;
const RATE: f64 = 10.0;

/// What is known of those who tried.
#[derive(Debug)]
pub struct Throttle {
    pairs: Cache<(IpAddr, String), Arc<Pair>>,
    sources: Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

/// A source and an account.
#[derive(Debug)]
struct Pair {
    wrong: AtomicU32,
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

/// A try that others of its pair wait for, until this is dropped.
#[derive(Debug)]
#[must_use = "the next one is let in when it is dropped"]
pub struct Try {
    _held: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

/// Too many tries of one pair wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Default for Pair {
    fn default() -> Self {
        let (places, turn) = (Arc::new(Semaphore::new(WAITING)), Arc::new(Semaphore::new(1)));
        Self { wrong: AtomicU32::new(0), places, turn }
    }
}

impl Pair {
    /// How long the next try must wait.
    fn delay(&self) -> Duration {
        match self.wrong.load(Ordering::Relaxed).checked_sub(FREE) {
            None => Duration::ZERO,
            Some(more) => FIRST.saturating_mul(1 << more.min(10)).min(MOST),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            pairs: Cache::builder().max_capacity(PAIRS).time_to_idle(REMEMBERED).build(),
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
    /// Lets a try about `account` begin, once it has waited for as long as it must.
    ///
    /// # Errors
    /// [`Full`], at once.
    pub async fn begin(&self, from: IpAddr, account: &str) -> Result<Try, Full> {
        let Some(pair) = self.pairs.get(&pair(from, account)).filter(|pair| !pair.delay().is_zero()) else {
            return Ok(Try { _held: None });
        };
        let place = Arc::clone(&pair.places).try_acquire_owned().map_err(|_| Full)?;
        let turn = Arc::clone(&pair.turn).acquire_owned().await.map_err(|_| Full)?;
        // By what is known now: one that went before may have been right.
        let delay = pair.delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        Ok(Try { _held: Some((place, turn)) })
    }

    pub fn was_wrong(&self, from: IpAddr, account: &str) {
        let pair = self.pairs.get_with(pair(from, account), Arc::default);
        pair.wrong.fetch_add(1, Ordering::Relaxed);
    }

    /// It was no guess.
    pub fn was_right(&self, from: IpAddr, account: &str) {
        self.give_back(from);
        if let Some(pair) = self.pairs.remove(&pair(from, account)) {
            // Some may wait who know of it.
            pair.wrong.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a source may try once more now.
    pub fn may_try(&self, from: IpAddr) -> bool {
        let full = || Arc::new(Mutex::new(Bucket { left: BURST, at: Instant::now() }));
        let bucket = self.sources.get_with(source(from), full);
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
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
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.left = (bucket.left + 1.0).min(BURST);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    impl Throttle {
        fn delay(&self, from: IpAddr, account: &str) -> Duration {
            self.pairs.get(&pair(from, account)).map_or(Duration::ZERO, |pair| pair.delay())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tries_at_the_same_time_wait_for_one_another_once_some_were_wrong() {
        let throttle = Arc::new(Throttle::default());
        let here: IpAddr = "192.0.2.1".parse().unwrap();
        (0..FREE).for_each(|_| throttle.was_wrong(here, "alice"));
        let first = throttle.begin(here, "alice").await.unwrap();
        let waiting: Vec<_> = (0..WAITING + 5)
            .map(|_| {
                let throttle = Arc::clone(&throttle);
                tokio::spawn(async move { throttle.begin(here, "alice").await.map(drop) })
            })
            .collect();
        let mut refused = 0;
        let mut later = Vec::new();
        for task in waiting {
            // Who is refused is told at once; the others wait for the first.
            tokio::task::yield_now().await;
            if task.is_finished() {
                refused += usize::from(task.await.unwrap() == Err(Full));
            } else {
                later.push(task);
            }
        }
        assert_eq!((refused, later.len()), (6, WAITING - 1));
        // It was right: nobody has to wait any more.
        throttle.was_right(here, "alice");
        drop(first);
        for task in later {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
    }

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
