//! Check sums of the state, by which members see that they hold the same. Pure.
//!
//! The sum is a chain over what entries change: for each entry, in order, every record that it put or removed and then its
//! position go into it (XXH3, each step seeded with the sum before). It does not depend on how entries were batched, and
//! is kept with the state's position ([`Sums`], in `raft::types::Applied`), so a snapshot carries it.
//!
//! **Where a chain begins.** With the first entry of a cluster, and again with every entry that changes the members: that
//! is one position of the log for all. The sum that stood there is kept as a mark, so nothing that differed before is
//! forgotten. A state written before there were sums does not know its own until such an entry comes; the first member
//! that joins brings one, and until then there is nobody to compare with.
//!
//! **Comparing.** Members keep their sums at the last few multiples of [`EVERY`] and at changes of the members. One whose
//! sum at a position differs from what a majority of all voters has there is the odd one out ([`judge`]): its state is
//! wrong, and it must be made again from the others.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::records::Table;

/// Entries between two positions at which members compare. Much less in a build that is to be caught.
pub const EVERY: u64 = if cfg!(any(feature = "mutants", feature = "simulation")) { 100 } else { 10_000 };

/// Marks kept.
const KEPT: usize = 8;

/// A position of the log and the sum of the state there.
pub type Mark = (u64, u64);

/// The sum of a state, and those at earlier positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// None: not known until the members change.
    #[serde(default)]
    now: Option<u64>,
    /// The last few marks, oldest first.
    #[serde(default)]
    marks: Vec<Mark>,
}

impl Sums {
    /// Of a state that nothing was applied to.
    pub const fn beginning() -> Self {
        Self { now: Some(0), marks: Vec::new() }
    }

    /// Whether nothing is known.
    pub const fn is_unknown(&self) -> bool {
        self.now.is_none() && self.marks.is_empty()
    }

    /// Where the chain goes on.
    pub const fn chain(&self) -> Chain {
        Chain(match self.now {
            Some(sum) => sum,
            None => 0,
        })
    }

    /// The entry at `position` was applied, and `chain` has it.
    pub fn applied(&mut self, position: u64, chain: Chain, every: u64) {
        if self.now.is_some() {
            self.now = Some(chain.0);
            if position.is_multiple_of(every) {
                self.mark(position);
            }
        }
    }

    /// The entry at `position`, which was the last one, changed the members: the chain begins again.
    pub fn begin_again(&mut self, position: u64) {
        self.mark(position);
        self.now = Some(0);
    }

    fn mark(&mut self, position: u64) {
        let Some(sum) = self.now else { return };
        if self.marks.last().is_none_or(|(last, _)| *last < position) {
            self.marks.push((position, sum));
            if self.marks.len() > KEPT {
                self.marks.remove(0);
            }
        }
    }

    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }
}

/// The sum as it grows while entries are applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain(u64);

impl Chain {
    /// Adds records in the order in which they were changed.
    pub fn records<'r>(&mut self, changes: impl Iterator<Item = (Table, &'r [u8], Option<&'r Bytes>)>) {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut sum = Xxh3::with_seed(self.0);
        for (table, key, value) in changes {
            sum.update(&[table as u8, u8::from(value.is_some())]);
            sum.update(&(key.len() as u64).to_le_bytes());
            sum.update(key);
            if let Some(value) = value {
                sum.update(&(value.len() as u64).to_le_bytes());
                sum.update(value);
            }
        }
        self.0 = sum.digest();
    }

    /// Ends the entry at `position`.
    pub fn position(&mut self, position: u64) {
        let mut sum = Xxh3::with_seed(self.0);
        sum.update(&position.to_le_bytes());
        self.0 = sum.digest();
    }
}

/// What a member's sums say of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A majority has the same sum at the newest position that it shares with this one.
    Agree,
    /// Too few sums at the same position, or no majority for any.
    Unknown,
    /// A majority of all voters agrees on another sum at a position that this member has too.
    OddOneOut { position: u64, mine: u64, theirs: u64 },
}

