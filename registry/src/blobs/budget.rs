//! The byte budget: how much of all uploads together may be in memory on its way to the store.
//!
//! A writer fills a [`Part`], which takes room for each buffer before it keeps it; the room is free again when the part is
//! stored. Two things could keep everybody waiting, and neither may:
//! - All room is taken by parts that are only half full: one part at a time may grow beyond the budget.
//! - All room is taken by parts of clients that send next to nothing: who waited for long takes the room of a part that
//!   got nothing for as long, and that upload fails.
//!
//! Memory is bounded by the budget and one part.

mod part;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use part::Buffers;
pub use part::{Part, TooSlow};

/// Room is counted in KiB, so that a budget of many GiB fits into a semaphore.
const UNIT: u64 = 1024;

/// How long a part may get nothing while others wait for room.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shared by all writers of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    room: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    /// All room there is, in units.
    all: u32,
    patience: Duration,
    /// The parts being filled, by a number of their own.
    parts: Mutex<BTreeMap<u64, Arc<Mutex<Buffers>>>>,
    numbers: AtomicU64,
}

/// Room that is taken; dropped, it is free again.
#[derive(Debug, Default)]
pub struct Taken {
    permits: Vec<OwnedSemaphorePermit>,
    beyond: bool,
}

impl Budget {
    pub fn new(bytes: u64) -> Self {
        Self::with_patience(bytes, PATIENCE)
    }

    fn with_patience(bytes: u64, patience: Duration) -> Self {
        let all = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3);
        let shared = Shared {
            room: Arc::new(Semaphore::new(all as usize)),
            beyond: Arc::new(Semaphore::new(1)),
            all,
            patience,
            parts: Mutex::default(),
            numbers: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// An empty part.
    pub fn part(&self) -> Part {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        let buffers = Arc::<Mutex<Buffers>>::default();
        self.parts().insert(number, buffers.clone());
        Part::new(self.clone(), number, buffers)
    }

    /// Bytes of room that nobody has taken.
    pub fn free(&self) -> u64 {
        self.shared.room.available_permits() as u64 * UNIT
    }

    /// Waits until there is room for `bytes`, or until this part is the one that may go beyond the budget.
    async fn room(&self, bytes: u64) -> Taken {
        let shared = &self.shared;
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(shared.all).min(shared.all);
        let room = shared.room.clone();
        let beyond = shared.beyond.clone();
        let wait = async {
            let (permit, beyond) = tokio::select! {
                biased;
                permit = room.acquire_many_owned(units) => (permit, false),
                permit = beyond.acquire_owned() => (permit, true),
            };
            Taken { permits: permit.into_iter().collect(), beyond } // the semaphores are never closed
        };
        // The place in the queue is kept from one look at the others to the next.
        tokio::pin!(wait);
        loop {
            match tokio::time::timeout(shared.patience, &mut wait).await {
                Ok(taken) => return taken,
                Err(_) => self.evict(),
            }
        }
    }

    /// Takes the room of the part that got nothing for longest, if that is too long.
    fn evict(&self) {
        let longest = self
            .parts()
            .values()
            .filter_map(|part| Some((part::lock(part).idle()?, part.clone())))
            .max_by_key(|(idle, _)| *idle);
        if let Some((idle, part)) = longest
            && idle >= self.shared.patience
        {
            tracing::debug!(?idle, "an upload is too slow while others wait for room");
            part::lock(&part).evict();
        }
    }

    fn forget(&self, number: u64) {
        self.parts().remove(&number);
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<Mutex<Buffers>>>> {
        self.shared.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
