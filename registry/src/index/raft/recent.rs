//! The end of the log in memory, for those who read right behind the writer; and how much of it is on the disk.

use std::collections::BTreeMap;

use openraft::alias::{EntryOf, LogIdOf};

use super::types::{Position, Types};

/// Bytes of durable entries kept in memory.
const RECENT_BYTES: usize = 16 << 20;

/// Entries in memory: those not yet durable, and some behind them.
#[derive(Debug, Default)]
pub struct Recent {
    pub entries: BTreeMap<u64, (EntryOf<Types>, usize)>,
    pub bytes: usize,
    /// The last entry of the log, and the check sum of its frame.
    pub last: Option<LogIdOf<Types>>,
    pub last_sum: u32,
    /// What is committed, as it was said last; what is on disk may be older.
    pub committed: Option<Position>,
}

impl Recent {
    /// Drops durable entries up to `index` as far as there are too many bytes.
    pub fn trim(&mut self, durable: u64) {
        while self.bytes > RECENT_BYTES {
            match self.entries.first_key_value() {
                Some((index, _)) if *index <= durable => self.remove_first(),
                _ => break,
            }
        }
    }

    pub fn remove_first(&mut self) {
        if let Some((_, (_, bytes))) = self.entries.pop_first() {
            self.bytes -= bytes;
        }
    }
}

/// What the disk has for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// The last entry; none since the log was emptied.
    pub end: Option<Position>,
    /// The term of the vote.
    pub term: u64,
}

impl Durable {
    /// Whether the entry at `index` is there.
    pub fn has(&self, index: u64) -> bool {
        self.end.is_some_and(|end| end.index >= index)
    }

    /// Everything up to `position` is in the state for good, whether the log has it or not.
    pub fn reach(&mut self, position: Position) {
        if !self.has(position.index) {
            self.end = Some(position);
        }
    }

    /// What comes after `last` was removed.
    pub fn cut(&mut self, last: Option<Position>) {
        if self.end.map(|end| end.index) > last.map(|last| last.index) {
            self.end = last;
        }
    }
}
