//! The archive of a real index in a real directory.

#![allow(clippy::unwrap_used, clippy::expect_used)]
