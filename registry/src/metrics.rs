//! The one registry of metrics. `serve` makes it, and each layer registers its own.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{IntGaugeVec, Opts, Registry};
use sha2::{Digest, Sha256};

use crate::index::peers::identity::Identity;
use crate::server::tls::Certificates;

/// A registry with what is true of every process: its version, and what the system says of it.
pub fn registry() -> prometheus::Result<Registry> {
    let registry = Registry::new();
    let build = IntGaugeVec::new(Opts::new("roadstead_build_info", "The version that runs; always 1"), &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))?;
    registry.register(Box::new(ProcessCollector::for_self()))?;
    Ok(registry)
}

/// The certificates that are in force, told when they are asked for: whoever renews them waits until they are.
pub struct CertificateMetrics {
    loaded: IntGaugeVec,
    of_peers: Option<Arc<Identity>>,
    of_clients: Option<Certificates>,
}

impl CertificateMetrics {
    pub fn register(
        registry: &Registry,
        of_peers: Option<Arc<Identity>>,
        of_clients: Option<Certificates>,
    ) -> prometheus::Result<()> {
        let opts = Opts::new("roadstead_certificates_loaded", "The files of certificates in force; always 1");
        let loaded = IntGaugeVec::new(opts, &["file", "sha256"])?;
        registry.register(Box::new(Self { loaded, of_peers, of_clients }))
    }
}

impl std::fmt::Debug for CertificateMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateMetrics")
    }
}

impl Collector for CertificateMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.loaded.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.loaded.reset();
        if let Some(identity) = &self.of_peers {
            let [certificate, authorities] = identity.sums();
            self.loaded.with_label_values(&["peer", &certificate]).set(1);
            self.loaded.with_label_values(&["ca", &authorities]).set(1);
        }
        if let Some(certificates) = &self.of_clients {
            self.loaded.with_label_values(&["tls", &certificates.sum()]).set(1);
        }
        self.loaded.collect()
    }
}

/// How a file is recognized: its SHA-256 in hexadecimal.
pub fn sum_of(text: &[u8]) -> String {
    hex::encode(Sha256::digest(text))
}