/// Compares my marks with those of the other voters, as far as they answered; `voters` counts all of them, with me if I am
/// one.
pub fn judge(mine: &[Mark], others: &[&[Mark]], voters: usize) -> Verdict {
    let mut verdict = Verdict::Unknown;
    for (position, my_sum) in mine.iter().rev() {
        let mut sums: Vec<u64> = others
            .iter()
            .filter_map(|marks| marks.iter().find(|(at, _)| at == position).map(|(_, sum)| *sum))
            .collect();
        sums.sort_unstable();
        let mut theirs = sums.chunk_by(|a, b| a == b);
        if let Some(other) = theirs.find(|same| same[0] != *my_sum && same.len() * 2 > voters) {
            return Verdict::OddOneOut { position: *position, mine: *my_sum, theirs: other[0] };
        }
        let same = 1 + sums.iter().filter(|sum| *sum == my_sum).count();
        if verdict == Verdict::Unknown && same * 2 > voters {
            verdict = Verdict::Agree;
        }
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(entries: u64, every: u64) -> Sums {
        let mut sums = Sums::beginning();
        for position in 1..=entries {
            let mut chain = sums.chain();
            chain.position(position);
            sums.applied(position, chain, every);
        }
        sums
    }

    #[test]
    fn the_last_few_multiples_are_kept() {
        let sums = grown(125, 10);
        let positions: Vec<_> = sums.marks().iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [50, 60, 70, 80, 90, 100, 110, 120]);
        assert_eq!(grown(120, 10).marks().last(), sums.marks().last());
    }

    #[test]
    fn what_was_put_removed_or_moved_to_another_table_makes_another_sum() {
        let value = Bytes::from_static(b"b");
        let sum = |table, key: &'static [u8], value: Option<&Bytes>| {
            let mut chain = Chain::default();
            chain.records([(table, key, value)].into_iter());
            chain
        };
        let all = [
            sum(Table::Tags, b"a", Some(&value)),
            sum(Table::Tags, b"a", None),
            sum(Table::Tags, b"ab", None),
            sum(Table::Tags, b"ab", Some(&Bytes::new())),
            sum(Table::Blobs, b"a", Some(&value)),
            Chain::default(),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
    }

    #[test]
    fn a_state_without_a_sum_knows_it_from_the_next_change_of_members_on() {
        let mut old = Sums::default();
        let mut new = grown(30, 10);
        for sums in [&mut old, &mut new] {
            let mut chain = sums.chain();
            chain.position(31);
            sums.applied(31, chain, 10);
        }
        assert!(old.is_unknown());
        old.begin_again(31);
        new.begin_again(31);
        assert_eq!(old.chain(), new.chain());
        assert_eq!(new.marks().last().map(|(position, _)| *position), Some(31), "nothing before is forgotten");
        assert!(old.marks().is_empty());
    }

    #[test]
    fn only_a_majority_of_all_voters_makes_one_the_odd_one_out() {
        let a: &[Mark] = &[(10, 1), (20, 2)];
        let b: &[Mark] = &[(10, 1), (20, 3)];
        let odd = Verdict::OddOneOut { position: 20, mine: 2, theirs: 3 };
        assert_eq!(judge(a, &[a, a], 3), Verdict::Agree);
        assert_eq!(judge(a, &[a, b], 3), Verdict::Agree);
        assert_eq!(judge(b, &[a, a], 3), Verdict::OddOneOut { position: 20, mine: 3, theirs: 2 });
        assert_eq!(judge(a, &[b, b], 3), odd);
        assert_eq!(judge(a, &[b], 3), Verdict::Agree, "at the position before");
        assert_eq!(judge(a, &[b, b], 5), Verdict::Agree, "two of five are no majority");
        assert_eq!(judge(&a[1..], &[b, b], 5), Verdict::Unknown);
        assert_eq!(judge(&a[1..], &[b, b, b], 5), odd);
        assert_eq!(judge(&[], &[b, b], 3), Verdict::Unknown);
        assert_eq!(judge(a, &[&[(30, 9)], &[(40, 9)]], 3), Verdict::Unknown);
        assert_eq!(judge(a, &[], 1), Verdict::Agree);
    }

    #[test]
    fn one_that_was_wrong_and_is_right_again_is_still_the_odd_one_out() {
        let wrong: &[Mark] = &[(10, 7), (20, 2)];
        let right: &[Mark] = &[(10, 1), (20, 2)];
        assert!(matches!(judge(wrong, &[right, right], 3), Verdict::OddOneOut { position: 10, .. }));
    }
}
