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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let long = Digest::of_with(Algorithm::Sha512, b"");
        assert!(long.to_string().starts_with("sha512:cf83e1357eefb8bdf1542850d66d8007"));
        assert_eq!((long.raw().len(), long.hex().len()), (64, 128));
    }

    #[test]
    fn what_is_not_a_registered_digest_in_lower_case_is_refused() {
        let hex = &EMPTY[7..];
        for (text, expected) in [
            (String::new(), DigestError::Form),
            (hex.to_owned(), DigestError::Form),
            (format!("md5:{hex}"), DigestError::Algorithm),
            (format!("SHA256:{hex}"), DigestError::Algorithm),
            (format!(" sha256:{hex}"), DigestError::Algorithm),
            (format!("sha256+b64:{hex}"), DigestError::Algorithm),
            ("sha256:".into(), DigestError::Length),
            ("sha256:../../x".into(), DigestError::Length),
            (format!("sha256:{}", &hex[1..]), DigestError::Length),
            (format!("sha512:{hex}"), DigestError::Length),
            (format!("sha256:{}", hex.to_uppercase()), DigestError::Hex),
            (format!("sha256:g{}", &hex[1..]), DigestError::Hex),
            (format!("sha256::{}", &hex[1..]), DigestError::Hex),
            (format!("sha256:\u{e9}{}", &hex[2..]), DigestError::Hex),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn as_many_bytes_as_the_algorithm_makes_are_a_digest() {
        assert_eq!(Digest::from_raw(Algorithm::Sha256, &[7; 32]).unwrap().raw(), [7; 32]);
        for (algorithm, length) in [(Algorithm::Sha256, 31), (Algorithm::Sha256, 64), (Algorithm::Sha512, 32)] {
            assert_eq!(Digest::from_raw(algorithm, &vec![0; length]), Err(DigestError::Length));
        }
    }

    proptest! {
        #[test]
        fn a_digest_is_what_its_text_and_its_record_say(content: Vec<u8>, long: bool) {
            let digest = Digest::of_with(if long { Algorithm::Sha512 } else { Algorithm::Sha256 }, &content);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_raw(digest.algorithm(), digest.raw()), Ok(digest));
            let record = rmp_serde::to_vec_named(&digest).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<Digest>(&record).unwrap(), digest);
        }
    }
}
