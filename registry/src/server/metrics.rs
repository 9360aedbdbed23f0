//! What the listeners count.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Made once by `serve`; cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    /// Connections being served.
    pub connections: IntGauge,
    pub accepted: IntCounter,
    /// Connections that we ended, by reason.
    pub cut: IntCounterVec,
}

impl ServerMetrics {
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            connections: IntGauge::new("roadstead_connections", "Connections being served")?,
            accepted: IntCounter::new("roadstead_connections_accepted_total", "Connections accepted")?,
            cut: IntCounterVec::new(
                Opts::new("roadstead_connections_cut_total", "Connections that the server ended, by reason"),
                &["reason"],
            )?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.accepted.clone()))?;
        registry.register(Box::new(metrics.cut.clone()))?;
        Ok(metrics)
    }
}
