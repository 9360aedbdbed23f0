//! Tokens that others issued: finds whose they say they are, gets the keys, checks them, and says whom they make known.
//!
//! Only what an administrator has said is believed: the index names the issuers, and judges with each request whether they are still
//! trusted in the same way. Keys are fetched from where the issuer itself says, with nothing of the token in the request.

mod keys;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use self::keys::Keys;
use super::caller::Vouched;
use super::issuer::Known;
use crate::index::access::{IssuerView, ListIssuers};
use crate::index::command::Time;
use crate::index::{Index, IndexError};

/// Tokens that were checked and are remembered.
const REMEMBERED: u64 = 20_000;
/// How long it is believed which issuers there are. What has changed is found out before: when a token is not good by what is
/// known, and by the index, which judges each request.
const LIST: Duration = Duration::from_mins(1);
/// How long keys are used.
const KEYS: Duration = Duration::from_mins(10);
/// How long an issuer may take, and the longest answer of one, in bytes.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER: usize = 256 << 10;
/// Seconds that the clocks of issuers may differ from ours, and the longest life of a token.
const LEEWAY: u64 = 30;
const LONGEST: u64 = 7 * 24 * 3600;
/// The longest text that is looked at.
const MAX_LENGTH: usize = 16 << 10;
/// Signatures that anybody can check and only the issuer can make.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Somebody for whom an issuer vouches.
#[derive(Clone, Debug)]
pub struct Voucher {
    pub known: Known,
    pub vouched: Vouched,
    /// Until when, in seconds.
    pub expires: u64,
}

/// A voucher, and whether it was judged by what was known before: then that may have changed since.
#[derive(Debug)]
pub struct Checked {
    pub voucher: Arc<Voucher>,
    pub remembered: Option<[u8; 32]>,
}

/// Why a token of somebody else makes nobody known. For the log: the client is told that it must log in.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error("it is no JSON Web Token that names its issuer")]
    Form,
    #[error("no issuer that we trust is called {issuer:?}")]
    Issuer { issuer: String },
    #[error("it is signed by {algorithm:?}, which proves nothing here")]
    Algorithm { algorithm: Algorithm },
    #[error("the issuer {issuer} has no key {key:?}")]
    Key { issuer: String, key: Option<String> },
    #[error("could not get the keys of the issuer {issuer}: {reason}")]
    Keys { issuer: String, reason: String },
    #[error("it is not signed by the issuer {issuer}")]
    Signature {
        issuer: String,
        #[source]
        source: jsonwebtoken::errors::Error,
    },
    #[error("it is for somebody else: the issuer {issuer} is trusted for its audiences alone")]
    Audience { issuer: String },
    #[error("it is not valid at this time")]
    Time,
    #[error("no rule of the issuer {issuer} fits it")]
    Rules { issuer: String },
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Checks tokens of others.
#[allow(missing_debug_implementations, reason = "what it remembers is nobody's to read")]
pub struct External {
    checked: Cache<[u8; 32], Arc<Voucher>>,
    issuers: Mutex<Issuers>,
    asking: tokio::sync::Mutex<()>,
    keys: Keys,
}

#[derive(Default)]
struct Issuers {
    known: Arc<Vec<IssuerView>>,
    asked: Option<Instant>,
}

impl Default for External {
    fn default() -> Self {
        Self {
            // Nor longer than a key that its issuer has taken back.
            checked: Cache::builder().max_capacity(REMEMBERED).time_to_live(KEYS).build(),
            issuers: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            keys: Keys::default(),
        }
    }
}

/// Whether a text is a token that somebody else than `own` issued, as far as it says so itself.
pub fn is_external(text: &str, own: &str) -> bool {
    claims_of(text).is_some_and(|claims| claims.get("iss").and_then(Value::as_str).is_some_and(|issuer| issuer != own))
}

