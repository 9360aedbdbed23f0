//! Where work runs that waits for the disk: on threads of its own, away from those that serve connections. In a
//! simulation there are no threads, and it runs at once: only so does a seed repeat a run.

use std::io;

/// Runs work that may wait for the disk.
#[cfg(not(feature = "simulation"))]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}

/// Runs work that may wait for the disk.
#[cfg(feature = "simulation")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    Ok(work())
}
