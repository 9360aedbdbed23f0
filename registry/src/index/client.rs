//! [`Index`]: what handlers, the push path and the reclaimer hold. It submits commands and answers queries, and hides
//! whether the index is in this process or behind the network.

use super::command::{Command, Outcome, Refusal, Time};
use super::query::Query;

/// A handle to the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Index {}

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The state machine decided against it: nothing was changed.
    #[error("the index refused {command}: {refusal}")]
    Refused { command: &'static str, refusal: Refusal },
    /// No quorum or no index node in time. A command that was sent may still happen.
    #[error("the index is not available: {reason}")]
    Unavailable { reason: String },
    /// The node has less free space than the floor; deleting still works.
    #[error("the index has no space left for {command}")]
    Full { command: &'static str },
}

impl Index {
    /// Proposes a command and waits until it is applied.
    pub async fn submit(&self, _who: Option<&str>, _command: Command) -> Result<Outcome, IndexError> {
        Err(IndexError::Unavailable { reason: "not started".into() })
    }

    /// Answers a query, from a view that is at least as new as the moment of the call unless the answer is settled.
    pub async fn query<Q: Query>(&self, _query: Q) -> Result<Q::Answer, IndexError> {
        Err(IndexError::Unavailable { reason: "not started".into() })
    }

    /// The newest index time this process has seen. The day of an object key and every expiry count by it.
    pub fn time(&self) -> Time {
        Time(0)
    }
}
