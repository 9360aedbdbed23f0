//! The byte budget: how much of all uploads together may be in memory on its way to the store.
//!
//! A writer takes room for each buffer before it keeps it, and gives it back when the part that holds it is stored. When
//! all room is taken by parts that are only half full, nobody could ever finish one; so one writer at a time may go on
//! beyond the budget until its part is on its way. Memory is bounded by the budget and one part.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room is counted in KiB, so that a budget of many GiB fits into a semaphore.
const UNIT: u64 = 1024;

/// Shared by all writers of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    room: Arc<Semaphore>,
    beyond: Arc<Semaphore>,
    all: u32,
}

/// Room that is taken; dropped, it is free again.
#[derive(Debug, Default)]
pub struct Taken {
    permits: Vec<OwnedSemaphorePermit>,
    beyond: bool,
}

impl Budget {
    pub fn new(bytes: u64) -> Self {
        let all = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX >> 3).clamp(1, u32::MAX >> 3);
        Self { room: Arc::new(Semaphore::new(all as usize)), beyond: Arc::new(Semaphore::new(1)), all }
    }

    /// Takes room for `bytes` more of the part that holds `taken`; waits until there is some.
    pub async fn take(&self, taken: &mut Taken, bytes: u64) {
        if taken.beyond {
            return;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(self.all).min(self.all);
        let within = self.room.clone().acquire_many_owned(units);
        let permit = tokio::select! {
            biased;
            permit = within => permit,
            permit = self.beyond.clone().acquire_owned() => {
                taken.beyond = true;
                permit
            }
        };
        taken.permits.extend(permit); // the semaphores are never closed
    }

    /// Bytes of room that nobody has taken.
    pub fn free(&self) -> u64 {
        self.room.available_permits() as u64 * UNIT
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn room_that_is_given_back_is_free_again() {
        let budget = Budget::new(1 << 20);
        let mut taken = Taken::default();
        budget.take(&mut taken, 1 << 20).await;
        assert_eq!(budget.free(), 0);
        drop(taken);
        assert_eq!(budget.free(), 1 << 20);
    }

    #[tokio::test]
    async fn one_writer_may_go_beyond_and_the_next_waits() {
        let budget = Budget::new(1 << 20);
        let (mut half, mut one, mut two) = (Taken::default(), Taken::default(), Taken::default());
        budget.take(&mut half, 1 << 20).await;
        budget.take(&mut one, 1 << 20).await;
        assert!(one.beyond);
        budget.take(&mut one, 100 << 20).await;
        let waits = tokio::time::timeout(Duration::from_millis(20), budget.take(&mut two, 1)).await;
        assert!(waits.is_err());
        drop(one);
        tokio::time::timeout(Duration::from_secs(5), budget.take(&mut two, 1)).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_writers_with_parts_larger_than_the_budget_all_finish() {
        let budget = Budget::new(4096);
        let writers: Vec<_> = (0..50)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let mut part = Taken::default();
                        for _ in 0..8 {
                            budget.take(&mut part, 1024).await;
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for writer in writers {
            tokio::time::timeout(Duration::from_secs(20), writer).await.unwrap().unwrap();
        }
        assert_eq!(budget.free(), 4096);
    }
}
