//! What the index counts and measures for `/metrics`.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};

/// The metrics of the index. Clones count into the same numbers.
#[derive(Clone, Debug)]
pub struct IndexMetrics {
    pub entries_appended: IntCounter,
    pub entries_applied: IntCounter,
    pub applied_position: IntGauge,
    /// Bytes of log and state on disk, about.
    pub log_bytes: IntGauge,
    pub state_bytes: IntGauge,
    /// Entries applied to the state as one batch.
    pub apply_entries: Histogram,
    /// Entries made durable by one fsync.
    pub batch_entries: Histogram,
    pub fsync_seconds: Histogram,
    /// Commands by name and outcome (`done`, `refused`).
    pub commands: IntCounterVec,
    pub command_seconds: HistogramVec,
    /// Rounds that made reads linearizable; one answers all that wait.
    pub read_rounds: IntCounter,
    pub reads: IntCounter,
}

impl IndexMetrics {
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
        let histogram = |name: &str, help: &str, buckets| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let commands = IntCounterVec::new(
            Opts::new("roadstead_index_commands_total", "Commands answered by the index"),
            &["command", "outcome"],
        )?;
        registry.register(Box::new(commands.clone()))?;
        let command_seconds = HistogramVec::new(
            HistogramOpts::new("roadstead_index_command_seconds", "Time from proposing a command to its reply")
                .buckets(exponential_buckets(0.0001, 2.0, 18)?),
            &["command"],
        )?;
        registry.register(Box::new(command_seconds.clone()))?;
        Ok(Self {
            entries_appended: counter("roadstead_index_entries_appended_total", "Entries written to the log")?,
            entries_applied: counter("roadstead_index_entries_applied_total", "Entries applied to the state")?,
            applied_position: gauge("roadstead_index_applied_position", "Log position of the last applied entry")?,
            log_bytes: gauge("roadstead_index_log_bytes", "Bytes of the log on disk")?,
            state_bytes: gauge("roadstead_index_state_bytes", "Bytes of the state on disk")?,
            apply_entries: histogram(
                "roadstead_index_apply_entries",
                "Entries applied to the state as one batch",
                exponential_buckets(1.0, 2.0, 10)?,
            )?,
            batch_entries: histogram(
                "roadstead_index_batch_entries",
                "Entries made durable by one fsync",
                exponential_buckets(1.0, 2.0, 12)?,
            )?,
            fsync_seconds: histogram(
                "roadstead_index_fsync_seconds",
                "Time of one fsync of the log",
                exponential_buckets(0.000_05, 2.0, 18)?,
            )?,
            commands,
            command_seconds,
            read_rounds: counter("roadstead_index_read_rounds_total", "Rounds that made reads linearizable")?,
            reads: counter("roadstead_index_reads_total", "Queries answered")?,
        })
    }
}
