//! What is granted to whom: verbs, roles, rules and policies as administrators write them and the index keeps them. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pattern::{Names, Pattern, glob};
use crate::config::Anonymous;

/// What may be done to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Verb {
    /// Read manifests, blobs, tags and referrers, and know that the repository is there.
    Pull = 1,
    /// Bring blobs and manifests, and point tags at them that do not exist yet.
    Push = 2,
    /// Point a tag that exists at another manifest.
    Overwrite = 4,
    /// Delete tags, manifests and blobs.
    Delete = 8,
    /// What rules about tags forbid to others.
    Admin = 16,
}

impl Verb {
    pub const ALL: [Self; 5] = [Self::Pull, Self::Push, Self::Overwrite, Self::Delete, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Verb {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|verb| verb.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no verb: use pull, push, overwrite, delete or admin"))
    }
}

/// Some verbs. Written as a list of their names.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Verbs(u8);

impl Verbs {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(31);

    pub fn of(verbs: impl IntoIterator<Item = Verb>) -> Self {
        Self(verbs.into_iter().fold(0, |bits, verb| bits | verb as u8))
    }

    pub const fn has(self, verb: Verb) -> bool {
        self.0 & verb as u8 != 0
    }

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Verbs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Verbs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(Vec::<Verb>::deserialize(deserializer)?))
    }
}

/// Verbs that go together, each with all of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Pull,
    /// Pushes, and makes tags that do not exist yet; a tag that exists stays where it points.
    Create,
    Push,
    Delete,
    Admin,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Pull, Self::Create, Self::Push, Self::Delete, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Create => "create",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    pub const fn verbs(self) -> Verbs {
        Verbs(match self {
            Self::Pull => 1,
            Self::Create => 3,
            Self::Push => 7,
            Self::Delete => 15,
            Self::Admin => 31,
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| format!("{text:?} is no role: use pull, create, push, delete or admin"))
    }
}

/// What the configuration grants to everyone.
pub const fn of_everyone(level: Anonymous) -> Verbs {
    match level {
        Anonymous::Nothing => Verbs::NONE,
        Anonymous::Pull => Role::Pull.verbs(),
        Anonymous::Push => Role::Push.verbs(),
        Anonymous::Delete => Role::Delete.verbs(),
    }
}

/// Whom a rule is about: `everyone`, `anonymous`, `authenticated`, `group:<name>`, or the text of a subject such as
/// `user:<name>` and `robot:<name>`, in which `*` stands for any characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Subjects(String);

impl Subjects {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `subject` is meant; none: nobody is known.
    pub fn mean(&self, subject: Option<&str>, groups: &BTreeSet<String>) -> bool {
        match (self.0.as_str(), subject) {
            ("everyone", _) | ("anonymous", None) | ("authenticated", Some(_)) => true,
            (text, Some(subject)) => match text.strip_prefix("group:") {
                Some(group) => groups.iter().any(|name| glob(group, name)),
                None => glob(text, subject),
            },
            (_, None) => false,
        }
    }
}

impl FromStr for Subjects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = matches!(text, "everyone" | "anonymous" | "authenticated");
        let is_named = text.split_once(':').is_some_and(|(kind, name)| {
            !name.is_empty() && !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase())
        });
        if text.len() <= 512 && !text.contains(char::is_control) && (is_word || is_named) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is no subject: use everyone, anonymous, authenticated, group:<name>, user:<name>, robot:<name> or another kind with its name"
        ))
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Subjects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Verbs on some repositories: what a robot has, and what a token is limited to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub repositories: Pattern,
    pub verbs: Verbs,
}

/// One rule of a policy: it allows, or it denies. What is denied by one rule no other can allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub subjects: Vec<Subjects>,
    pub repositories: Vec<Pattern>,
    /// All verbs of a role are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// These are allowed.
    #[serde(default, skip_serializing_if = "Verbs::is_empty_ref")]
    pub allow: Verbs,
    /// These are denied.
    #[serde(default, skip_serializing_if = "Verbs::is_empty_ref")]
    pub deny: Verbs,
}

impl Verbs {
    #[allow(clippy::trivially_copy_pass_by_ref)] // the form that serde calls
    fn is_empty_ref(&self) -> bool {
        self.is_empty()
    }
}

/// Tags that are written once: they stay where they point, and are not deleted, but by who has [`Verb::Admin`] there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteOnce {
    pub repositories: Vec<Pattern>,
    /// In which `*` stands for any characters: `v*`.
    pub tags: Vec<String>,
}

impl WriteOnce {
    pub fn keeps(&self, repository: &str, tag: &str) -> bool {
        self.tags.iter().any(|pattern| glob(pattern, tag)) && self.is_of(repository)
    }

    pub fn is_of(&self, repository: &str) -> bool {
        let nobody = Names { user: None, groups: &BTreeSet::new() };
        self.repositories.iter().any(|pattern| pattern.matches(repository, nobody))
    }
}

/// Some rules under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Tags that are written once, whoever pushes.
    #[serde(default, rename = "writeOnce", skip_serializing_if = "Vec::is_empty")]
    pub write_once: Vec<WriteOnce>,
}

/// The most rules of one policy, the most subjects and patterns of one rule, and the most bytes of its description.
const MAX_RULES: usize = 200;
const MAX_LIST: usize = 100;
pub const MAX_DESCRIPTION: usize = 1024;

impl Policy {
    /// Every mistake that the types do not exclude, as a sentence for who wrote it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.rules.len() > MAX_RULES {
            problems.push(format!("a policy has at most {MAX_RULES} rules: make several policies"));
        }
        if self.description.len() > MAX_DESCRIPTION {
            problems.push(format!("a description has at most {MAX_DESCRIPTION} bytes"));
        }
        if self.write_once.len() > MAX_RULES {
            problems.push(format!("a policy has at most {MAX_RULES} entries of writeOnce"));
        }
        for (kept, number) in self.write_once.iter().zip(1..) {
            let variable = |pattern: &Pattern| pattern.as_str().contains('{');
            if kept.repositories.is_empty() || kept.tags.is_empty() {
                problems.push(format!("entry {number} of writeOnce names no repositories or no tags"));
            }
            if kept.repositories.len() > MAX_LIST || kept.tags.len() > MAX_LIST {
                problems.push(format!("entry {number} of writeOnce names more than {MAX_LIST} repositories or tags"));
            }
            if kept.repositories.iter().any(variable) {
                problems.push(format!(
                    "entry {number} of writeOnce is about everybody: {{user}} and {{group}} mean nothing in it"
                ));
            }
            if kept.tags.iter().any(|tag| tag.is_empty() || tag.len() > 128) {
                problems.push(format!("entry {number} of writeOnce: a tag has 1 to 128 characters"));
            }
        }
        for (rule, number) in self.rules.iter().zip(1..) {
            if rule.subjects.is_empty() || rule.repositories.is_empty() {
                problems.push(format!("rule {number} names no subjects or no repositories: it would mean nothing"));
            }
            if rule.subjects.len() > MAX_LIST || rule.repositories.len() > MAX_LIST {
                problems.push(format!("rule {number} names more than {MAX_LIST} subjects or repositories"));
            }
            let said = usize::from(rule.role.is_some())
                + usize::from(!rule.allow.is_empty())
                + usize::from(!rule.deny.is_empty());
            if said != 1 {
                problems.push(format!("rule {number} must have exactly one of role, allow and deny"));
            }
        }
        problems
    }
}

impl Rule {
    /// What it allows.
    pub fn allows(&self) -> Verbs {
        self.role.map_or(self.allow, Role::verbs)
    }
}
