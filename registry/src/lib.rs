//! Roadstead: an OCI image registry whose tags are linearizable.
//!
//! # The life of a `docker push`
//!
//! [`server`] takes the connection and keeps it within limits. [`http`] parses the request line into an
//! [`oci::action::Action`], [`auth`] decides on it, and a handler takes the body to [`push`], which reads it once: into the
//! hash and into an object of the store ([`blobs`]). Then one [`index::command::Command`] is submitted to the [`index`],
//! which is where everything is decided; its reply becomes the answer. What nothing needs any more is found and deleted by
//! [`reclaim`]. [`cli`] puts all this together in a process, as [`config`] says. `ARCHITECTURE.md` tells it with each file.

pub mod api;
pub mod app;
pub mod auth;
pub mod blobs;
pub mod cli;
pub mod config;
pub mod date;
pub mod error;
pub mod http;
pub mod index;
pub mod metrics;
pub mod oci;
pub mod push;
pub mod random;
pub mod ready;
pub mod reclaim;
pub mod server;
pub mod telemetry;
