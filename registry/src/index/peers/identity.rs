//! Who a process is to its peers: a certificate with its key, and the authorities that it trusts. The files are read
//! again when they change, so that certificates are renewed without a restart; a set that cannot be used never
//! replaces one that can.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::{Caller, Role};
use crate::metrics::sum_of;

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// Why a certificate cannot be used, or does not do.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("could not read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no PEM file with what is needed: {reason}")]
    Pem { path: PathBuf, reason: String },
    #[error("the certificate {certificate}, its key and the authorities cannot be used together: {reason}")]
    Unusable { certificate: PathBuf, reason: String },
    #[error("a peer's certificate says no role: it needs the URI {} or that of another role", Role::Index.uri())]
    NoRole,
}

/// The files of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    pub ca: PathBuf,
}

/// The identity in force.
#[derive(Debug)]
pub struct Identity {
    /// None: it does not change.
    files: Option<Files>,
    current: Mutex<Current>,
}

/// What the files hold: PEM texts.
#[derive(Clone)]
pub struct Pem {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    pub ca: Vec<u8>,
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pem") // a key is nothing for a log
    }
}

#[derive(Debug)]
struct Current {
    looked: Instant,
    stamps: [Option<(Option<SystemTime>, u64)>; 3],
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    /// SHA-256 of the certificate's file and of that of the authorities.
    sums: [String; 2],
}

impl Identity {
    pub fn load(files: Files) -> Result<Self, IdentityError> {
        let stamps = files.stamps();
        let mut current = files.read()?;
        current.stamps = stamps;
        Ok(Self { current: Mutex::new(current), files: Some(files) })
    }

    /// An identity that is not kept in files: that of the operator, which issues it to itself.
    pub fn fixed(pem: &Pem) -> Result<Self, IdentityError> {
        let named = |what: &str| PathBuf::from(format!("(the {what} in memory)"));
        let names = Files { certificate: named("certificate"), key: named("key"), ca: named("authorities") };
        Ok(Self { current: Mutex::new(names.use_all(pem)?), files: None })
    }

    /// For a handshake with one who calls.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.fresh(|current| Arc::clone(&current.server))
    }

    /// For a handshake with one who is called.
    pub fn client(&self) -> Arc<ClientConfig> {
        self.fresh(|current| Arc::clone(&current.client))
    }

    /// What is in force: the SHA-256 of the file of the certificate, and of that of the authorities.
    pub fn sums(&self) -> [String; 2] {
        self.fresh(|current| current.sums.clone())
    }

    fn fresh<T>(&self, take: impl FnOnce(&Current) -> T) -> T {
        // A reader that panicked left a whole value behind.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files
            && current.looked.elapsed() >= LOOK
        {
            current.looked = Instant::now();
            let stamps = files.stamps();
            if stamps != current.stamps {
                current.stamps = stamps;
                match files.read() {
                    Ok(read) => {
                        *current = Current { stamps, ..read };
                        tracing::info!(certificate = %files.certificate.display(), "the peer certificate was renewed");
                    }
                    Err(error) => {
                        let error = anyhow::Error::from(error);
                        tracing::error!(
                            error = format!("{error:#}"),
                            "the changed peer certificate cannot be used; the old one stays in force"
                        );
                    }
                }
            }
        }
        take(&current)
    }
}

impl Files {
    fn stamps(&self) -> [Option<(Option<SystemTime>, u64)>; 3] {
        [&self.certificate, &self.key, &self.ca].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok(), metadata.len()))
        })
    }

    fn read(&self) -> Result<Current, IdentityError> {
        self.use_all(&Pem { certificate: read(&self.certificate)?, key: read(&self.key)?, ca: read(&self.ca)? })
    }

    /// For both sides of a connection, from what these files hold.
    fn use_all(&self, pem: &Pem) -> Result<Current, IdentityError> {
        let unusable = |reason: &dyn std::fmt::Display| IdentityError::Unusable {
            certificate: self.certificate.clone(),
            reason: reason.to_string(),
        };
        let chain = certificates(&self.certificate, &pem.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key)
            .map_err(|error| IdentityError::Pem { path: self.key.clone(), reason: error.to_string() })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca, &pem.ca)? {
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable(&error))?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| {
                builder.with_client_cert_verifier(verifier).with_single_cert(chain.clone(), key.clone_key())
            })
            .map_err(|error| unusable(&error))?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(chain, key))
            .map_err(|error| unusable(&error))?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        let sums = [&pem.certificate, &pem.ca].map(|text| sum_of(text));
        let (server, client) = (Arc::new(server), Arc::new(client));
        Ok(Current { looked: Instant::now(), stamps: [None; 3], server, client, sums })
    }
}

/// What the certificate of a peer, already verified, says of it.
pub fn caller(chain: Option<&[CertificateDer<'_>]>) -> Result<Caller, IdentityError> {
    let first = chain.and_then(<[_]>::first).ok_or(IdentityError::NoRole)?;
    let certificate = webpki::EndEntityCert::try_from(first).map_err(|_| IdentityError::NoRole)?;
    let role = certificate
        .valid_uri_names()
        .find_map(|uri| Role::ALL.into_iter().find(|role| role.uri() == uri))
        .ok_or(IdentityError::NoRole)?;
    Ok(Caller { role, names: certificate.valid_dns_names().map(str::to_owned).collect() })
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let pem = |reason: String| IdentityError::Pem { path: path.to_owned(), reason };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| pem(error.to_string()))?;
    if found.is_empty() { Err(pem("there is no certificate in it".into())) } else { Ok(found) }
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}
