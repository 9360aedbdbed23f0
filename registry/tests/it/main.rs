//! The registry from outside, over HTTP: modules named by the rules they test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anonymous_access_has_levels;
mod pull_what_was_pushed;
mod support;
mod the_process_obeys;
