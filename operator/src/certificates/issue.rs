//! Makes keys and signs certificates.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use roadstead::index::peers::issue;

use super::Leaf;
use super::authority::{AUTHORITY_DAYS, DAY, LEAF_DAYS, Pair, SKEW};

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("could not make a key or sign with it, or a name cannot stand in a certificate")]
    Sign(#[from] rcgen::Error),
}

/// A certificate with its key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

/// A new authority. Its name tells people what it is for, and is its own.
pub fn authority(purpose: &str, now: i64) -> Result<Pair, IssueError> {
    let key = KeyPair::generate()?;
    let name = format!("{purpose} {}", ulid::Ulid::new().to_string().to_lowercase());
    let until = now + AUTHORITY_DAYS * DAY;
    let params = authority_params(&name, now, until);
    let certificate = params.self_signed(&key)?.pem();
    Ok(Pair { name, certificate, key: key.serialize_pem(), from: now, until })
}

/// A certificate of `pair` for `leaf`; with the time until which it holds.
pub fn leaf(pair: &Pair, leaf: &Leaf, now: i64) -> Result<(Issued, i64), IssueError> {
    let key = KeyPair::from_pem(&pair.key)?;
    let issuer = Issuer::new(authority_params(&pair.name, pair.from, pair.until), key);
    // A common name holds 64 characters; the hosts are what counts.
    let name: String = leaf.hosts.first().map_or("", String::as_str).chars().take(64).collect();
    let hosts = leaf.hosts.iter().cloned().chain(leaf.addresses.iter().map(ToString::to_string)).collect();
    let mut params = issue::leaf(&name, hosts, leaf.role)?;
    // Nobody outlives the one who vouches for him.
    let until = (now + LEAF_DAYS * DAY).min(pair.until);
    params.not_before = moment(now - SKEW);
    params.not_after = moment(until);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok((Issued { certificate, key: key.serialize_pem() }, until))
}

fn authority_params(name: &str, from: i64, until: i64) -> CertificateParams {
    let mut params = issue::authority(name);
    // It vouches for nobody who vouches for others.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_before = moment(from - SKEW);
    params.not_after = moment(until);
    params
}

fn moment(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
