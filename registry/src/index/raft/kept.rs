//! How far the log may be cut: not beyond a state that is on its way to a member. What comes after it is what that member
//! needs next, and a log that is cut faster than a state arrives would have the member receive one after the other for
//! ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::types::NodeId;

/// How long the log is kept for a member that does not come any nearer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The states that are on their way, or arrived a moment ago. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    held: Arc<Mutex<BTreeMap<NodeId, Held>>>,
}

/// What a member has, as far as is known, and since when it is so; none: a state is on its way to it.
#[derive(Clone, Copy, Debug)]
struct Held {
    position: u64,
    since: Option<Instant>,
}

/// A state on its way; it has arrived, or failed to, when this is dropped.
#[derive(Debug)]
pub struct Sending {
    kept: Kept,
    target: NodeId,
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Some(held) = self.kept.lock().get_mut(&self.target) {
            held.since = Some(Instant::now());
        }
    }
}

impl Kept {
    /// Keeps what comes after `position` for a member, to which a state is sent that ends there.
    pub fn sending(&self, target: NodeId, position: u64) -> Sending {
        self.lock().insert(target, Held { position, since: None });
        Sending { kept: self.clone(), target }
    }

    /// The last position up to which the log may be cut; none: anywhere. `matched` is what the members are known to have,
    /// and `near` the position from which on a member needs nothing that would be cut.
    pub fn limit(&self, matched: &[(NodeId, u64)], near: u64) -> Option<u64> {
        let mut held = self.lock();
        for (member, position) in matched {
            if let Some(held) = held.get_mut(member)
                && held.since.is_some()
                && *position > held.position
            {
                *held = Held { position: *position, since: Some(Instant::now()) };
            }
        }
        held.retain(|_, held| held.since.is_none_or(|since| held.position < near && since.elapsed() < PATIENCE));
        held.values().map(|held| held.position).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Held>> {
        // Nothing that holds this lock can panic half-way through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_log_is_kept_for_a_member_that_receives_a_state_until_it_is_near_or_stands_still() {
        let kept = Kept::default();
        assert_eq!(kept.limit(&[(1, 5)], 100), None);

        let one = kept.sending(1, 40);
        let other = kept.sending(2, 60);
        tokio::time::advance(PATIENCE * 9).await;
        assert_eq!(kept.limit(&[(1, 0), (2, 0)], 900), Some(40), "however long it takes");
        drop(one);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(kept.limit(&[(1, 50), (2, 0)], 900), Some(50));
        tokio::time::advance(PATIENCE * 2 / 3).await;
        assert_eq!(kept.limit(&[(1, 70), (2, 0)], 900), Some(60), "it comes nearer");
        assert_eq!(kept.limit(&[(1, 900), (2, 0)], 900), Some(60), "it needs nothing any more");
        drop(other);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(kept.limit(&[(2, 0)], 900), Some(60));
        tokio::time::advance(PATIENCE).await;
        assert_eq!(kept.limit(&[(2, 0)], 900), None, "it stands still");
    }
}
