//! What reclaiming counts for `/metrics`.

use prometheus::{IntCounter, IntGauge, Registry};

/// The metrics of reclaiming. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct ReclaimMetrics {
    /// Condemned objects that wait to be deleted.
    pub condemned: IntGauge,
    pub reclaimed: IntCounter,
    pub expired: IntCounter,
    pub orphans: IntCounter,
    pub aborted: IntCounter,
    pub scrubbed_bytes: IntCounter,
    pub damaged: IntCounter,
    pub joined: IntCounter,
    pub failures: IntCounter,
}

impl ReclaimMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("roadstead_reclaim_{name}_total"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let condemned =
            IntGauge::new("roadstead_reclaim_condemned_objects", "Condemned objects that wait to be deleted")?;
        registry.register(Box::new(condemned.clone()))?;
        Ok(Self {
            condemned,
            reclaimed: counter("objects", "Condemned objects deleted from the store")?,
            expired: counter("expired", "Uploads, links, manifests and histories whose time was over")?,
            orphans: counter("orphans", "Objects deleted that no entry of the index named")?,
            aborted: counter("aborted_writes", "Unfinished writes removed from the store")?,
            scrubbed_bytes: counter("scrubbed_bytes", "Bytes read and checked by scrubbing")?,
            damaged: counter("damaged_blobs", "Blobs found damaged or missing by scrubbing")?,
            joined: counter("joined_blobs", "Blobs of several segments rewritten as one")?,
            failures: counter("failures", "Turns of reclaiming that did not finish")?,
        })
    }
}
