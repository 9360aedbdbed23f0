//! Who this process is to others of its cluster, and how it reaches them, from the configuration.

use std::sync::Arc;

use anyhow::Context;

use crate::config::Config;
use crate::index::peers::dial::{Dial, Tls};
use crate::index::peers::identity::{Files, Identity};

/// Reads certificate, key and authorities.
pub(super) fn identity(config: &Config) -> anyhow::Result<Arc<Identity>> {
    let cluster = &config.cluster;
    let files = match (&cluster.certificate, &cluster.key, &cluster.ca) {
        (Some(certificate), Some(key), Some(ca)) => {
            Files { certificate: certificate.clone(), key: key.clone(), ca: ca.clone() }
        }
        _ => {
            anyhow::bail!("cluster.certificate, cluster.key and cluster.ca must be set: peers know each other by them")
        }
    };
    let identity =
        Identity::load(files).context("could not set up the peer certificate (cluster.certificate, key, ca)")?;
    Ok(Arc::new(identity))
}

/// The way to index nodes.
pub(super) fn dialer(config: &Config, identity: Arc<Identity>) -> Arc<dyn Dial> {
    Arc::new(Tls { identity, addresses: config.cluster.addresses.clone() })
}
