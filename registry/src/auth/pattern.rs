//! [`Pattern`]: which repositories a rule is about. Pure.
//!
//! A pattern is parts joined by `/`, as a repository name is. `*` stands for any characters within one part, `**` as a
//! part of its own for any number of parts, also none, so `team/**` is `team` and all below it. `{user}` and `{group}`, as
//! parts of their own, stand for the name of who asks and for any group that he is in.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest pattern, in bytes, and the most parts.
const MAX_LENGTH: usize = 255;
const MAX_PARTS: usize = 32;

/// A well-formed pattern of repository names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    /// `**`
    Any,
    User,
    Group,
    /// Text in which `*` stands for any characters.
    Text(String),
}

/// Who asks, as far as variables of a pattern go.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub user: Option<&'a str>,
    pub groups: &'a BTreeSet<String>,
}

/// The text is not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("a pattern has at most {MAX_LENGTH} characters and {MAX_PARTS} parts, and is not empty")]
    Length,
    #[error(
        "a pattern is lower-case letters, digits, `.`, `_`, `-` and `*` in parts joined by `/`; `**`, `{{user}}` and `{{group}}` are parts of their own"
    )]
    Part,
    #[error("a pattern may have {{user}} once and {{group}} once")]
    Twice,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() || text.len() > MAX_LENGTH || text.split('/').count() > MAX_PARTS {
            return Err(PatternError::Length);
        }
        let parts = text.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        let count = |wanted: &Part| parts.iter().filter(|part| *part == wanted).count();
        if count(&Part::User) > 1 || count(&Part::Group) > 1 {
            return Err(PatternError::Twice);
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn part(text: &str) -> Result<Part, PatternError> {
    match text {
        "**" => Ok(Part::Any),
        "{user}" => Ok(Part::User),
        "{group}" => Ok(Part::Group),
        _ => {
            let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-*".contains(&b);
            let is_good = !text.is_empty() && text.bytes().all(is_known) && !text.contains("**");
            if is_good { Ok(Part::Text(text.to_owned())) } else { Err(PatternError::Part) }
        }
    }
}

impl Pattern {
    /// A pattern that is exactly this repository.
    pub fn exactly(repository: &crate::oci::name::RepositoryName) -> Self {
        let parts = repository.as_str().split('/').map(|part| Part::Text(part.to_owned())).collect();
        Self { text: repository.as_str().to_owned(), parts }
    }

    /// A pattern of all repositories.
    pub fn any() -> Self {
        Self { text: "**".into(), parts: vec![Part::Any] }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern is about this repository when `names` asks.
    pub fn matches(&self, repository: &str, names: Names<'_>) -> bool {
        let components: Vec<&str> = repository.split('/').collect();
        // reached[n]: the parts so far can stand for the first n components.
        let mut reached = vec![false; components.len() + 1];
        reached[0] = true;
        for part in &self.parts {
            let mut next = vec![false; components.len() + 1];
            let mut before = false;
            for (n, reached) in reached.iter().enumerate() {
                if *part == Part::Any {
                    before |= reached;
                    next[n] = before;
                } else if *reached
                    && let Some(component) = components.get(n)
                    && stands_for(part, component, names)
                {
                    next[n + 1] = true;
                }
            }
            reached = next;
        }
        reached.last() == Some(&true)
    }
}

fn stands_for(part: &Part, component: &str, names: Names<'_>) -> bool {
    match part {
        Part::Any => true,
        Part::User => names.user == Some(component),
        Part::Group => names.groups.contains(component),
        Part::Text(text) => glob(text, component),
    }
}

/// Whether `text` is what `pattern` says, in which each `*` stands for any characters.
pub fn glob(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    true
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{text:?}: {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, repository: &str) -> bool {
        let groups = BTreeSet::from(["dev".to_owned(), "ops".to_owned()]);
        pattern.parse::<Pattern>().unwrap().matches(repository, Names { user: Some("alice"), groups: &groups })
    }

    #[test]
    fn a_pattern_is_about_what_it_says_and_nothing_else() {
        for (pattern, about, not_about) in [
            ("**", &["a", "a/b/c"][..], &[][..]),
            ("team", &["team"], &["team/a", "teams", "tea"]),
            ("team/**", &["team", "team/a", "team/a/b"], &["teams/a", "a/team"]),
            ("team/*", &["team/a"], &["team", "team/a/b"]),
            ("team/**/prod", &["team/prod", "team/a/prod", "team/a/b/prod"], &["team/prod/a", "prod"]),
            ("**/cache", &["cache", "a/cache", "a/b/cache"], &["cache/a", "a/mycache"]),
            ("team-*/app", &["team-a/app", "team-/app"], &["team/app", "team-a/b/app"]),
            ("a*b*c", &["abc", "axxbyyc"], &["acb", "ab", "abcd"]),
            ("home/{user}/**", &["home/alice", "home/alice/x"], &["home/bob/x", "home/dev/x"]),
            ("teams/{group}/*", &["teams/dev/x", "teams/ops/x"], &["teams/alice/x", "teams/qa/x"]),
        ] {
            for repository in about {
                assert!(matches(pattern, repository), "{pattern} is about {repository}");
            }
            for repository in not_about {
                assert!(!matches(pattern, repository), "{pattern} is not about {repository}");
            }
        }
    }

    #[test]
    fn a_variable_stands_for_nothing_when_nobody_is_known() {
        let pattern: Pattern = "home/{user}".parse().unwrap();
        assert!(!pattern.matches("home/alice", Names { user: None, groups: &BTreeSet::new() }));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        let parse = |text: &str| text.parse::<Pattern>();
        for text in ["a//b", "/a", "a/", "A", "a/***", "x**", "{user}x", "{team}", "a b", "a:b", "..%2f"] {
            assert_eq!(parse(text), Err(PatternError::Part), "{text}");
        }
        assert_eq!(parse(""), Err(PatternError::Length));
        assert_eq!(parse(&"a".repeat(256)), Err(PatternError::Length));
        assert_eq!(parse(&vec!["a"; 33].join("/")), Err(PatternError::Length));
        assert_eq!(parse("{user}/{user}"), Err(PatternError::Twice));
    }

    proptest! {
        #[test]
        fn a_repository_is_matched_by_itself_and_by_everything(name in "[a-z]{1,4}(/[a-z]{1,4}){0,4}") {
            prop_assert!(matches(&name, &name));
            prop_assert!(matches("**", &name));
            let below = format!("{name}/**");
            prop_assert!(matches(&below, &name));
        }

        /// A pattern of text and `*` alone means what the same regular expression would.
        #[test]
        fn a_glob_is_what_a_slow_matcher_says(pattern in "[ab*]{0,8}", text in "[ab]{0,8}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern {
                    [] => text.is_empty(),
                    [b'*', rest @ ..] => (0..=text.len()).any(|n| slow(rest, &text[n..])),
                    [first, rest @ ..] => text.first() == Some(first) && slow(rest, &text[1..]),
                }
            }
            prop_assert_eq!(glob(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
