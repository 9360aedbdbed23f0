//! What the operator counts.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// The metrics of the operator.
#[derive(Clone, Debug)]
pub struct Metrics {
    pub registry: Registry,
    pub passes: HistogramVec,
    pub writes: IntCounterVec,
    /// Everything that is no reading, as it leaves this process.
    pub api_writes: IntCounterVec,
    pub steps: IntCounterVec,
    pub broken: IntCounter,
    pub leads: IntGauge,
    /// By registry: whether it is ready.
    pub ready: IntGaugeVec,
}

impl Metrics {
    pub fn new() -> prometheus::Result<Self> {
        let registry = roadstead::metrics::registry()?;
        let metrics = Self {
            passes: HistogramVec::new(
                HistogramOpts::new("roadstead_operator_pass_seconds", "Time of one look at a registry, by what came of it"),
                &["result"],
            )?,
            writes: IntCounterVec::new(
                Opts::new("roadstead_operator_writes_total", "Objects created, changed and deleted, by kind"),
                &["kind"],
            )?,
            api_writes: IntCounterVec::new(
                Opts::new("roadstead_operator_api_writes_total", "Requests to the API server that write, by method"),
                &["method"],
            )?,
            steps: IntCounterVec::new(
                Opts::new("roadstead_operator_steps_total", "Steps of the plan, by name and by what came of them"),
                &["step", "result"],
            )?,
            broken: IntCounter::new("roadstead_operator_unreadable_total", "Looks at an object that could not be read")?,
            leads: IntGauge::new("roadstead_operator_leads", "Whether this operator is the one that acts")?,
            ready: IntGaugeVec::new(
                Opts::new("roadstead_operator_registry_ready", "Whether a registry is ready"),
                &["namespace", "name"],
            )?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.passes.clone()))?;
        metrics.registry.register(Box::new(metrics.writes.clone()))?;
        metrics.registry.register(Box::new(metrics.api_writes.clone()))?;
        metrics.registry.register(Box::new(metrics.steps.clone()))?;
        metrics.registry.register(Box::new(metrics.broken.clone()))?;
        metrics.registry.register(Box::new(metrics.leads.clone()))?;
        metrics.registry.register(Box::new(metrics.ready.clone()))?;
        Ok(metrics)
    }
}
