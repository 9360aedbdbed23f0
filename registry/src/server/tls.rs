//! The certificate of the client listener, read again when its files change, so that a renewal needs no restart.
//! A pair that cannot be used never replaces one that can.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
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
    client_ca: Option<PathBuf>,
}

/// What tells that a file is another one. A mount of Kubernetes swaps a symbolic link, so the inode belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Certificates {
    /// Clients may show a certificate that `client_ca` has signed, and need not.
    pub fn load(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsError> {
        let client_ca = client_ca.map(Path::to_owned);
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned(), client_ca };
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
    fn stamps(&self) -> [Option<Stamp>; 3] {
        [stamp(&self.certificate), stamp(&self.key), self.client_ca.as_deref().and_then(stamp)]
    }

    fn read(&self) -> Result<Current, TlsError> {
        let text = read(&self.certificate)?;
        let chain = certificates(&self.certificate, &text)?;
        let key =
            PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| pem(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients: Arc<dyn ClientCertVerifier> = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(path, &read(path)?)? {
                    roots.add(root).map_err(|error| pem(path, error.to_string()))?;
                }
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| pem(path, error.to_string()))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_client_cert_verifier(clients).with_single_cert(chain, key))
            .map_err(|source| TlsError::Pair {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                source,
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Current { config: Arc::new(config), sum: sum_of(&text) })
    }
}

/// What the certificate of a client, already verified, says of it: the first of its names, as a host or an address
/// (`spiffe://…`); none: it says no name, or there is none.
pub fn name_of(chain: Option<&[CertificateDer<'_>]>) -> Option<String> {
    let certificate = webpki::EndEntityCert::try_from(chain?.first()?).ok()?;
    let name = certificate.valid_dns_names().chain(certificate.valid_uri_names()).next().map(str::to_owned);
    name.filter(|name| !name.is_empty() && name.len() <= 255 && !name.contains(char::is_control))
}

fn pem(path: &Path, reason: String) -> TlsError {
    TlsError::Pem { path: path.to_owned(), reason }
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| pem(path, error.to_string()))?;
    if found.is_empty() { Err(pem(path, "there is no certificate in it".into())) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: metadata.ino() })
}
