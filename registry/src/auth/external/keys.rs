//! The keys of issuers: got from them, kept, and got again. Who does not answer is waited for by those alone who come with his tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::JwkSet;
use serde_json::Value;

use super::{ExternalError, client, last_cause, text_of};
use crate::auth::issuer::{Issuer, is_address, keys_of};
use crate::index::access::IssuerView;

/// How often they are fetched again for one that is not among them, and how long they are used when their issuer does not answer.
pub const PAUSE: Duration = Duration::from_secs(10);
const MOST: Duration = Duration::from_hours(24);
/// How long one that failed is left alone: who hangs is not asked by everybody.
const FAILED_PAUSE: Duration = Duration::from_secs(2);

/// A name of an issuer, and the position of the entry that made it what it is.
type Place = (String, u64);

#[derive(Default)]
pub struct Keys(Mutex<HashMap<Place, Arc<Source>>>);

/// Where keys come from.
#[derive(Default)]
struct Source {
    kept: Mutex<Kept>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    keys: Option<Fetched>,
    /// When they could not be had at all, and why.
    failed: Option<(Instant, String)>,
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<JwkSet>,
    at: Instant,
    /// When it was last tried.
    tried: Instant,
}

impl Keys {
    /// The keys of an issuer, no older than this, as long as it answers.
    pub async fn get(&self, view: &IssuerView, most: Duration) -> Result<Arc<JwkSet>, ExternalError> {
        let source = Arc::clone(self.sources().entry((view.name.clone(), view.version)).or_default());
        let failed = |reason| ExternalError::Keys { issuer: view.name.clone(), reason };
        if let Some(known) = source.known(most) {
            return known.map_err(failed);
        }
        let _one = source.fetching.lock().await;
        // Somebody else may have got them meanwhile.
        if let Some(known) = source.known(most) {
            return known.map_err(failed);
        }
        let fetched = fetch(&view.issuer).await;
        if let Err(reason) = &fetched {
            tracing::warn!(issuer = view.name, reason, "could not get the keys of an issuer");
        }
        source.keep(fetched).map_err(failed)
    }

    /// Forgets those of issuers that are not there any more, or have changed.
    pub fn keep(&self, is_there: impl Fn(&str, u64) -> bool) {
        self.sources().retain(|(name, version), _| is_there(name, *version));
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<Place, Arc<Source>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// What there is without asking: keys, or why there are none.
    fn known(&self, most: Duration) -> Option<Result<Arc<JwkSet>, String>> {
        let kept = self.kept();
        if let Some(fetched) = &kept.keys
            && (fetched.at.elapsed() < most || fetched.tried.elapsed() < PAUSE)
        {
            return Some(Ok(Arc::clone(&fetched.keys)));
        }
        let (_, reason) = kept.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILED_PAUSE)?;
        Some(Err(reason.clone()))
    }

    /// Keeps what an issuer answered; those that there were are good for a while although it does not answer.
    fn keep(&self, fetched: Result<JwkSet, String>) -> Result<Arc<JwkSet>, String> {
        let (mut kept, now) = (self.kept(), Instant::now());
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *kept = Kept { keys: Some(Fetched { keys: Arc::clone(&keys), at: now, tried: now }), failed: None };
                Ok(keys)
            }
            Err(reason) => {
                if let Some(before) = kept.keys.as_mut().filter(|fetched| fetched.at.elapsed() < MOST) {
                    before.tried = now;
                    return Ok(Arc::clone(&before.keys));
                }
                kept.failed = Some((now, reason.clone()));
                Err(reason)
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets the keys of an issuer: those that stand in it, or those it publishes.
async fn fetch(issuer: &Issuer) -> Result<JwkSet, String> {
    if let Some(text) = &issuer.keys {
        return keys_of(text).ok_or_else(|| "they cannot be read".into());
    }
    let client = client(issuer.ca.as_deref()).map_err(|error| error.to_string())?;
    let address = format!("{}/.well-known/openid-configuration", issuer.issuer.trim_end_matches('/'));
    let found: Value = serde_json::from_str(&get(&client, &address).await?).map_err(|error| error.to_string())?;
    // It speaks for itself alone (OpenID Connect Discovery 1.0, section 4.3).
    if found.get("issuer").and_then(Value::as_str) != Some(issuer.issuer.as_str()) {
        return Err(format!("{address} describes another issuer"));
    }
    let keys = keys_at(issuer, &found).ok_or_else(|| format!("{address} does not say where its keys are"))?;
    keys_of(&get(&client, keys).await?).ok_or_else(|| format!("{keys} has no keys"))
}

/// Where an issuer says that its keys are. One that is asked over TLS does not lead to somebody on this machine.
fn keys_at<'f>(issuer: &Issuer, found: &'f Value) -> Option<&'f str> {
    let address = found.get("jwks_uri")?.as_str().filter(|address| is_address(address))?;
    (address.starts_with("https://") || issuer.issuer.starts_with("http://")).then_some(address)
}

/// What is at an address. What went wrong is told without what the other side answered.
async fn get(client: &reqwest::Client, address: &str) -> Result<String, String> {
    let failed = |error: reqwest::Error| format!("{address}: {}", last_cause(&error));
    let answer = client.get(address).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(format!("{address} answers {}", answer.status().as_u16()));
    }
    text_of(answer, address).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_issuer_leads_to_its_keys_over_tls_unless_it_is_on_this_machine_itself() {
        for (issuer, keys, is_good) in [
            ("https://ci.example.com", "https://keys.example.com/jwks", true),
            ("https://ci.example.com", "http://127.0.0.1:9000/jwks", false),
            ("https://ci.example.com", "http://keys.example.com/jwks", false),
            ("http://127.0.0.1:5556/dex", "http://127.0.0.1:5556/dex/keys", true),
        ] {
            let issuer = Issuer { issuer: issuer.to_owned(), ..Issuer::default() };
            let found = json!({ "jwks_uri": keys });
            assert_eq!(keys_at(&issuer, &found).is_some(), is_good, "{keys} of {}", issuer.issuer);
        }
        assert_eq!(keys_at(&Issuer::default(), &json!({})), None);
    }
}
