//! Repository names, by the grammar of the distribution specification ("Pulling manifests"), at most 255 bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest repository name, in bytes.
pub const MAX_LENGTH: usize = 255;

/// A well-formed repository name, for example `team/app`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(Arc<str>);

/// The text is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a repository name is lower-case letters, digits and single separators (. _ __ -) in parts joined by /, at most 255 characters"
)]
pub struct NameError;

impl RepositoryName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One part: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    bytes
        .split(|b| alphanumeric(*b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_LENGTH || !text.split('/').all(is_component) {
            return Err(NameError);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for RepositoryName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepositoryName {
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

    #[test]
    fn names_of_the_grammar_are_taken() {
        for text in ["a", "0", "team/app", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a---b", "a.b_c__d-e/0"] {
            assert_eq!(text.parse::<RepositoryName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_outside_the_grammar_are_refused() {
        for text in [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            "A",
            "a/B",
            "..",
            "a/../b",
            "a..b",
            "a___b",
            "a._b",
            "a-_b",
            "-a",
            "a-",
            ".a",
            "a.",
            "_a",
            "a_",
            "a b",
            "a:b",
            "a@b",
            "a%2fb",
            "a\\b",
            "a\0",
            "a\n",
            "\u{e4}",
            "a/\u{ff41}",
        ] {
            assert_eq!(text.parse::<RepositoryName>(), Err(NameError), "{text:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_255_bytes() {
        assert!("a".repeat(MAX_LENGTH).parse::<RepositoryName>().is_ok());
        assert!("a".repeat(MAX_LENGTH + 1).parse::<RepositoryName>().is_err());
    }

    proptest! {
        #[test]
        fn a_name_made_by_the_grammar_comes_back_as_it_was(
            text in "[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}(/[a-z0-9]{1,5}((\\.|_|__|-{1,3})[a-z0-9]{1,5}){0,3}){0,3}"
        ) {
            let name: RepositoryName = text.parse().unwrap();
            let record = rmp_serde::to_vec_named(&name).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<RepositoryName>(&record).unwrap(), name.clone());
            prop_assert_eq!(name.to_string(), text);
        }
    }
}
