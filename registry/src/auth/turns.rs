//! Takes turns where few may work at once and many may want to: whoever asks for much waits for his own, and keeps nobody
//! else waiting longer than one turn of each.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Turns for so many at once; who waits is told apart by `K`.
pub struct Turns<K> {
    state: Mutex<State<K>>,
    /// How many of one `K` may wait, and of all.
    most_of_one: usize,
    most: usize,
}

struct State<K> {
    free: usize,
    /// Who waits, in the order of their next turns, each once.
    order: VecDeque<K>,
    queues: HashMap<K, VecDeque<oneshot::Sender<()>>>,
    waiting: usize,
}

/// Too many wait already: of one, or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A turn, which ends with this.
#[derive(Debug)]
#[must_use = "the turn ends with it"]
pub struct Turn<'a, K: Eq + Hash + Clone> {
    turns: &'a Turns<K>,
}

/// A place in the queue. Who leaves it, leaves the turn that he may have been given to the next.
struct Place<'a, K: Eq + Hash + Clone> {
    turns: &'a Turns<K>,
    given: oneshot::Receiver<()>,
}

impl<K> fmt::Debug for Turns<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("most_of_one", &self.most_of_one).finish_non_exhaustive()
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    pub fn new(at_once: usize, most_of_one: usize, most: usize) -> Self {
        let state = State { free: at_once, order: VecDeque::new(), queues: HashMap::new(), waiting: 0 };
        Self { state: Mutex::new(state), most_of_one, most }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// [`Full`], at once.
    pub async fn take(&self, who: K) -> Result<Turn<'_, K>, Full> {
        let mut place = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Turn { turns: self });
            }
            let queued = state.queues.get(&who).map_or(0, VecDeque::len);
            if queued >= self.most_of_one || state.waiting >= self.most {
                return Err(Full);
            }
            let (give, given) = oneshot::channel();
            if queued == 0 {
                state.order.push_back(who.clone());
            }
            state.queues.entry(who).or_default().push_back(give);
            state.waiting += 1;
            Place { turns: self, given }
        };
        // No sender is dropped unused while this waits.
        (&mut place.given).await.map_err(|_| Full)?;
        Ok(Turn { turns: self })
    }

    /// Gives a turn that has ended to the next who still waits.
    fn pass_on(&self) {
        let mut state = self.lock();
        while let Some(who) = state.order.pop_front() {
            let Some(queue) = state.queues.get_mut(&who) else { continue };
            let give = queue.pop_front();
            if queue.is_empty() {
                state.queues.remove(&who);
            } else {
                state.order.push_back(who);
            }
            state.waiting -= 1;
            if give.is_some_and(|give| give.send(()).is_ok()) {
                return;
            }
        }
        state.free += 1;
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        self.turns.pass_on();
    }
}

impl<K: Eq + Hash + Clone> Drop for Place<'_, K> {
    fn drop(&mut self) {
        self.given.close();
        // It was given just before, and never taken.
        if self.given.try_recv().is_ok() {
            self.turns.pass_on();
        }
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a future says now.
    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_asks_for_much_keeps_nobody_else_waiting() {
        let turns = Turns::new(1, 2, 10);
        let mut running = pin!(turns.take("many"));
        let Poll::Ready(Ok(running)) = poll(running.as_mut()) else { panic!("nobody works yet") };
        let (mut first, mut second, mut third) =
            (pin!(turns.take("many")), pin!(turns.take("many")), pin!(turns.take("many")));
        let mut other = pin!(turns.take("other"));
        assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
        assert!(matches!(poll(third.as_mut()), Poll::Ready(Err(Full))), "two of one may wait");
        assert!(poll(other.as_mut()).is_pending());
        drop(running);
        let Poll::Ready(Ok(running)) = poll(first.as_mut()) else { panic!("he was there first") };
        drop(running);
        assert!(poll(second.as_mut()).is_pending(), "it is the other's turn");
        let Poll::Ready(Ok(running)) = poll(other.as_mut()) else { panic!("it is his turn") };
        drop(running);
        assert!(poll(second.as_mut()).is_ready());
    }

    #[test]
    fn a_turn_is_never_lost_with_one_who_leaves() {
        let turns = Turns::new(1, 10, 3);
        let mut running = pin!(turns.take(1));
        let Poll::Ready(Ok(turn)) = poll(running.as_mut()) else { panic!("nobody works yet") };
        let mut stays = pin!(turns.take(4));
        {
            let (mut given, mut waits) = (pin!(turns.take(2)), pin!(turns.take(3)));
            assert!(poll(given.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
            assert!(poll(stays.as_mut()).is_pending());
            assert!(matches!(poll(pin!(turns.take(5)).as_mut()), Poll::Ready(Err(Full))), "three may wait in all");
            drop(turn);
            // Both leave: one has been given the turn and has not seen it, one still waited.
        }
        let Poll::Ready(Ok(turn)) = poll(stays.as_mut()) else { panic!("the turn went with who left") };
        drop(turn);
        let state = turns.lock();
        assert_eq!((state.free, state.waiting), (1, 0));
    }
}
