//! What the operator counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::certificates::live::Span;

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
    /// What the API server did not let the operator watch.
    pub watch_errors: IntCounterVec,
    pub leads: IntGauge,
    /// By registry: whether it is ready.
    pub ready: IntGaugeVec,
    /// By registry: nodes of the index that are wanted, those that are well, and whether one leads.
    pub index_wanted: IntGaugeVec,
    pub index_well: IntGaugeVec,
    pub index_led: IntGaugeVec,
    /// By registry and Secret: seconds since 1970 until which its certificates hold.
    certificates_expire: IntGaugeVec,
    /// And from when on it is late to renew them.
    certificates_late: IntGaugeVec,
    /// By RegistryBackup with a schedule: for how long a backup is due.
    backup_overdue: IntGaugeVec,
    measured: Arc<Mutex<Measured>>,
}

/// Of what there are numbers, by namespace and name.
#[derive(Debug, Default)]
struct Measured {
    /// Registries, with their Secrets.
    registries: BTreeMap<(String, String), BTreeSet<String>>,
    backups: BTreeSet<(String, String)>,
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
            watch_errors: IntCounterVec::new(
                Opts::new(
                    "roadstead_operator_watch_errors_total",
                    "Times that the API server did not let the operator watch or list",
                ),
                &["watch"],
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
            certificates_expire: by_secret(
                "roadstead_operator_certificates_expire_seconds",
                "Until when certificates hold, in seconds since 1970",
            )?,
            certificates_late: by_secret(
                "roadstead_operator_certificates_late_seconds",
                "From when on it is late to renew certificates, in seconds since 1970",
            )?,
            backup_overdue: by_registry(
                "roadstead_operator_backup_overdue_seconds",
                "For how long a backup of a schedule is due and not made",
            )?,
            measured: Arc::default(),
            registry,
        };
        metrics.registry.register(Box::new(metrics.passes.clone()))?;
        metrics.registry.register(Box::new(metrics.writes.clone()))?;
        metrics.registry.register(Box::new(metrics.api_writes.clone()))?;
        metrics.registry.register(Box::new(metrics.steps.clone()))?;
        metrics.registry.register(Box::new(metrics.broken.clone()))?;
        metrics.registry.register(Box::new(metrics.watch_errors.clone()))?;
        metrics.registry.register(Box::new(metrics.leads.clone()))?;
        for gauges in metrics.of_registries() {
            metrics.registry.register(Box::new(gauges.clone()))?;
        }
        for gauges in metrics.of_certificates() {
            metrics.registry.register(Box::new(gauges.clone()))?;
        }
        metrics.registry.register(Box::new(metrics.backup_overdue.clone()))?;
        Ok(metrics)
    }

    const fn of_registries(&self) -> [&IntGaugeVec; 4] {
        [&self.ready, &self.index_wanted, &self.index_well, &self.index_led]
    }

    const fn of_certificates(&self) -> [&IntGaugeVec; 2] {
        [&self.certificates_expire, &self.certificates_late]
    }

    /// When the certificates in the Secrets hold that a registry uses now; what it used before is not told any more.
    pub fn certificates(&self, namespace: &str, name: &str, spans: &BTreeMap<String, Span>) {
        let used = spans.keys().cloned().collect();
        let before = self.measured().registries.insert((namespace.into(), name.into()), used);
        for secret in before.unwrap_or_default().iter().filter(|secret| !spans.contains_key(*secret)) {
            for gauges in self.of_certificates() {
                let _ = gauges.remove_label_values(&[namespace, name, secret]);
            }
        }
        for (secret, span) in spans {
            self.certificates_expire.with_label_values(&[namespace, name, secret]).set(span.until);
            self.certificates_late.with_label_values(&[namespace, name, secret]).set(span.late());
        }
    }

    /// For how many seconds a backup of a schedule is due.
    pub fn overdue(&self, namespace: &str, name: &str, seconds: i64) {
        self.measured().backups.insert((namespace.into(), name.into()));
        self.backup_overdue.with_label_values(&[namespace, name]).set(seconds);
    }

    /// A registry is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.certificates(namespace, name, &BTreeMap::new());
        self.measured().registries.remove(&(namespace.into(), name.into()));
        for gauges in self.of_registries() {
            let _ = gauges.remove_label_values(&[namespace, name]);
        }
    }

    /// Forgets the registries that are gone.
    pub fn keep_registries(&self, is_there: impl Fn(&str, &str) -> bool) {
        let known: Vec<_> = self.measured().registries.keys().cloned().collect();
        for (namespace, name) in known.iter().filter(|(namespace, name)| !is_there(namespace, name)) {
            self.forget(namespace, name);
        }
    }

    /// Forgets the backups that are gone.
    pub fn keep_backups(&self, is_there: impl Fn(&str, &str) -> bool) {
        self.measured().backups.retain(|(namespace, name)| {
            let stays = is_there(namespace, name);
            if !stays {
                let _ = self.backup_overdue.remove_label_values(&[namespace, name]);
            }
            stays
        });
    }

    fn measured(&self) -> std::sync::MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_registry(name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &["namespace", "name"])
}

fn by_secret(name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), &["namespace", "name", "secret"])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    const HELD: Span = Span { from: 0, until: 600 };

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = prometheus::TextEncoder::new().encode_to_string(&metrics.registry.gather()).unwrap();
        text.lines().filter(|line| line.contains("name=\"")).map(str::to_owned).collect()
    }

    #[test]
    fn of_what_is_gone_no_number_stays() {
        let metrics = Metrics::new().unwrap();
        for name in ["here", "gone"] {
            for gauges in metrics.of_registries() {
                gauges.with_label_values(&["ns", name]).set(1);
            }
            metrics.certificates("ns", name, &[(format!("{name}-tls"), HELD), (format!("{name}-peers"), HELD)].into());
            metrics.overdue("ns", name, 0);
        }
        assert_eq!(lines(&metrics).iter().filter(|line| line.contains("gone")).count(), 9);
        metrics.keep_registries(|_, name| name == "here");
        metrics.keep_backups(|_, name| name == "here");
        let left = lines(&metrics);
        assert!(left.len() == 9 && left.iter().all(|line| line.contains("here")), "{left:?}");
    }

    #[test]
    fn a_secret_that_is_used_no_more_is_not_measured_any_more() {
        let metrics = Metrics::new().unwrap();
        metrics.certificates("ns", "r", &[("r-tls".to_owned(), HELD)].into());
        metrics.certificates("ns", "r", &[("own".to_owned(), HELD)].into());
        let left = lines(&metrics);
        assert!(left.len() == 2 && left.iter().all(|line| line.contains("secret=\"own\"")), "{left:?}");
        assert!(left[0].ends_with(" 600") && left[1].ends_with(" 500"), "{left:?}");
    }
}
