//! Whether the container runtime of a node looks into `certs.d` at all, by its configuration. Pure. It is never changed.

use std::path::Path;

use toml::{Table, Value};

/// What the configuration says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listens {
    Yes,
    /// No, and what to do about it.
    No(String),
    /// It cannot be seen from here.
    Unknown(String),
}

/// Judges the text of containerd's `config.toml`; none: there is no such file.
pub fn listens(config: Option<&str>, certs_directory: &str) -> Listens {
    let Some(config) = config else {
        return Listens::Unknown(
            "there is no config.toml beside certs.d: nothing says whether the runtime looks there".into(),
        );
    };
    let table: Table = match config.parse() {
        Ok(table) => table,
        Err(error) => return Listens::Unknown(format!("config.toml of containerd cannot be read: {error}")),
    };
    let paths: Vec<&str> = paths(&table);
    let is_there = |paths: &str| paths.split(':').any(|path| Path::new(path) == Path::new(certs_directory));
    if paths.iter().any(|paths| is_there(paths)) {
        return Listens::Yes;
    }
    if table.get("imports").and_then(Value::as_array).is_some_and(|imports| !imports.is_empty()) {
        return Listens::Unknown(format!(
            "config.toml of containerd imports other files, which may set config_path to {certs_directory}"
        ));
    }
    Listens::No(if paths.iter().all(|path| path.is_empty()) {
        format!(
            "containerd has no config_path: set it to {certs_directory} in its config.toml and restart it; `roadstead-operator snippet` \
             tells the way of several systems"
        )
    } else {
        format!("containerd looks into {} and not into {certs_directory}: set nodes.certsDirectory", paths.join(", "))
    })
}

/// Each `config_path` of the plugin that pulls images: its name differs between versions.
fn paths(table: &Table) -> Vec<&str> {
    let plugins = table.get("plugins").and_then(Value::as_table);
    let plugins = plugins.into_iter().flat_map(|plugins| plugins.iter());
    plugins
        .filter(|(name, _)| name.contains("cri"))
        .filter_map(|(_, plugin)| plugin.get("registry")?.get("config_path")?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTS: &str = "/etc/containerd/certs.d";

    #[test]
    fn both_names_of_the_plugin_are_known_and_lists_are_read() {
        let old =
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/etc/containerd/certs.d\"";
        let new = "version = 3\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = '/etc/docker/certs.d:/etc/containerd/certs.d/'";
        assert_eq!(listens(Some(old), CERTS), Listens::Yes);
        assert_eq!(listens(Some(new), CERTS), Listens::Yes);
    }

    #[test]
    fn a_runtime_that_does_not_look_is_told_of() {
        assert!(matches!(listens(Some("version = 2"), CERTS), Listens::No(why) if why.contains("config_path")));
        let other = "[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/elsewhere\"";
        assert!(matches!(listens(Some(other), CERTS), Listens::No(why) if why.contains("/elsewhere")));
    }

    #[test]
    fn what_cannot_be_seen_is_not_claimed() {
        assert!(matches!(listens(None, CERTS), Listens::Unknown(_)));
        assert!(matches!(listens(Some("imports = [\"/etc/containerd/conf.d/*.toml\"]"), CERTS), Listens::Unknown(_)));
        assert!(matches!(listens(Some("not = [toml"), CERTS), Listens::Unknown(_)));
    }
}
