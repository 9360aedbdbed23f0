//! What the archive counts and measures for `/metrics`.

use prometheus::{Gauge, IntCounter, IntGauge, Registry};

/// The metrics of the archive. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct ArchiveMetrics {
    /// The position up to which everything can be restored.
    pub position: IntGauge,
    /// How long the oldest entry that is not archived has been waiting; 0 when there is none.
    pub lag_seconds: Gauge,
    pub segments: IntCounter,
    pub snapshots: IntCounter,
    pub bytes: IntCounter,
    pub failures: IntCounter,
}

impl ArchiveMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let position = IntGauge::new("roadstead_archive_position", "Log position up to which the archive is whole")?;
        registry.register(Box::new(position.clone()))?;
        let lag_seconds = Gauge::new("roadstead_archive_lag_seconds", "Age of the oldest entry that is not archived")?;
        registry.register(Box::new(lag_seconds.clone()))?;
        Ok(Self {
            position,
            lag_seconds,
            segments: counter("roadstead_archive_segments_total", "Segments of the log written to the store")?,
            snapshots: counter("roadstead_archive_snapshots_total", "Snapshots written to the archive")?,
            bytes: counter("roadstead_archive_bytes_total", "Bytes written to the archive")?,
            failures: counter(
                "roadstead_archive_failures_total",
                "Times that the archive could not be written and was tried again",
            )?,
        })
    }
}
