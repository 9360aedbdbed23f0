//! Secrets: passwords and tokens, how they are made, and what the index keeps of them. What is kept does not give the secret away.
//!
//! A password is kept as its Argon2id hash (RFC 9106) with the parameters it was made with. A token is 192 random bits, so
//! one round of SHA-256 is enough, and checking it costs nothing.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::random::{self, RandomError};

/// What OWASP's "Password Storage Cheat Sheet" recommends for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// The shortest and the longest password. A longer one would only make work.
pub const MIN_PASSWORD: usize = 8;
pub const MAX_PASSWORD: usize = 1024;

/// Memory that hashes have worked in, for the next ones. Each new 19 MiB would stay with the thread that asked for them: the allocator
/// gives freed memory of that size back to its own thread alone, and each hash has another one.
static MEMORY: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());
const KEPT: usize = 2;

fn taken() -> Vec<Block> {
    MEMORY.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

fn give_back(memory: Vec<Block>) {
    let mut kept = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < KEPT {
        kept.push(memory);
    }
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
    pub salt: Bytes,
    pub hash: Bytes,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "argon2id(m={},t={},p={})", self.memory_kib, self.passes, self.lanes)
    }
}

/// A password cannot be kept or compared.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("a password has {MIN_PASSWORD} to {MAX_PASSWORD} bytes")]
    Length,
    #[error(transparent)]
    Random(#[from] RandomError),
    #[error("the password could not be hashed: {0}")]
    Hash(argon2::Error),
}

impl PasswordHash {
    /// Hashes a new password. Takes some 20 ms and 19 MiB: away from the threads that serve connections.
    pub fn new(password: &str) -> Result<Self, SecretError> {
        if !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len()) {
            return Err(SecretError::Length);
        }
        let mut salt = [0; SALT_BYTES];
        random::fill(&mut salt)?;
        let blank = Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: Bytes::copy_from_slice(&salt),
            hash: Bytes::new(),
        };
        let hash = blank.compute(password)?;
        Ok(Self { hash: Bytes::copy_from_slice(&hash), ..blank })
    }

    /// Keeps how it was made, and no more what it was made of.
    pub fn blank(&mut self) {
        self.salt.clear();
        self.hash.clear();
    }

    /// One that no password has, for work that takes as long as that for a known user.
    pub fn of_nobody() -> Self {
        Self {
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: Bytes::from_static(&[0; SALT_BYTES]),
            hash: Bytes::new(),
        }
    }

    fn compute(&self, password: &str) -> Result<[u8; HASH_BYTES], SecretError> {
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).map_err(SecretError::Hash)?;
        let mut hash = [0; HASH_BYTES];
        let mut memory = taken();
        memory.resize(params.block_count(), Block::default());
        let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into_with_memory(
            password.as_bytes(),
            &self.salt,
            &mut hash,
            &mut memory,
        );
        give_back(memory);
        hashed.map_err(SecretError::Hash)?;
        Ok(hash)
    }

    /// Whether this is the password. As slow as [`Self::new`], whatever the answer.
    pub fn is(&self, password: &str) -> bool {
        // Longer ones were never taken.
        let password = password.get(..MAX_PASSWORD + 1).unwrap_or(password);
        self.compute(password).is_ok_and(|hash| self.hash.ct_eq(&hash).into())
    }

    /// Tells this hash from all others, of the same password too; says nothing of the password.
    pub fn version(&self) -> u64 {
        let mut sum = Sha256::new();
        sum.update(b"roadstead password version\0");
        sum.update(&self.salt);
        sum.update(&self.hash);
        let sum: [u8; 32] = sum.finalize().into();
        u64::from_be_bytes([sum[0], sum[1], sum[2], sum[3], sum[4], sum[5], sum[6], sum[7]])
    }
}

/// What every token begins with, so that scanners for leaked secrets find it.
const PREFIX: &str = "rst_";
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 24;

/// A token, as its holder has it: `rst_<id>_<secret><check sum>`, in hexadecimal.
#[derive(Clone)]
pub struct TokenText {
    pub id: String,
    secret: [u8; SECRET_BYTES],
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenText").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TokenText {
    pub fn new() -> Result<Self, RandomError> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        random::fill(&mut id)?;
        random::fill(&mut secret)?;
        Ok(Self { id: hex::encode(id), secret })
    }

    /// Reads what a client sent; none when it is no token, or was mistyped.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let mut id_bytes = [0; ID_BYTES];
        hex::decode_to_slice(id, &mut id_bytes).ok()?;
        let mut bytes = [0; SECRET_BYTES + 4];
        hex::decode_to_slice(rest, &mut bytes).ok()?;
        let (secret, sum) = bytes.split_at(SECRET_BYTES);
        let token = Self { id: hex::encode(id_bytes), secret: secret.try_into().ok()? };
        (token.sum().to_be_bytes() == *sum).then_some(token)
    }

    /// What is shown once and never kept.
    pub fn text(&self) -> String {
        format!("{PREFIX}{}_{}{:08x}", self.id, hex::encode(self.secret), self.sum())
    }

    fn sum(&self) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(self.id.as_bytes()), &self.secret)
    }

    /// What the index keeps.
    pub fn hash(&self) -> Bytes {
        let mut sum = Sha256::new();
        sum.update(b"roadstead token\0");
        sum.update(self.id.as_bytes());
        sum.update(self.secret);
        let sum: [u8; 32] = sum.finalize().into();
        Bytes::copy_from_slice(&sum)
    }

    /// Whether the index keeps this of it.
    pub fn is(&self, hash: &[u8]) -> bool {
        self.hash().ct_eq(hash).into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_another_is_not() {
        let hash = PasswordHash::new("correct horse").unwrap();
        assert!(hash.is("correct horse"));
        assert!(!hash.is("correct horsf") && !hash.is("") && !hash.is(&"x".repeat(100_000)));
        let again = PasswordHash::new("correct horse").unwrap();
        assert_ne!(hash.hash, again.hash, "each has a salt of its own");
        assert_ne!(hash.version(), again.version());
        assert!(!PasswordHash::of_nobody().is(""));
    }

    #[test]
    fn a_password_that_is_too_short_or_too_long_is_refused() {
        assert!(matches!(PasswordHash::new("short"), Err(SecretError::Length)));
        assert!(matches!(PasswordHash::new(&"x".repeat(MAX_PASSWORD + 1)), Err(SecretError::Length)));
    }

    #[test]
    fn a_token_is_read_back_and_a_changed_one_is_none() {
        let token = TokenText::new().unwrap();
        let text = token.text();
        let read = TokenText::parse(&text).unwrap();
        assert_eq!((read.text(), read.id.clone()), (text.clone(), token.id.clone()));
        assert!(read.is(&token.hash()) && !read.is(&[]) && !read.is(&TokenText::new().unwrap().hash()));
        for (at, _) in text.char_indices() {
            let mut changed = text.clone();
            let other = if &text[at..=at] == "1" { "2" } else { "1" };
            changed.replace_range(at..=at, other);
            assert!(TokenText::parse(&changed).is_none(), "{changed}");
        }
        assert!(TokenText::parse("").is_none() && TokenText::parse("rst_").is_none());
    }

    #[test]
    fn what_is_kept_of_a_secret_does_not_show_it() {
        let token = TokenText::new().unwrap();
        assert!(!format!("{token:?}").contains(&hex::encode(token.secret)));
        let hash = PasswordHash::new("correct horse").unwrap();
        assert_eq!(format!("{hash:?}"), "argon2id(m=19456,t=2,p=1)");
    }
}
