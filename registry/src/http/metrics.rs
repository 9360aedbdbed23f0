//! What `/metrics` says of requests. Filled by [`super::handle`], registered by `serve`.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};

/// Counters of the API, by the names of [`crate::oci::action::Action`].
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    running: IntGauge,
    uploads: IntGauge,
    pub(super) received: IntCounter,
    pub(super) sent: IntCounter,
}

impl HttpMetrics {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("roadstead_requests_total", "Requests answered, by action and status"),
                &["action", "status"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("roadstead_request_seconds", "Time until the answer began, by action")
                    .buckets(exponential_buckets(0.000_25, 2.0, 18)?),
                &["action"],
            )?,
            running: IntGauge::new("roadstead_requests_running", "Requests that are not answered yet")?,
            uploads: IntGauge::new("roadstead_uploads_running", "Bodies of uploads that are being received")?,
            received: IntCounter::new("roadstead_received_bytes_total", "Bytes of request bodies")?,
            sent: IntCounter::new("roadstead_sent_bytes_total", "Bytes of answers' bodies")?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.running.clone()))?;
        registry.register(Box::new(metrics.uploads.clone()))?;
        registry.register(Box::new(metrics.received.clone()))?;
        registry.register(Box::new(metrics.sent.clone()))?;
        Ok(metrics)
    }

    pub(super) fn answered(&self, action: &str, status: http::StatusCode, took: std::time::Duration) {
        self.requests.with_label_values(&[action, status.as_str()]).inc();
        self.seconds.with_label_values(&[action]).observe(took.as_secs_f64());
    }

    pub(super) fn request_running(&self) -> Running {
        Running::new(&self.running)
    }

    /// Counts an upload's body until the guard is dropped.
    pub fn upload_running(&self) -> Running {
        Running::new(&self.uploads)
    }
}

/// Counts something that runs, for as long as it is held.
#[derive(Debug)]
pub struct Running(IntGauge);

impl Running {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
