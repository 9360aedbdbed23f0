//! A certificate for this machine, and a client that trusts it: TLS 1.3 with AES-128-GCM, which every peer speaks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
use rustls::pki_types::CertificateDer;

#[derive(Clone, Debug)]
pub struct Certificate {
    pub path: PathBuf,
    pub key_path: PathBuf,
    client: Arc<rustls::ClientConfig>,
}

impl Certificate {
    pub fn new(directory: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let (path, key_path) = (directory.join("certificate.pem"), directory.join("key.pem"));
        std::fs::write(&path, made.cert.pem())?;
        std::fs::write(&key_path, made.signing_key.serialize_pem())?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec())).context("the certificate")?;
        let mut provider = default_provider();
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
        let client = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        Ok(Self { path, key_path, client })
    }

    pub fn client(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.client)
    }
}
