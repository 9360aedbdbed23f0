//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>`, the two algorithms registered by the OCI image
//! specification ("Digests").
//!
//! A [`Digest`] that exists is well formed. Never build one from unchecked text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    /// The length of a digest of this algorithm, in bytes.
    pub const fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The name as it stands before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::Algorithm),
        }
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("a digest has the form algorithm:hex")]
    Form,
    #[error("the digest algorithm is not sha256 or sha512")]
    Algorithm,
    #[error("the digest has the wrong length for its algorithm")]
    Length,
    #[error("the digest is not lower-case hexadecimal")]
    Hex,
}

/// A digest, kept as raw bytes: 65 bytes, copied freely.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    bytes: [u8; 64],
}

impl Digest {
    /// Wraps the raw bytes of a digest.
    ///
    /// # Errors
    /// [`DigestError::Length`] when there are not as many bytes as the algorithm makes.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Result<Self, DigestError> {
        if raw.len() != algorithm.digest_len() {
            return Err(DigestError::Length);
        }
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Ok(Self { algorithm, bytes })
    }

    /// The sha256 digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self::of_with(Algorithm::Sha256, content)
    }

    /// The digest of `content` by `algorithm`.
    pub fn of_with(algorithm: Algorithm, content: &[u8]) -> Self {
        use sha2::Digest as _;
        let mut bytes = [0; 64];
        match algorithm {
            Algorithm::Sha256 => bytes[..32].copy_from_slice(&sha2::Sha256::digest(content)),
            Algorithm::Sha512 => bytes.copy_from_slice(&sha2::Sha512::digest(content)),
        }
        Self { algorithm, bytes }
    }

    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw bytes: 32 or 64 of them.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[..self.algorithm.digest_len()]
    }

    /// The hexadecimal part, lower case.
    pub fn hex(&self) -> String {
        hex::encode(self.raw())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Form)?;
        let algorithm: Algorithm = algorithm.parse()?;
        if hex.len() != algorithm.digest_len() * 2 {
            return Err(DigestError::Length);
        }
        if !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(DigestError::Hex);
        }
        let mut bytes = [0; 64];
        hex::decode_to_slice(hex, &mut bytes[..algorithm.digest_len()]).map_err(|_| DigestError::Hex)?;
        Ok(Self { algorithm, bytes })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
