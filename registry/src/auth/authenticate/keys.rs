//! The keys that our own bearer tokens are signed with: those of the index, as far as they are known here.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{AuthError, Authenticator};
use crate::index::access::{AccessChange, ListKeys, SigningKey};
use crate::index::command::{Command, Time};
use crate::index::{Index, IndexError};

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
        let known = || self.keys().known.iter().find(|key| key.id == id).cloned();
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

    /// A key to sign with that is not older than `life` milliseconds; it is made when there is none.
    pub async fn signing_key(&self, index: &Index, life: u64) -> Result<SigningKey, AuthError> {
        let fresh = || self.keys().known.first().filter(|key| index.time() < key.created.after(life)).cloned();
        if let Some(key) = fresh() {
            return Ok(key);
        }
        let _one = self.asking.lock().await;
        if fresh().is_none() {
            self.ask_for_keys(index).await?;
        }
        if fresh().is_none() {
            let key = new_key(index.time())?;
            let change = AccessChange::PutKey { key, unless_younger: life };
            index.submit(None, Command::Access(Box::new(change))).await?;
            self.ask_for_keys(index).await?;
        }
        // A clock that runs ahead of the index finds even the new one too old: it signs all the same.
        let newest = self.keys().known.first().cloned();
        newest
            .ok_or_else(|| AuthError::Index(IndexError::Unavailable { reason: "there is no key to sign with".into() }))
    }
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
