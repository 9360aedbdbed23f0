//! Puts the configuration together from its sources; each wins over those before it: defaults, file, environment,
//! `--set`, options of the command line. Pure: `cli` reads the file and the environment.
//!
//! A key that nobody knows is an error that names the nearest known one: a setting must never be ignored in silence.

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::keys::{known, nearest, variable};

/// What the configuration is made of.
#[derive(Debug, Default)]
pub struct Sources {
    /// The name and the text of the configuration file.
    pub file: Option<(String, String)>,
    /// Variables whose names begin with `ROADSTEAD_`.
    pub environment: Vec<(String, String)>,
    /// `section.key=value`, in the order given.
    pub set: Vec<String>,
    /// Keys that have an option of their own, with what was given.
    pub flags: Vec<(&'static str, String)>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{place}: there is no key `{key}`; did you mean `{nearest}`?")]
    UnknownKey { place: String, key: String, nearest: String },
    #[error("{place}: {reason}")]
    File { place: String, reason: String },
    #[error("--set {argument}: write it as section.key=value")]
    NotAssignment { argument: String },
    #[error("{place}: {value:?} is no value for {key}: {reason}")]
    Value { place: String, key: String, value: String, reason: String },
}

impl LoadError {
    /// The same, said of another place.
    #[must_use]
    pub fn at(mut self, elsewhere: &str) -> Self {
        match &mut self {
            Self::UnknownKey { place, .. } | Self::File { place, .. } | Self::Value { place, .. } => {
                elsewhere.clone_into(place);
            }
            Self::NotAssignment { .. } => {}
        }
        self
    }
}

/// Puts the sources together.
pub fn load(sources: &Sources) -> Result<Config, LoadError> {
    let known = known();
    let mut table = Table::new();
    if let Some((name, text)) = &sources.file {
        table = read_file(name, text, &known)?;
    }
    let mut last = ("the configuration".to_owned(), String::new(), String::new());
    for (place, key, text) in assignments(sources, &known)? {
        insert(&mut table, &key, value(&place, &key, &text)?);
        last = (place, key, text);
    }
    // Each part was accepted on its own, so this cannot fail; if it does, the last word is the one to look at.
    Config::deserialize(table).map_err(|error| LoadError::Value {
        place: last.0,
        key: last.1,
        value: last.2,
        reason: error.message().to_owned(),
    })
}

/// Where it was said, the key, and the text of the value; in the order of precedence.
type Assignment = (String, String, String);

fn assignments(sources: &Sources, known: &[String]) -> Result<Vec<Assignment>, LoadError> {
    let mut all = Vec::new();
    for (name, text) in &sources.environment {
        if is_service_link(name) {
            continue;
        }
        let key = known.iter().find(|key| variable(key) == *name);
        let key = key.ok_or_else(|| {
            let variables: Vec<String> = known.iter().map(|key| variable(key)).collect();
            unknown("the environment", name, variables.iter().map(String::as_str))
        })?;
        all.push((format!("the environment variable {name}"), key.clone(), text.clone()));
    }
    for argument in &sources.set {
        let (key, text) =
            argument.split_once('=').ok_or_else(|| LoadError::NotAssignment { argument: argument.clone() })?;
        if !known.iter().any(|known| known == key) {
            return Err(unknown("--set", key, known.iter().map(String::as_str)));
        }
        all.push(("--set".to_owned(), key.to_owned(), text.to_owned()));
    }
    for (key, text) in &sources.flags {
        let option = key.rsplit('.').next().unwrap_or(key).replace('_', "-");
        all.push((format!("--{option}"), (*key).to_owned(), text.clone()));
    }
    Ok(all)
}

/// Kubernetes sets `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT_5000_TCP` and the like for every Service in the namespace;
/// ours is usually called `roadstead`.
fn is_service_link(name: &str) -> bool {
    name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || name.ends_with("_PORT") || {
        name.split_once("_PORT_").is_some_and(|(_, rest)| rest.starts_with(|first: char| first.is_ascii_digit()))
    }
}

fn unknown<'a>(place: &str, key: &str, candidates: impl IntoIterator<Item = &'a str>) -> LoadError {
    LoadError::UnknownKey {
        place: place.to_owned(),
        key: key.to_owned(),
        nearest: nearest(key, candidates).unwrap_or_default().to_owned(),
    }
}

fn read_file(name: &str, text: &str, known: &[String]) -> Result<Table, LoadError> {
    let error = |error: toml::de::Error| LoadError::File { place: name.to_owned(), reason: error.to_string() };
    let table: Table = toml::from_str(text).map_err(error)?;
    unknown_in(&table, "", known).map_or(Ok(()), |key| Err(unknown(name, &key, known.iter().map(String::as_str))))?;
    // Read as the struct too: only so does an error name the line.
    toml::from_str::<Config>(text).map_err(error)?;
    Ok(table)
}

/// The first key of `table` that is neither a known key nor a section on the way to one.
fn unknown_in(table: &Table, path: &str, known: &[String]) -> Option<String> {
    table.iter().find_map(|(name, value)| {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let section = format!("{key}.");
        match value {
            _ if known.contains(&key) => None,
            Value::Table(inner) if !inner.is_empty() => unknown_in(inner, &key, known),
            // A section that is empty, or was given a plain value: the struct's own error says so better.
            _ if known.iter().any(|known| known.starts_with(&section)) => None,
            _ => Some(key),
        }
    })
}

/// Reads a text as a value of the type that the key has: as the first of text, number and truth that fits there.
fn value(place: &str, key: &str, text: &str) -> Result<Value, LoadError> {
    let number = text.replace('_', "").parse().ok().map(Value::Integer);
    let truth = text.parse().ok().map(Value::Boolean);
    let mut reason = String::new();
    for candidate in [number, truth, Some(Value::String(text.to_owned()))].into_iter().flatten() {
        let mut table = Table::new();
        insert(&mut table, key, candidate.clone());
        match Config::deserialize(table) {
            Ok(_) => return Ok(candidate),
            Err(error) => error.message().trim().clone_into(&mut reason),
        }
    }
    Err(LoadError::Value { place: place.to_owned(), key: key.to_owned(), value: text.to_owned(), reason })
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
