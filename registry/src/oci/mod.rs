//! The pure language of the protocol: digests, names, tags, manifests, ranges and the one parser that turns a
//! request line into an [`action::Action`].
//!
//! Everything here is a function of its arguments: no clock, no randomness, no IO. Every other module speaks in
//! these types, so a string from a client is checked exactly once, here.

pub mod action;
pub mod byte_range;
pub mod content_range;
pub mod digest;
pub mod manifest;
pub mod name;
pub mod reference;
