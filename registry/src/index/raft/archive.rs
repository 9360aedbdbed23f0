//! What the archive reads of a member: committed entries, and where a view stands. It changes nothing.

use super::machine::decode_applied;
use super::node::{Node, NodeError};
use super::types::{Position, StoredEntry};
use crate::index::state::store::View;

/// Entries behind a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Applied entries that follow it; empty when there are none yet.
    Entries(Vec<StoredEntry>),
    /// The log begins later: they were cut off.
    Cut,
}

impl Node {
    /// The term in which this node leads, as far as it knows; none when it does not.
    pub fn term_led(&self) -> Option<u64> {
        let health = self.health();
        (health.stopped.is_none() && health.leader == Some(self.id())).then_some(health.term)
    }

    /// Applied entries, hence committed ones, behind `position`: about `bytes` of them. Blocks on the disk.
    pub fn tail(&self, position: u64, bytes: usize) -> Result<Tail, NodeError> {
        let applied = self.health().applied;
        if applied <= position {
            return Ok(Tail::Entries(Vec::new()));
        }
        let entries = self.log().stored(position + 1..applied + 1, bytes);
        let entries = entries.map_err(|error| NodeError::Stopped(error.to_string()))?;
        Ok(entries.map_or(Tail::Cut, Tail::Entries))
    }

    /// The entry at a position, while the log still holds it. Blocks on the disk.
    pub fn entry(&self, position: u64) -> Result<Option<StoredEntry>, NodeError> {
        let entries = self.log().stored(position..position + 1, 1);
        let entries = entries.map_err(|error| NodeError::Stopped(error.to_string()))?;
        Ok(entries.and_then(|entries| entries.into_iter().next()))
    }
}

/// Where a view stands; none before the first entry.
pub fn position_of(view: &View) -> Result<Option<Position>, NodeError> {
    let stopped = |error: &dyn std::fmt::Display| NodeError::Stopped(error.to_string());
    let applied = view.applied().map_err(|error| stopped(&error))?;
    Ok(decode_applied(applied.as_deref()).map_err(|error| stopped(&error))?.position)
}
