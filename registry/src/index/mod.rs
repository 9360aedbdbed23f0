//! The index: our replicated metadata. Tags, manifests, links, uploads and what is to be reclaimed live here.
//!
//! The way in is [`Index`]: it submits a [`command::Command`] and answers a [`query`]. Behind it a command becomes an
//! entry of the log ([`raft`]), and [`state`] applies it: deterministic, without clock, randomness or network.
//! Nothing outside this folder may know how the state is kept, and nothing outside [`raft`] may name openraft.

pub mod access;
pub mod agreement;
pub mod answer;
pub mod archive;
pub mod client;
pub mod clock;
pub mod command;
pub mod crash;
pub mod durable;
mod held;
mod journal;
pub mod level;
pub mod local;
pub mod metrics;
#[cfg(feature = "mutants")]
mod mutants;
pub mod peers;
pub mod query;
pub mod raft;
mod raise;
pub mod rebuild;
mod refusal;
pub mod remote;
pub mod snapshot;
pub mod space;
pub mod state;
#[cfg(test)]
mod tests;
mod threads;
mod unsynced;
mod weight;

use client::unavailable;
pub use client::{Answer, Index, IndexError, IndexOptions, OpenError};
