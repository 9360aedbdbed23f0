//! How many passes one namespace may have at a time: one whose registries do not answer must not keep all others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Of all that run at a time. What each of them reads is held in memory.
const MOST: usize = 4;

/// The passes that run, by their namespaces. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shares(Arc<Mutex<HashMap<String, usize>>>);

/// A pass that runs: it ends when this is dropped.
#[derive(Debug)]
pub struct Share {
    shares: Shares,
    namespace: String,
}

impl Shares {
    /// Begins a pass, unless the namespace has enough of them.
    pub fn take(&self, namespace: &str) -> Option<Share> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(namespace.to_owned()).or_default();
        (*count < MOST).then(|| {
            *count += 1;
            Share { shares: self.clone(), namespace: namespace.to_owned() }
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut running = self.shares.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = running.get(&self.namespace).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            running.remove(&self.namespace);
        } else {
            running.insert(self.namespace.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_does_not_take_the_turns_of_others() {
        let shares = Shares::default();
        let mut taken: Vec<Option<Share>> = (0..MOST).map(|_| shares.take("a")).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(shares.take("a").is_none());
        assert!(shares.take("b").is_some());
        taken.pop();
        assert!(shares.take("a").is_some(), "one has ended");
        drop(taken);
        assert!(shares.0.lock().is_ok_and(|running| running.is_empty()), "nothing is kept of those that ended");
    }
}
