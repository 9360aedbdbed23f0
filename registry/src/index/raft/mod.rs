//! Consensus: the only code that names openraft. [`node::Node`] is what the rest of the index holds.

pub mod archive;
pub mod frame;
mod log;
pub mod machine;
mod network;
pub mod node;
pub mod states;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod types;
mod upkeep;
mod writer;

pub use node::{Node, NodeError, NodeHealth};
