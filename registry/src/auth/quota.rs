//! Quotas: how much the repositories under a pattern may hold together. Pure.
//!
//! The pattern is parts joined by `/`: names, `*` (or `{user}`) for any one part, and at the end `**` for everything below. Each way
//! in which the `*` can be filled in is a **share** of its own with the whole quota: `home/*/**` gives each home as much.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest pattern, in bytes, and the most parts.
const MAX_LENGTH: usize = 255;
const MAX_PARTS: usize = 16;

/// Which repositories share a quota.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Shares {
    text: String,
    /// None: any name.
    parts: Vec<Option<String>>,
    /// Everything below belongs to it too.
    is_tree: bool,
}

/// The text is no pattern of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the repositories of a quota are named by parts joined by `/`: names, `*` for any one part, and at the end `**` for everything below; at most {MAX_PARTS} parts and {MAX_LENGTH} characters"
)]
pub struct SharesError;

impl FromStr for Shares {
    type Err = SharesError;

    fn from_str(text: &str) -> Result<Self, SharesError> {
        let (front, is_tree) = match text.strip_suffix("**") {
            Some("") => ("", true),
            Some(front) => (front.strip_suffix('/').ok_or(SharesError)?, true),
            None => (text, false),
        };
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(SharesError);
        }
        let part = |part: &str| match part {
            "*" | "{user}" => Ok(None),
            name if name.parse::<crate::oci::name::RepositoryName>().is_ok() => Ok(Some(name.to_owned())),
            _ => Err(SharesError),
        };
        let parts = if front.is_empty() { Vec::new() } else { front.split('/').map(part).collect::<Result<_, _>>()? };
        if parts.len() > MAX_PARTS {
            return Err(SharesError);
        }
        Ok(Self { text: text.to_owned(), parts, is_tree })
    }
}

impl Shares {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The share that a repository belongs to: the beginning of its name. None: it belongs to none.
    pub fn of<'r>(&self, repository: &'r str) -> Option<&'r str> {
        let mut end = 0;
        let mut components = repository.split('/');
        for (part, number) in self.parts.iter().zip(0..) {
            let component = components.next()?;
            if part.as_ref().is_some_and(|part| part != component) {
                return None;
            }
            end += component.len() + usize::from(number > 0);
        }
        (self.is_tree || components.next().is_none()).then(|| &repository[..end])
    }

    /// What every name that belongs to it begins with.
    pub fn beginning(&self) -> String {
        let named: Vec<&str> = self.parts.iter().map_while(Option::as_deref).collect();
        named.join("/")
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Shares {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Shares {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

/// How much each share may hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub repositories: Shares,
    /// Bytes of blobs and manifests, each distinct digest once; none: as many as there is room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<u64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_fill_in_a_pattern_is_a_share_of_its_own() {
        for (pattern, repository, share) in [
            ("**", "a/b", Some("")),
            ("team/**", "team/a/b", Some("team")),
            ("team/**", "team", Some("team")),
            ("team/**", "teams/a", None),
            ("team", "team/a", None),
            ("team/app", "team/app", Some("team/app")),
            ("home/*/**", "home/alice/x/y", Some("home/alice")),
            ("home/{user}/**", "home/bob", Some("home/bob")),
            ("home/*/**", "home", None),
            ("*/*", "a/b", Some("a/b")),
            ("*/*", "a/b/c", None),
        ] {
            assert_eq!(pattern.parse::<Shares>().unwrap().of(repository), share, "{pattern} {repository}");
        }
        assert_eq!("home/x/*/y/**".parse::<Shares>().unwrap().beginning(), "home/x");
    }

    #[test]
    fn what_is_no_pattern_of_a_quota_is_refused() {
        for text in ["", "a/", "/a", "a//b", "a**", "**/a", "a/**/b", "A", "a*", &"a/".repeat(20), &"a".repeat(256)] {
            assert_eq!(text.parse::<Shares>(), Err(SharesError), "{text}");
        }
    }
}
