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
    /// By registry: nodes of the index that are wanted, those that are well, and whether one leads.
    pub index_wanted: IntGaugeVec,
    pub index_well: IntGaugeVec,
    pub index_led: IntGaugeVec,
    /// By registry and Secret: seconds since 1970 until which its certificates hold.
    pub certificates_expire: IntGaugeVec,
}

impl Metrics {
    pub fn new() -> prometheus::Result<Self> {
        let registry = roadstead::metrics::registry()?;
        let metrics = Self {
            passes: HistogramVec::new(
                HistogramOpts::new(
                    "roadstead_operator_pass_seconds",
                    "Time of one look at a registry, by what came of it",
                ),
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
            broken: IntCounter::new(
                "roadstead_operator_unreadable_total",
                "Looks at an object that could not be read",
            )?,
            leads: IntGauge::new("roadstead_operator_leads", "Whether this operator is the one that acts")?,
            ready: by_registry("roadstead_operator_registry_ready", "Whether a registry is ready")?,
            index_wanted: by_registry(
                "roadstead_operator_index_wanted",
                "Nodes that the index of a registry should have",
            )?,
            index_well: by_registry(
                "roadstead_operator_index_well",
                "Nodes of the index of a registry that vote and have caught up",
            )?,
            index_led: by_registry("roadstead_operator_index_led", "Whether a majority of the index follows a leader")?,
            certificates_expire: IntGaugeVec::new(
                Opts::new(
                    "roadstead_operator_certificates_expire_seconds",
                    "Until when certificates hold, in seconds since 1970",
                ),
                &["namespace", "name", "secret"],
            )?,
            registry,
        };
        metrics.registry.register(Box::new(metrics.passes.clone()))?;
        metrics.registry.register(Box::new(metrics.writes.clone()))?;
        metrics.registry.register(Box::new(metrics.api_writes.clone()))?;
        metrics.registry.register(Box::new(metrics.steps.clone()))?;
        metrics.registry.register(Box::new(metrics.broken.clone()))?;
        metrics.registry.register(Box::new(metrics.leads.clone()))?;
        for gauges in metrics.of_registries() {
            metrics.registry.register(Box::new(gauges.clone()))?;
        }
        metrics.registry.register(Box::new(metrics.certificates_expire.clone()))?;
        Ok(metrics)
    }

    const fn of_registries(&self) -> [&IntGaugeVec; 4] {
        [&self.ready, &self.index_wanted, &self.index_well, &self.index_led]
    }

    /// A registry is gone.
    pub fn forget(&self, namespace: &str, name: &str, secrets: &[String]) {
        for gauges in self.of_registries() {
            let _ = gauges.remove_label_values(&[namespace, name]);
        }
        for secret in secrets {
            let _ = self.certificates_expire.remove_label_values(&[namespace, name, secret]);
        }
    }
}

fn by_registry(name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &["namespace", "name"])
}
