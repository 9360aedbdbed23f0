//! Roadstead: an OCI image registry whose tags are linearizable.

pub mod app;
pub mod blobs;
pub mod config;
pub mod error;
pub mod http;
pub mod index;
pub mod oci;
pub mod push;
pub mod reclaim;
