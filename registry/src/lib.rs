//! Roadstead: an OCI image registry whose tags are linearizable.

pub mod app;
pub mod auth;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod error;
pub mod http;
pub mod index;
pub mod metrics;
pub mod oci;
pub mod push;
pub mod ready;
pub mod reclaim;
pub mod server;
pub mod telemetry;
