//! How Prometheus finds the pods, where its operator is installed.

use serde_json::{Value, json};

use super::Of;
use crate::names::{METRICS, OF};

pub(super) fn build(of: &Of<'_>) -> Value {
    let body = json!({
        "spec": {
            "selector": { "matchLabels": { OF: of.names.name, METRICS: "true" } },
            "endpoints": [{ "port": "admin", "path": "/metrics", "interval": "30s" }],
        }
    });
    of.object("monitoring.coreos.com/v1", "ServiceMonitor", &of.names.registry(), body)
}
