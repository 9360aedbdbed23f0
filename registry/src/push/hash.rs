//! A hash that can be stopped, kept in the index as a [`HashState`], and gone on with in another process.
//!
//! Called by the push path only. The state of the hash crate detects some damage, so a CRC32C of it and the count of
//! bytes stand beside it; a state that does not check is refused and never silently gives another digest.

use bytes::Bytes;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::index::command::HashState;
use crate::oci::digest::{Algorithm, Digest};

/// A hash in progress.
#[derive(Clone, Debug)]
pub struct Hasher {
    inner: Inner,
    length: u64,
}

#[derive(Clone, Debug)]
enum Inner {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// A saved state that cannot be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the saved state of the {} hash is damaged", algorithm.name())]
pub struct HashStateError {
    pub algorithm: Algorithm,
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Self {
        let inner = match algorithm {
            Algorithm::Sha256 => Inner::Sha256(Sha256::new()),
            Algorithm::Sha512 => Inner::Sha512(Sha512::new()),
        };
        Self { inner, length: 0 }
    }

    pub const fn algorithm(&self) -> Algorithm {
        match self.inner {
            Inner::Sha256(_) => Algorithm::Sha256,
            Inner::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Bytes hashed so far.
    pub const fn length(&self) -> u64 {
        self.length
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.inner {
            Inner::Sha256(hash) => hash.update(bytes),
            Inner::Sha512(hash) => hash.update(bytes),
        }
        self.length += bytes.len() as u64;
    }

    /// The digest of everything hashed so far.
    pub fn digest(&self) -> Result<Digest, crate::oci::digest::DigestError> {
        match &self.inner {
            Inner::Sha256(hash) => Digest::from_raw(Algorithm::Sha256, &hash.clone().finalize()),
            Inner::Sha512(hash) => Digest::from_raw(Algorithm::Sha512, &hash.clone().finalize()),
        }
    }

    pub fn save(&self) -> HashState {
        let state = match &self.inner {
            Inner::Sha256(hash) => Bytes::copy_from_slice(&hash.serialize()),
            Inner::Sha512(hash) => Bytes::copy_from_slice(&hash.serialize()),
        };
        let sum = sum(self.algorithm(), self.length, &state);
        HashState { algorithm: self.algorithm(), length: self.length, state, sum }
    }

    pub fn restore(saved: &HashState) -> Result<Self, HashStateError> {
        let algorithm = saved.algorithm;
        if saved.sum != sum(algorithm, saved.length, &saved.state) {
            return Err(HashStateError { algorithm });
        }
        let inner = match algorithm {
            Algorithm::Sha256 => load(&saved.state).map(Inner::Sha256),
            Algorithm::Sha512 => load(&saved.state).map(Inner::Sha512),
        };
        Ok(Self { inner: inner.ok_or(HashStateError { algorithm })?, length: saved.length })
    }
}

fn load<T: SerializableState>(bytes: &[u8]) -> Option<T> {
    let state = SerializedState::<T>::try_from(bytes).ok()?;
    T::deserialize(&state).ok()
}

/// Covers what the state itself does not say.
fn sum(algorithm: Algorithm, length: u64, state: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(algorithm.name().as_bytes()), &length.to_le_bytes());
    crc32c::crc32c_append(head, state)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hash_goes_on_where_it_was_stopped(
            content in prop::collection::vec(any::<u8>(), 0..600),
            at in 0usize..600,
            long in any::<bool>(),
        ) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let (before, after) = content.split_at(at.min(content.len()));
            let mut first = Hasher::new(algorithm);
            first.update(before);
            let mut second = Hasher::restore(&first.save()).unwrap();
            second.update(after);
            prop_assert_eq!(second.length(), content.len() as u64);
            prop_assert_eq!(second.digest().unwrap(), Digest::of_with(algorithm, &content));
        }
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"some bytes");
        let good = hasher.save();
        for position in 0..good.state.len() {
            let mut state = good.state.to_vec();
            state[position] ^= 1;
            assert!(Hasher::restore(&HashState { state: state.into(), ..good.clone() }).is_err(), "byte {position}");
        }
        let short = good.state.slice(1..);
        let sum = sum(Algorithm::Sha256, good.length, &short);
        for bad in [
            HashState { length: good.length + 1, ..good.clone() },
            HashState { algorithm: Algorithm::Sha512, ..good.clone() },
            HashState { sum: good.sum ^ 1, ..good.clone() },
            HashState { state: short, sum, ..good.clone() },
        ] {
            assert_eq!(Hasher::restore(&bad).unwrap_err(), HashStateError { algorithm: bad.algorithm });
        }
    }
}
