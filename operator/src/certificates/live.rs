//! The certificates that a registry uses now, as they are in its Secrets, whoever issued them: until when they hold, by what
//! stands in them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::DAY;
use crate::crd::Registry;
use crate::names::{Component, Names};

/// With less time left than this, a certificate should have been renewed; or with a sixth of its life, if that is less.
const SOON: i64 = 7 * DAY;

/// From when until when a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub until: i64,
}

/// The certificates of a Secret: the one that ends first, or why one cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub secret: String,
    pub span: Result<Span, String>,
}

/// What a registry uses. A Secret that is not there is left out.
pub fn in_use(registry: &Registry, secrets: &BTreeMap<String, Secret>) -> Vec<Held> {
    let names = Names::of(registry);
    let mut used = vec![names.tls_of(registry)];
    if !registry.spec.is_single() {
        used.extend([names.peers(Component::Index), names.peers(Component::Registry)]);
    }
    let held = used.into_iter().filter_map(|name| Some(Held { span: span(secrets.get(&name)?), secret: name }));
    held.collect()
}

/// Until when the certificates of Secrets hold.
pub fn ends(held: &[Held]) -> BTreeMap<String, i64> {
    held.iter().filter_map(|held| Some((held.secret.clone(), held.span.as_ref().ok()?.until))).collect()
}

/// Whether all hold; if not, the reason for a condition, and what to say.
pub fn judge(held: &[Held], now: i64) -> Result<(), (&'static str, String)> {
    let mut soon = Ok(());
    for Held { secret, span } in held {
        match span {
            Err(why) => return Err(("Unreadable", format!("the Secret {secret}: {why}"))),
            Ok(span) if span.until <= now => {
                let message = format!("the certificate in the Secret {secret} is over since {}", moment(span.until));
                return Err(("Expired", message));
            }
            Ok(span) if span.until - now <= SOON.min((span.until - span.from) / 6) => {
                let message = format!("the certificate in the Secret {secret} holds until {} only", moment(span.until));
                soon = soon.and(Err(("ExpiresSoon", message)));
            }
            Ok(_) => {}
        }
    }
    soon
}

fn moment(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn span(secret: &Secret) -> Result<Span, String> {
    let is_web = |file: &str| file == "tls.crt";
    let is_peer = |file: &str| file.ends_with(".pem") && !file.ends_with("-key.pem") && file != "ca.pem";
    let data = secret.data.iter().flatten();
    let files = data.filter(|(file, _)| is_web(file) || is_peer(file));
    let spans = files.map(|(file, bytes)| read(&bytes.0).map_err(|why| format!("{file} {why}")));
    let spans: Vec<Span> = spans.collect::<Result<_, _>>()?;
    spans.into_iter().min_by_key(|span| span.until).ok_or_else(|| "there is no certificate in it".into())
}

/// The first certificate of a file counts: what comes behind it vouches for it.
fn read(pem: &[u8]) -> Result<Span, String> {
    let first = CertificateDer::from_pem_slice(pem).map_err(|error| format!("is no certificate as PEM ({error})"))?;
    let (_, certificate) =
        x509_parser::parse_x509_certificate(&first).map_err(|error| format!("is no certificate ({error})"))?;
    let validity = certificate.validity();
    Ok(Span { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() })
}
