//! What is kept of logins: a file that only its owner reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What docker calls our helper: the end of `docker-credential-roadstead`.
const HELPER: &str = "roadstead";

/// Logins by registry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Logins(BTreeMap<String, Login>);

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Login {
    pub issuer: String,
    pub client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    pub id_token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Logins {
    pub fn read() -> anyhow::Result<Self> {
        let path = file()?;
        match fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read: delete it", path.display()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
        }
    }

    /// Changes what is kept. Programs that do so at once wait for each other.
    pub fn change<T>(what: impl FnOnce(&mut Self) -> T) -> anyhow::Result<T> {
        let path = file()?;
        let directory = path.parent().unwrap_or(Path::new("."));
        // Who logs in where is nobody else's to read.
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.with_context(|| format!("could not make {}", directory.display()))?;
        let lock = fs::File::create(path.with_extension("lock")).context("could not lock the logins")?;
        lock.lock().context("could not lock the logins")?;
        let mut logins = Self::read()?;
        let result = what(&mut logins);
        write(&path, &serde_json::to_vec_pretty(&logins)?)?;
        Ok(result)
    }

    pub fn get(&self, host: &str) -> Option<&Login> {
        self.0.get(host)
    }

    pub fn put(&mut self, host: &str, login: Login) {
        self.0.insert(host.to_owned(), login);
    }

    pub fn remove(&mut self, host: &str) -> bool {
        self.0.remove(host).is_some()
    }

    pub fn hosts(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

fn home() -> anyhow::Result<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set")
}

fn file() -> anyhow::Result<PathBuf> {
    let directory = match std::env::var_os("XDG_CONFIG_HOME") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => home()?.join(".config"),
    };
    Ok(directory.join("roadstead/logins.json"))
}

/// Whole, or not at all, and for its owner alone.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

/// Lets docker ask the helper about a registry; whatever else stands in its configuration stays.
pub(super) fn tell_docker(host: &str) -> anyhow::Result<()> {
    let path = docker_file()?;
    let mut config = docker(&path)?.unwrap_or_else(|| json!({}));
    let fields = config.as_object_mut().with_context(|| format!("{} is no object", path.display()))?;
    let helpers = fields.entry("credHelpers").or_insert_with(|| json!({}));
    let helpers = helpers.as_object_mut().with_context(|| format!("credHelpers in {} is no object", path.display()))?;
    helpers.insert(host.to_owned(), json!(HELPER));
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory).with_context(|| format!("could not make {}", directory.display()))?;
    write(&path, &serde_json::to_vec_pretty(&config)?)
}

/// Takes that back, if it is so; whatever else stands there stays, and a file that does not say it is not written.
pub(super) fn untell_docker(host: &str) -> anyhow::Result<()> {
    let path = docker_file()?;
    let Some(mut config) = docker(&path)? else { return Ok(()) };
    if forget_helper(&mut config, host) { write(&path, &serde_json::to_vec_pretty(&config)?) } else { Ok(()) }
}

/// Whether there was something to forget: what asks another helper is not ours.
fn forget_helper(config: &mut Value, host: &str) -> bool {
    let Some(fields) = config.as_object_mut() else { return false };
    let Some(helpers) = fields.get_mut("credHelpers").and_then(Value::as_object_mut) else { return false };
    if helpers.get(host).and_then(Value::as_str) != Some(HELPER) {
        return false;
    }
    helpers.remove(host);
    if helpers.is_empty() {
        fields.remove("credHelpers");
    }
    true
}

fn docker_file() -> anyhow::Result<PathBuf> {
    let directory = match std::env::var_os("DOCKER_CONFIG") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => home()?.join(".docker"),
    };
    Ok(directory.join("config.json"))
}

/// Docker's configuration; none: there is no such file.
fn docker(path: &Path) -> anyhow::Result<Option<Value>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| format!("{} is no JSON", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_forgets_our_helper_of_that_registry_and_nothing_else() {
        let ours =
            json!({ "auths": { "a": {} }, "credHelpers": { "a": "roadstead", "b": "roadstead", "c": "ecr-login" } });
        let mut config = ours.clone();
        for host in ["c", "d"] {
            assert!(!forget_helper(&mut config, host), "{host}");
            assert_eq!(config, ours);
        }
        assert!(forget_helper(&mut config, "a"));
        assert_eq!(config, json!({ "auths": { "a": {} }, "credHelpers": { "b": "roadstead", "c": "ecr-login" } }));
        let mut last = json!({ "auths": {}, "credHelpers": { "a": "roadstead" } });
        assert!(forget_helper(&mut last, "a"));
        assert_eq!(last, json!({ "auths": {} }));
        for mut other in [json!({}), json!([]), json!({ "credHelpers": [] })] {
            assert!(!forget_helper(&mut other, "a"), "{other}");
        }
    }
}
