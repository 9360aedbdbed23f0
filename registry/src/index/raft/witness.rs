//! Whether a volume was put back to an older copy: what a node says of its volume is compared with what others have seen
//! it acknowledge. Such a node has forgotten votes and entries that others count on, so it must not take part: it is
//! refused, and made again under a new id.
//!
//! Each start counts up the volume's `generation.json` before anything else, so a copy that was taken before a start can be
//! told from the original although both hold the same log.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::types::{NodeId, Position};
use crate::index::durable;

const FILE: &str = "generation.json";

/// Which start of a volume this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// How often it was started.
    pub number: u64,
    /// A random number of this start: two copies of one volume come to the same `number`.
    pub start: u64,
}

/// Counts a start of the volume in `directory`, and makes it durable before it returns.
pub fn begin(directory: &Path, start: u64) -> io::Result<Generation> {
    let file = directory.join(FILE);
    let before: Generation = match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Generation::default(),
        Err(error) => return Err(error),
    };
    let generation = Generation { number: before.number + 1, start };
    durable::write(&file, &serde_json::to_vec(&generation)?)?;
    Ok(generation)
}

/// What a node says of its volume, and what others have seen of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub generation: Generation,
    /// The term of its vote.
    pub term: u64,
    /// As an offer: the last entry of its log. As seen: the last *committed* entry that it acknowledged, since an entry that
    /// is not may be replaced.
    pub end: Option<Position>,
}

/// What an offer says, beside what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Fine,
    RolledBack(Proof),
}

/// How it is known that a volume is an older copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Proof {
    #[error("its node was started {seen} times before, and this volume knows of {offered}")]
    Generation { seen: u64, offered: u64 },
    #[error("two copies of it were started for the {number}th time")]
    Copied { number: u64 },
    #[error("its node voted in term {seen}, and this volume knows of term {offered}")]
    Vote { seen: u64, offered: u64 },
    #[error("its node acknowledged entry {seen} of term {seen_term}, and the log of this volume ends at {offered}")]
    Entries { seen: u64, seen_term: u64, offered: u64 },
}

/// Compares what a node offers with what was seen of it. Pure.
pub fn judge(seen: &Acknowledged, offered: &Acknowledged) -> Judgement {
    let (was, is) = (seen.generation, offered.generation);
    if is.number < was.number {
        return Judgement::RolledBack(Proof::Generation { seen: was.number, offered: is.number });
    }
    if is.number == was.number && is.start != was.start && was.number > 0 {
        return Judgement::RolledBack(Proof::Copied { number: is.number });
    }
    if offered.term < seen.term {
        return Judgement::RolledBack(Proof::Vote { seen: seen.term, offered: offered.term });
    }
    let place = |end: Option<Position>| end.map(|position| position.place());
    if let Some(end) = seen.end
        && place(offered.end) < place(seen.end)
    {
        let offered = offered.end.map_or(0, |position| position.index);
        return Judgement::RolledBack(Proof::Entries { seen: end.index, seen_term: end.term, offered });
    }
    Judgement::Fine
}

/// How much of a log that ends at `end` is certainly committed, when `committed` is; `at` tells which leader wrote an entry of
/// this node's log. The end may be what a leader wrote that was deposed: it led before the one of what is committed, in an
/// earlier term or in the same, and yet what it wrote will be replaced. Pure.
pub fn certain(end: Position, committed: Position, at: impl Fn(u64) -> Option<(u64, NodeId)>) -> Option<Position> {
    match end.leader().cmp(&committed.leader()) {
        // Written by one leader, one after the other.
        Ordering::Equal => Some(if end.index <= committed.index { end } else { committed }),
        // A later leader has all that is committed.
        Ordering::Greater => (end.index > committed.index).then_some(committed),
        Ordering::Less => (end.index <= committed.index && at(end.index) == Some(end.leader())).then_some(end),
    }
}

/// What this node has seen others acknowledge.
#[derive(Debug, Default)]
pub struct Witness {
    seen: Mutex<BTreeMap<NodeId, Acknowledged>>,
}

impl Witness {
    /// Judges what a node offers; when it is fine, it is remembered. Of its log only what is committed counts as
    /// acknowledged: see [`certain`].
    pub fn judge(&self, node: NodeId, offered: &Acknowledged, certain: Option<Position>) -> Judgement {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(node).or_default();
        let judgement = judge(seen, offered);
        if judgement == Judgement::Fine {
            let place = |end: &Option<Position>| end.map(|position| position.place());
            let end = [certain, seen.end].into_iter().max_by_key(place).flatten();
            *seen = Acknowledged { end, ..*offered };
        }
        judgement
    }

    /// It is known otherwise that a node acknowledged this committed entry.
    pub fn saw(&self, node: NodeId, end: Position) {
        let place = |end: &Option<Position>| end.map(|position| position.place());
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(node).or_default();
        seen.end = [Some(end), seen.end].into_iter().max_by_key(place).flatten();
    }

