//! Makes keys and signs certificates.

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::Leaf;
use super::authority::{AUTHORITY_DAYS, DAY, LEAF_DAYS, Pair, SKEW};

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("could not make a key or sign with it")]
    Sign(#[from] rcgen::Error),
    #[error("{0:?} cannot stand in a certificate")]
    Name(String),
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
    let bad = |name: &str| IssueError::Name(name.to_owned());
    let name = |name: &str| Ia5String::try_from(name.to_owned()).map_err(|_| bad(name));
    let mut params = CertificateParams::default();
    // A common name holds 64 characters; the hosts are what counts.
    params.distinguished_name =
        named(&leaf.hosts.first().map_or("", String::as_str).chars().take(64).collect::<String>());
    for host in &leaf.hosts {
        params.subject_alt_names.push(SanType::DnsName(name(host)?));
    }
    params.subject_alt_names.extend(leaf.addresses.iter().map(|address| SanType::IpAddress(*address)));
    if let Some(role) = leaf.role {
        params.subject_alt_names.push(SanType::URI(name(role.uri())?));
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // Nobody outlives the one who vouches for him.
    let until = (now + LEAF_DAYS * DAY).min(pair.until);
    params.not_before = moment(now - SKEW);
    params.not_after = moment(until);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &issuer)?.pem();
    Ok((Issued { certificate, key: key.serialize_pem() }, until))
}

fn authority_params(name: &str, from: i64, until: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = moment(from - SKEW);
    params.not_after = moment(until);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn moment(seconds: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}
