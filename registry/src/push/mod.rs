//! The path of a push: from the body of a request to bytes in the store and an entry in the index.
//!
//! Handlers in `http` call it. One pass is made over each byte: it is hashed, summed and stored as it comes in. What
//! a push may do is decided in the index; nothing here is acknowledged before the entry is applied.

pub mod hash;
pub mod key;
pub mod receive;
pub mod upload_id;