    /// All that was seen.
    pub fn seen(&self) -> Vec<(NodeId, Acknowledged)> {
        let all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(node, seen)| (*node, *seen)).collect()
    }

    /// Forgets a node that is no member any more.
    pub fn forget(&self, node: NodeId) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&node);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::unnecessary_wraps)]
mod tests {
    use super::*;

    fn at(term: u64, index: u64) -> Option<Position> {
        Some(Position { term, node: 1, index })
    }

    fn of(number: u64, start: u64, term: u64, end: Option<Position>) -> Acknowledged {
        Acknowledged { generation: Generation { number, start }, term, end }
    }

    #[test]
    fn a_volume_that_goes_on_is_fine() {
        let seen = of(3, 30, 5, at(5, 100));
        for offered in [seen, of(3, 30, 6, at(5, 100)), of(4, 40, 5, at(5, 120)), of(9, 90, 7, at(6, 90))] {
            assert_eq!(judge(&seen, &offered), Judgement::Fine, "{offered:?}");
        }
        assert_eq!(judge(&Acknowledged::default(), &of(1, 1, 0, None)), Judgement::Fine);
    }

    #[test]
    fn a_copy_that_was_put_back_is_known_by_what_it_forgot() {
        let seen = of(3, 30, 5, at(5, 100));
        let proof = |offered| match judge(&seen, &offered) {
            Judgement::RolledBack(proof) => proof,
            Judgement::Fine => panic!("{offered:?} is fine"),
        };
        assert_eq!(proof(of(2, 20, 5, at(5, 100))), Proof::Generation { seen: 3, offered: 2 });
        assert_eq!(proof(of(3, 31, 5, at(5, 100))), Proof::Copied { number: 3 });
        assert_eq!(proof(of(4, 40, 4, at(5, 100))), Proof::Vote { seen: 5, offered: 4 });
        assert_eq!(proof(of(4, 40, 5, at(5, 99))), Proof::Entries { seen: 100, seen_term: 5, offered: 99 });
        assert_eq!(proof(of(4, 40, 5, None)), Proof::Entries { seen: 100, seen_term: 5, offered: 0 });
    }

    #[test]
    fn what_is_not_committed_may_be_replaced() {
        let witness = Witness::default();
        let judge = |offered: Acknowledged, committed: Option<Position>| {
            let certain = offered.end.zip(committed).and_then(|(end, committed)| certain(end, committed, |_| None));
            witness.judge(7, &offered, certain)
        };
        assert_eq!(judge(of(1, 1, 2, at(2, 50)), at(2, 40)), Judgement::Fine);
        assert_eq!(judge(of(2, 2, 3, at(2, 45)), at(2, 40)), Judgement::Fine);
        assert!(matches!(judge(of(3, 3, 3, at(2, 39)), at(2, 40)), Judgement::RolledBack(_)));
        assert_eq!(judge(of(3, 3, 4, at(4, 41)), at(4, 41)), Judgement::Fine);
        assert!(matches!(judge(of(4, 4, 4, at(2, 45)), at(4, 41)), Judgement::RolledBack(_)));
        witness.forget(7);
        assert_eq!(judge(of(1, 9, 1, None), at(4, 41)), Judgement::Fine);
    }

    #[test]
    fn what_a_deposed_leader_wrote_alone_was_not_acknowledged() {
        let of = |term, index| Position { term, node: 1, index };
        let committed = of(5, 100);
        // Entries up to 50 are of term 3, the others of term 5.
        let at = |index| Some((if index <= 50 { 3 } else { 5 }, 1));
        let certain = |end| certain(end, committed, at);
        assert_eq!(certain(of(3, 50)), Some(of(3, 50)));
        assert_eq!(certain(of(3, 51)), None);
        assert_eq!(certain(of(4, 60)), None);
        assert_eq!(certain(of(4, 400)), None);
        assert_eq!(certain(of(5, 70)), Some(of(5, 70)));
        assert_eq!(certain(of(5, 170)), Some(committed));
        assert_eq!(certain(of(6, 101)), Some(committed));
        assert_eq!(super::certain(of(3, 50), committed, |_| None), None, "the log was cut there");
        // In term 5 node 1 led in vain, and then node 3.
        let (alone, led) = (of(5, 101), Position { node: 3, ..of(5, 120) });
        let at = |_| Some((5, 3));
        assert_eq!(super::certain(alone, led, at), None);
        assert_eq!(
            super::certain(Position { node: 3, ..of(5, 101) }, led, at),
            Some(Position { node: 3, ..of(5, 101) })
        );
        assert_eq!(super::certain(Position { node: 4, ..of(5, 130) }, led, at), Some(led));
    }

    #[test]
    fn each_start_is_counted_before_it_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        for number in 1..=3 {
            assert_eq!(begin(directory.path(), number * 10).unwrap(), Generation { number, start: number * 10 });
        }
    }
}
