//! The listeners: connections in, requests out to a handler, and nothing that a client does can hold more than a
//! bounded part of the process. `cli/serve` starts them; handlers see only a request, its body and [`Connection`].
//!
//! The life of a connection: [`accept`] takes it when a place is free, [`tls`] shakes hands, [`connection`] finds out
//! whether it speaks HTTP/1.1 or HTTP/2 and serves it, [`head`] refuses what could be read in two ways, [`watch`] ends it when it hangs, [`drain`] when the process is
//! to end. [`admin`] answers health and metrics on a listener of its own.

pub mod accept;
pub mod admin;
mod answer;
pub mod api;
pub mod body;
pub mod connection;
pub mod drain;
pub mod head;
pub mod metrics;
pub mod stream;
pub mod tls;
pub mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::config;

/// What a handler is told of the connection that a request came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The name in the certificate that the client has shown.
    pub certificate: Option<Arc<str>>,
}

/// The most bytes of a request line with all headers; more is answered 431.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// The most bytes of a request target; more is answered 414.
pub const MAX_TARGET_BYTES: usize = 8 << 10;
/// The most headers of a request; more are answered 431.
pub const MAX_HEADERS: usize = 100;

/// How much a client may take of everything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once.
    pub connections: usize,
    /// For the TLS handshake, for the first byte, and from the first byte of a request to the end of its headers.
    pub head: Duration,
    /// For a connection without a request, and for one that does not move.
    pub idle: Duration,
    /// Bytes a second that a body must move, averaged over `idle`.
    pub min_rate: u64,
}

impl Limits {
    pub fn new(config: &config::Server) -> Self {
        Self {
            connections: config.max_connections,
            head: Duration::from_secs(config.header_seconds),
            idle: Duration::from_secs(config.idle_seconds),
            min_rate: config.min_body_rate,
        }
    }

    /// The longest that moving this many bytes may take beyond `idle`.
    pub fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_millis(bytes.saturating_mul(1000) / self.min_rate.max(1))
    }
}
