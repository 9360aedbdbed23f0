//! The certificates that a registry uses now, as they are in its Secrets, whoever issued them: until when they hold, by what
//! stands in them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::authority::DAY;
use crate::crd::Registry;
use crate::names::{Component, Names};

/// With less time left than this, a certificate should have been renewed; or with a sixth of its life, if that is less.
const SOON: i64 = 14 * DAY;

/// From when until when a certificate holds, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: i64,
    pub until: i64,
}

impl Span {
    /// From when on it is late to renew it.
    pub fn late(self) -> i64 {
        self.until - SOON.min((self.until - self.from) / 6)
    }
}

/// The certificates of a Secret: the one that ends first, or what is wrong with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub secret: String,
    pub span: Result<Span, Flaw>,
}

/// Why it is not known until when a certificate holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// There is no such Secret: nobody has issued it yet, or it was deleted.
    Missing,
    Unreadable(String),
}

/// What a registry uses, the certificate that clients see first.
pub fn in_use(registry: &Registry, secrets: &BTreeMap<String, Secret>) -> Vec<Held> {
    let names = Names::of(registry);
    let mut used = vec![names.tls_of(registry)];
    if !registry.spec.is_single() {
        used.extend([names.peers(Component::Index), names.peers(Component::Registry)]);
    }
    let held = |name: String| {
        let span = secrets.get(&name).ok_or(Flaw::Missing).and_then(|secret| span(secret).map_err(Flaw::Unreadable));
        Held { secret: name, span }
    };
    used.into_iter().map(held).collect()
}

/// When the certificates of Secrets hold.
pub fn spans(held: &[Held]) -> BTreeMap<String, Span> {
    held.iter().filter_map(|held| Some((held.secret.clone(), *held.span.as_ref().ok()?))).collect()
}

