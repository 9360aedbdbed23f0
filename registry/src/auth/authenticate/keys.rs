//! The keys that our own bearer tokens are signed with: those of the index, as far as they are known here.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{AuthError, Authenticator};
use crate::index::access::{AccessChange, KEY_KEPT, ListKeys, SigningKey};
use crate::index::command::{Command, Time};
use crate::index::{Index, IndexError};

/// How long a key is the one that signs, in milliseconds.
const LIFE: u64 = 24 * 3_600_000;
/// How often keys are asked for again because of a bearer token whose key is not known.
const KEYS_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Keys {
    known: Vec<SigningKey>,
    asked: Option<Instant>,
}

impl Authenticator {
    /// The key of this id; the index is asked when it is not known here, now and then.
    pub(super) async fn key(&self, index: &Index, id: &str) -> Result<Option<SigningKey>, AuthError> {
        let known = || good(&self.keys().known, id, index.time()).cloned();
        if let Some(key) = known() {
            return Ok(Some(key));
        }
        let _one = self.asking.lock().await;
        if let Some(key) = known() {
            return Ok(Some(key));
        }
        if self.keys().asked.is_some_and(|asked| asked.elapsed() < KEYS_PAUSE) {
            return Ok(None);
        }
        self.ask_for_keys(index).await?;
        Ok(known())
    }

    async fn ask_for_keys(&self, index: &Index) -> Result<(), AuthError> {
        let found = index.query(ListKeys).await?;
        *self.keys() = Keys { known: found, asked: Some(Instant::now()) };
        Ok(())
    }

    fn keys(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key to sign with that is not older than a day; it is made when there is none.
    pub async fn signing_key(&self, index: &Index) -> Result<SigningKey, AuthError> {
        let fresh = || self.keys().known.first().filter(|key| index.time() < key.created.after(LIFE)).cloned();
        if let Some(key) = fresh() {
            return Ok(key);
        }
        let _one = self.asking.lock().await;
        if fresh().is_none() {
            self.ask_for_keys(index).await?;
        }
        if fresh().is_none() {
            let key = new_key(index.time())?;
            let change = AccessChange::PutKey { key, unless_younger: LIFE };
            index.submit(None, Command::Access(Box::new(change))).await?;
            self.ask_for_keys(index).await?;
        }
        // A clock that runs ahead of the index finds even the new one too old: it signs all the same.
        let newest = self.keys().known.first().cloned();
        newest
            .ok_or_else(|| AuthError::Index(IndexError::Unavailable { reason: "there is no key to sign with".into() }))
    }
}

/// The key of this id, as long as what it signed may be good: what anybody signs with it later, he has it from an old backup.
/// `known` has the newest first.
fn good<'k>(known: &'k [SigningKey], id: &str, now: Time) -> Option<&'k SigningKey> {
    let at = known.iter().position(|key| key.id == id)?;
    // Whether there is a newer one may not be known here.
    let ended = at.checked_sub(1).map_or(known[at].created.after(LIFE), |next| known[next].created);
    (now < ended.after(KEY_KEPT)).then(|| &known[at])
}

fn new_key(created: Time) -> Result<SigningKey, AuthError> {
    let mut id = [0; 8];
    crate::random::fill(&mut id)?;
    let unavailable = |error: rcgen::Error| AuthError::Index(IndexError::Unavailable { reason: error.to_string() });
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(unavailable)?;
    Ok(SigningKey {
        id: hex::encode(id),
        private: pair.serialize_der().into(),
        public: bytes::Bytes::copy_from_slice(pair.public_key_raw()),
        created,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_was_replaced_is_good_for_an_hour_more_and_one_that_nobody_replaced_too() {
        let key = |id: &str, created| SigningKey {
            id: id.into(),
            private: bytes::Bytes::new(),
            public: bytes::Bytes::new(),
            created: Time(created),
        };
        let hour = 3_600_000;
        let keys = [key("new", 25 * hour), key("old", 0)];
        let is_good = |id: &str, now| good(&keys, id, Time(now)).is_some();
        assert!(is_good("old", 26 * hour - 1) && !is_good("old", 26 * hour));
        assert!(is_good("new", 50 * hour - 1) && !is_good("new", 50 * hour));
        assert!(!is_good("other", 0));
        assert!(good(&keys[1..], "old", Time(25 * hour - 1)).is_some());
        assert!(good(&keys[1..], "old", Time(25 * hour)).is_none());
    }
}
