//! The certificate of the client listener, read again when its files change, so that a renewal needs no restart.
//! A pair that cannot be used never replaces one that can.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::metrics::sum_of;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no PEM file with what is needed: {reason}")]
    Pem { path: PathBuf, reason: String },
    #[error("the certificate {certificate} and the key {key} cannot be used")]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
}

/// The certificate in force. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Certificates {
    files: Arc<Files>,
    current: Arc<ArcSwap<Current>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    /// SHA-256 of the certificate's file.
    sum: String,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells that a file is another one. A mount of Kubernetes swaps a symbolic link, so the inode belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Certificates {
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let current = files.read()?;
        Ok(Self { files: Arc::new(files), current: Arc::new(ArcSwap::from_pointee(current)) })
    }

    /// For one handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }

    /// What is in force: the SHA-256 of the file of the certificate.
    pub fn sum(&self) -> String {
        self.current.load().sum.clone()
    }

    /// Reads the files again whenever they change; never ends.
    pub async fn follow(self) {
        let mut seen = self.files.stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            let stamps = self.files.stamps();
            if stamps == seen {
                continue;
            }
            seen = stamps;
            let files = Arc::clone(&self.files);
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(Ok(current)) => {
                    self.current.store(Arc::new(current));
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificate was renewed");
                }
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the changed certificate cannot be used; the old one stays in force");
                }
                Err(error) => tracing::error!(%error, "could not read the changed certificate"),
            }
        }
    }
}

impl Files {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.certificate), stamp(&self.key)]
    }

    fn read(&self) -> Result<Current, TlsError> {
        let pem = |path: &Path, reason: String| TlsError::Pem { path: path.to_owned(), reason };
        let text = read(&self.certificate)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| pem(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(pem(&self.certificate, "there is no certificate in it".into()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| pem(&self.key, error.to_string()))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|source| TlsError::Pair {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source,
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Current { config: Arc::new(config), sum: sum_of(&text) })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}
