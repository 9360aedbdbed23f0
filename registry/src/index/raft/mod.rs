//! Consensus: the only code that names openraft. [`node::Node`] is what the rest of the index holds.

pub mod archive;
pub mod frame;
mod greet;
mod kept;
mod log;
pub mod machine;
pub mod members;
pub mod network;
pub mod node;
mod reads;
pub mod receive;
mod recent;
pub mod refused;
mod report;
pub mod restore;
pub mod states;
mod stream;
#[cfg(test)]
mod tests;
pub mod transfer;
pub mod types;
mod upkeep;
pub mod volume;
pub mod wire;
pub mod witness;
mod writer;

pub use node::{Node, NodeError, NodeHealth, NodeOptions};
