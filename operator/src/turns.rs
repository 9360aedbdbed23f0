//! How many passes one namespace may have at a time: one whose registries do not answer must not keep all others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Of all that run at a time.
const MOST: usize = 8;

/// The passes that run, by their namespaces. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, usize>>>);

/// A pass that runs: it ends when this is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    namespace: String,
}

impl Turns {
    /// Begins a pass, unless the namespace has enough of them.
    pub fn take(&self, namespace: &str) -> Option<Turn> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(namespace.to_owned()).or_default();
        (*count < MOST).then(|| {
            *count += 1;
            Turn { turns: self.clone(), namespace: namespace.to_owned() }
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let turns = Turns::default();
        let mut taken: Vec<Option<Turn>> = (0..MOST).map(|_| turns.take("a")).collect();
        assert!(taken.iter().all(Option::is_some));
        assert!(turns.take("a").is_none());
        assert!(turns.take("b").is_some());
        taken.pop();
        assert!(turns.take("a").is_some(), "one has ended");
        drop(taken);
        assert!(turns.0.lock().is_ok_and(|running| running.is_empty()), "nothing is kept of those that ended");
    }
}