/// Whether all hold; if not, the reason for a condition, and what to say.
pub fn judge(held: &[Held], now: i64) -> Result<(), (&'static str, String)> {
    let mut soon = Ok(());
    for Held { secret, span } in held {
        match span {
            Err(Flaw::Missing) => {
                return Err(("Missing", format!("there is no Secret {secret}, which holds a certificate in use")));
            }
            Err(Flaw::Unreadable(why)) => return Err(("Unreadable", format!("the Secret {secret}: {why}"))),
            Ok(span) if span.until <= now => {
                let message = format!("the certificate in the Secret {secret} is over since {}", moment(span.until));
                return Err(("Expired", message));
            }
            Ok(span) if span.late() <= now => {
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
    let is_peer = |file: &str| file.strip_suffix(".pem").is_some_and(|name| !name.ends_with("-key") && name != "ca");
    let data = secret.data.iter().flatten();
    let files = data.filter(|(file, _)| is_web(file) || is_peer(file));
    let spans = files.map(|(file, bytes)| read(&bytes.0).map_err(|why| format!("{file} {why}")));
    let spans: Vec<Span> = spans.collect::<Result<_, _>>()?;
    spans.into_iter().min_by_key(|span| span.until).ok_or_else(|| "there is no certificate in it".into())
}

/// The first certificate of a file counts: what comes behind it vouches for it.
fn read(pem: &[u8]) -> Result<Span, String> {
    let first = CertificateDer::from_pem_slice(pem).map_err(|error| format!("is no certificate as PEM ({error})"))?;
    let certificate = EndEntityCert::try_from(&first).map_err(|error| format!("is no certificate ({error})"))?;
    // webpki tells the times of a certificate only to those who ask at another time, before it looks who signed it.
    let at = |seconds: u64| {
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        certificate.verify_for_usage(&[], &[], &[], time, KeyUsage::server_auth(), None, None).err()
    };
    match (at(0), at(i64::MAX as u64)) {
        (Some(Error::CertNotValidYet { not_before, .. }), Some(Error::CertExpired { not_after, .. })) => {
            Ok(Span { from: not_before.as_secs() as i64, until: not_after.as_secs() as i64 })
        }
        (why, _) => Err(format!("says no time until which it holds ({why:?})")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;
    use crate::certificates::authority::LEAF_DAYS;
    use crate::certificates::{Leaf, issue};

    const NOW: i64 = 1_800_000_000;

    fn registry(spec: &serde_json::Value) -> Registry {
        let mut value = json!({
            "apiVersion": "roadstead.dev/v1alpha1",
            "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns", "uid": "1" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "images" } } },
        });
        value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    /// A certificate that was issued then.
    fn issued(at: i64) -> String {
        let leaf = Leaf { file: "tls".into(), hosts: vec!["r.example.com".into()], addresses: Vec::new(), role: None };
        issue::leaf(&issue::authority("test", at).unwrap(), &leaf, at).unwrap().0.certificate
    }

    fn secrets(of: &[(&str, &[(&str, &str)])]) -> BTreeMap<String, Secret> {
        let secret = |files: &[(&str, &str)]| Secret {
            data: Some(files.iter().map(|(file, text)| ((*file).into(), ByteString(text.as_bytes().into()))).collect()),
            ..Secret::default()
        };
        of.iter().map(|(name, files)| ((*name).to_owned(), secret(files))).collect()
    }

    #[test]
    fn whoever_issued_it_a_certificate_is_judged_by_what_stands_in_it() {
        let own = registry(&json!({ "tls": { "secretName": "own" } }));
        let end = NOW + LEAF_DAYS * DAY;
        let good = issued(NOW);
        let chain = format!("{good}{}", issued(NOW - 400 * DAY));
        for (what, text, now, reason) in [
            ("new", good.as_str(), NOW, None),
            ("more than two weeks", &good, end - 14 * DAY - 1, None),
            ("two weeks", &good, end - 14 * DAY, Some("ExpiresSoon")),
            ("a second before the end", &good, end - 1, Some("ExpiresSoon")),
            ("the end", &good, end, Some("Expired")),
            ("an old one behind it vouches for it", &chain, NOW, None),
            ("nothing", "", NOW, Some("Unreadable")),
            ("no PEM", "MIIB", NOW, Some("Unreadable")),
            (
                "a certificate of nothing",
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                NOW,
                Some("Unreadable"),
            ),
        ] {
            let held = in_use(&own, &secrets(&[("own", &[("tls.crt", text), ("tls.key", "x")])]));
            let said = judge(&held[..1], now);
            assert_eq!(said.as_ref().err().map(|(reason, _)| *reason), reason, "{what}: {said:?}");
            assert!(said.is_ok() || said.unwrap_err().1.contains("the Secret own"), "{what}");
        }
    }

    #[test]
    fn a_certificate_that_lives_shortly_is_not_always_nearly_over() {
        let held = |from: i64, until: i64| [Held { secret: "own".into(), span: Ok(Span { from, until }) }];
        let days = |days: i64| NOW + days * DAY;
        assert_eq!(judge(&held(days(-4), days(2)), NOW), Ok(()));
        assert!(judge(&held(days(-5), days(1)), NOW).is_err());
    }

    #[test]
    fn a_secret_that_nobody_has_issued_yet_is_missing() {
        let manager = registry(&json!({ "tls": { "certManager": { "issuerRef": { "name": "i" } } } }));
        let peers: &[(&str, &str)] = &[("r-index-0.pem", &issued(NOW))];
        let mut of = vec![("r-index-peers", peers), ("r-registry-peers", peers)];
        assert_eq!(judge(&in_use(&manager, &secrets(&of)), NOW).unwrap_err().0, "Missing");
        let web = issued(NOW);
        let web: &[(&str, &str)] = &[("tls.crt", &web)];
        of.push(("r-tls", web));
        assert_eq!(judge(&in_use(&manager, &secrets(&of)), NOW), Ok(()));
    }

    #[test]
    fn only_secrets_that_are_used_now_are_looked_at() {
        let (old, new) = (issued(NOW - 60 * DAY), issued(NOW));
        let peers: &[(&str, &str)] =
            &[("r-index-0.pem", &new), ("r-index-1.pem", &old), ("r-index-0-key.pem", "x"), ("ca.pem", "x")];
        let all = secrets(&[
            ("r-tls", &[("tls.crt", &old)]),
            ("own", &[("tls.crt", &new)]),
            ("r-index-peers", peers),
            ("other", &[("tls.crt", "x")]),
        ]);
        let ends_of = |spec: &serde_json::Value| -> BTreeMap<String, i64> {
            spans(&in_use(&registry(spec), &all)).into_iter().map(|(secret, span)| (secret, span.until)).collect()
        };
        let end = |at: i64| at + LEAF_DAYS * DAY;
        let old_end = end(NOW - 60 * DAY);
        assert_eq!(ends_of(&json!({})), [("r-tls".to_owned(), old_end), ("r-index-peers".to_owned(), old_end)].into());
        let own = ends_of(&json!({ "tls": { "secretName": "own" } }));
        assert_eq!(own, [("own".to_owned(), end(NOW)), ("r-index-peers".to_owned(), old_end)].into());
        assert_eq!(ends_of(&json!({ "storage": { "claim": {} } })), [("r-tls".to_owned(), old_end)].into());
    }
}
