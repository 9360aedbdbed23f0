//! Consensus: the only code that names openraft. [`node::Node`] is what the rest of the index holds.

pub mod frame;
mod log;
mod machine;
mod network;
pub mod node;
mod states;
pub mod types;
mod writer;

pub use node::{Node, NodeError};