/// What a token says, unchecked.
pub(super) fn claims_of(text: &str) -> Option<Map<String, Value>> {
    use base64::Engine as _;
    // Counted first, so that dots alone make no work (CVE-2025-30204).
    if text.len() > MAX_LENGTH || !text.starts_with("ey") || text.bytes().filter(|b| *b == b'.').take(3).count() != 2 {
        return None;
    }
    let payload = text.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

impl External {
    /// Whom a token makes known that was checked before.
    pub fn known(&self, index: &Index, text: &str) -> Option<Checked> {
        let place: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let voucher = self.checked.get(&place).filter(|voucher| seconds(index.time()) < voucher.expires)?;
        Some(Checked { voucher, remembered: Some(place) })
    }

    /// Whom a token makes known.
    pub async fn check(&self, index: &Index, text: &str) -> Result<Checked, ExternalError> {
        let claims = claims_of(text).ok_or(ExternalError::Form)?;
        let said = claims.get("iss").and_then(Value::as_str).ok_or(ExternalError::Form)?;
        let place: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let now = seconds(index.time());
        let mut most = LIST;
        loop {
            let (fitting, is_new) = self.named(index, said, most).await?;
            let mut last = ExternalError::Issuer { issuer: said.chars().take(200).collect() };
            // One address may have several names here, each for other audiences and rules.
            for view in fitting {
                match self.by(&view, text, now).await {
                    Ok(voucher) => {
                        let voucher = Arc::new(voucher);
                        self.checked.insert(place, Arc::clone(&voucher));
                        return Ok(Checked { voucher, remembered: (!is_new).then_some(place) });
                    }
                    Err(error) => last = error,
                }
            }
            if is_new {
                return Err(last);
            }
            // By what was known: it may be good by now.
            most = Duration::ZERO;
        }
    }

    /// What was remembered of a token no longer holds: issuers have changed.
    pub fn forget(&self, place: &[u8; 32]) {
        if self.checked.remove(place).is_some() {
            self.list().asked = None;
        }
    }

    /// Issuers whose tokens say so, by a list no older than this, and whether it was asked for just now.
    async fn named(&self, index: &Index, said: &str, most: Duration) -> Result<(Vec<IssuerView>, bool), IndexError> {
        let began = Instant::now();
        let known = || {
            let list = self.list();
            let asked = list.asked.filter(|asked| *asked >= began || asked.elapsed() < most)?;
            let found = list.known.iter().filter(|view| view.issuer.issuer == said).cloned().collect();
            Some((found, asked >= began))
        };
        if let Some(found) = known() {
            return Ok(found);
        }
        let _one = self.asking.lock().await;
        // Somebody else may have asked for it meanwhile.
        if let Some(found) = known() {
            return Ok(found);
        }
        let asked = Instant::now();
        let all = Arc::new(index.query(ListIssuers).await?);
        let is_there = |name: &str, version: u64| all.iter().any(|view| view.name == name && view.version == version);
        self.keys.keep(is_there);
        let found = all.iter().filter(|view| view.issuer.issuer == said).cloned().collect();
        *self.list() = Issuers { known: all, asked: Some(asked) };
        Ok((found, true))
    }

    async fn by(&self, view: &IssuerView, text: &str, now: u64) -> Result<Voucher, ExternalError> {
        let issuer = || view.name.clone();
        let header = jsonwebtoken::decode_header(text).map_err(|_| ExternalError::Form)?;
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(ExternalError::Algorithm { algorithm: header.alg });
        }
        let key = self.key(view, header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        // By the time of the index, below: that of this machine may be another.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&view.issuer.issuer]);
        validation.set_audience(&view.issuer.audiences);
        let decoded = jsonwebtoken::decode::<Map<String, Value>>(text, &key, &validation);
        let claims = match decoded {
            Ok(data) => data.claims,
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::InvalidAudience) => {
                return Err(ExternalError::Audience { issuer: issuer() });
            }
            Err(source) => return Err(ExternalError::Signature { issuer: issuer(), source }),
        };
        // A time that is none says nothing, and is not taken for one that was not said.
        let time = |claim: &str| match claims.get(claim) {
            None => Ok(None),
            Some(said) => said.as_f64().map(|number| Some(number.max(0.0) as u64)).ok_or(ExternalError::Time),
        };
        let expires = time("exp")?.ok_or(ExternalError::Time)?;
        let begins = time("nbf")?.or(time("iat")?).unwrap_or_default();
        if expires <= now || begins > now + LEEWAY || expires > now + LONGEST {
            return Err(ExternalError::Time);
        }
        let known = view.issuer.known(&view.name, &claims).ok_or_else(|| ExternalError::Rules { issuer: issuer() })?;
        Ok(Voucher { known, vouched: Vouched { issuer: issuer(), version: view.version }, expires })
    }

    async fn key(
        &self,
        view: &IssuerView,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, ExternalError> {
        let mut keys = self.keys.get(view, KEYS).await?;
        if pick(&keys, id, algorithm).is_none() && view.issuer.keys.is_none() {
            // It may be newer than what we have.
            keys = self.keys.get(view, keys::PAUSE).await?;
        }
        let key = pick(&keys, id, algorithm).and_then(|key| DecodingKey::from_jwk(key).ok());
        let short = id.map(|id| id.chars().take(100).collect());
        key.ok_or_else(|| ExternalError::Key { issuer: view.name.clone(), key: short })
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Issuers> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: Time) -> u64 {
    time.0 / 1000
}

/// The key that a token names; one that names none may be signed by the only one.
fn pick<'k>(keys: &'k JwkSet, id: Option<&str>, algorithm: Algorithm) -> Option<&'k Jwk> {
    let signs = |key: &&Jwk| {
        let is_for_signing =
            key.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let stated = key.common.key_algorithm.map(|stated| stated.to_string());
        is_for_signing && stated.is_none_or(|stated| stated == format!("{algorithm:?}"))
    };
    let mut fitting = keys.keys.iter().filter(signs).filter(|key| id.is_none() || key.common.key_id.as_deref() == id);
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then_some(first)
}

/// A client for one issuer: it follows nobody elsewhere.
pub fn client(ca: Option<&str>) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
    if let Some(ca) = ca {
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(ca.as_bytes())?);
    }
    builder.build()
}

/// What made a request fail in the end; the errors around it repeat the address.
pub(super) fn last_cause(error: &reqwest::Error) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.last().map_or_else(String::new, ToString::to_string)
}

/// The text of an answer, up to [`ANSWER`] bytes.
pub(super) async fn text_of(mut answer: reqwest::Response, address: &str) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(|error| format!("{address}: {}", last_cause(&error)))? {
        body.extend_from_slice(&bytes);
        if body.len() > ANSWER {
            return Err(format!("{address} answers more than {ANSWER} bytes"));
        }
    }
    String::from_utf8(body).map_err(|_| format!("{address} does not answer with a text"))
}
