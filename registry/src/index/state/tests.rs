//! Tests of the state machine, entry by entry.
