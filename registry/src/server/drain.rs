//! How the process ends: a signal begins the drain, everything that runs gets its time, then it is over.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The state of the drain, shared by all that must obey it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    over: CancellationToken,
}

impl Drain {
    pub fn new() -> Self {
        Self::default()
    }

    /// No new work from now on.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// What still runs is given up.
    pub fn give_up(&self) {
        self.over.cancel();
    }

    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until no new work may begin.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until even what runs must stop.
    pub async fn over(&self) {
        self.over.cancelled().await;
    }
}

/// The signals that end the process.
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// From here on the signals no longer kill the process.
    pub fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and names it.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
