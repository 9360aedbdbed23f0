//! What a node says of its state: its check sums, and the feature level in force.

use super::machine::decode_applied;
use super::node::Node;
use super::types::Position;
use crate::index::command::{Command, Refusal};
use crate::index::level::{FIRST, LEVEL};
use crate::index::state;
use crate::index::state::records::RecordsError;
use crate::index::state::sums::Mark;

impl Node {
    /// The check sums of the state at the last few positions where members compare; see [`crate::index::state::sums`].
    pub fn sums(&self) -> Vec<Mark> {
        let applied = self.view().applied().ok().flatten();
        decode_applied(applied.as_deref()).map(|applied| applied.sums.marks().to_vec()).unwrap_or_default()
    }

    /// The last entry that is applied here, and so committed.
    pub fn applied(&self) -> Option<Position> {
        let applied = self.view().applied().ok().flatten();
        decode_applied(applied.as_deref()).ok()?.position
    }

    /// The feature level in force.
    pub fn level(&self) -> Result<u32, RecordsError> {
        state::level(&self.view())
    }

    /// Why this node must not propose the command, if so: some member may not know what it needs.
    pub fn forbids(&self, command: &Command) -> Result<Option<Refusal>, RecordsError> {
        if command.reader() > LEVEL {
            return Ok(Some(Refusal::LevelUnknown { level: command.reader(), known: LEVEL }));
        }
        let needed = command.level();
        if needed == FIRST {
            return Ok(None);
        }
        let in_force = self.level()?;
        Ok((needed > in_force).then_some(Refusal::LevelNotInForce { needed, in_force }))
    }
}
