//! The text of `hosts.toml`, by which containerd and CRI-O are led to a registry. Pure.
//! Source: containerd, docs/hosts.md.

use std::fmt::Write;

/// How long a node tries to reach an address of the Service.
const DIAL: &str = "3s";

/// Where a node is to go for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// Whose file it is, for people.
    pub registry: String,
    /// The name in images.
    pub host: String,
    /// Addresses that are tried before that of the name, `https://10.0.0.1:443`: those of the Service, which the node's
    /// resolver does not know.
    pub targets: Vec<String>,
    /// The file with the authorities, as the node's runtime sees it; none: the node's own.
    pub ca: Option<String>,
}

impl Hosts {
    pub fn text(&self) -> String {
        let server = format!("https://{}", self.host);
        let mut text = format!(
            "# Written by Roadstead for the Registry {}: it is written again when it is changed, and removed with it.\n\
             # Without `server` the runtime would ask the internet for what it does not find here.\n\
             server = {server:?}\n",
            self.registry
        );
        if let Some(ca) = &self.ca {
            let _ = writeln!(text, "ca = {ca:?}");
        }
        let direct = self.targets.iter().chain(self.targets.is_empty().then_some(&server));
        for target in direct {
            let _ = write!(text, "\n[host.{target:?}]\n  capabilities = [\"pull\", \"resolve\"]\n");
            if let Some(ca) = &self.ca {
                let _ = writeln!(text, "  ca = {ca:?}");
            }
            // A Service whose pods are away swallows what is sent to it, and the host name is asked next. A containerd that
            // does not know the word yet passes it over: it reads the file without being strict, in 1.6 and 1.7 as in 2.
            if !self.targets.is_empty() {
                let _ = writeln!(text, "  dial_timeout = {DIAL:?}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_sent_to_the_service_and_never_to_the_internet() {
        let hosts = Hosts {
            registry: "images/images".into(),
            host: "registry.example.com".into(),
            targets: vec!["https://10.0.0.7:443".into()],
            ca: Some("/etc/containerd/certs.d/registry.example.com/ca.crt".into()),
        };
        let read: toml::Table = hosts.text().parse().unwrap_or_default();
        assert_eq!(read.get("server").and_then(toml::Value::as_str), Some("https://registry.example.com"));
        let target = read.get("host").and_then(|host| host.get("https://10.0.0.7:443"));
        let ca = target.and_then(|target| target.get("ca")).and_then(toml::Value::as_str);
        assert_eq!(ca, hosts.ca.as_deref());
        let dial = target.and_then(|target| target.get("dial_timeout")).and_then(toml::Value::as_str);
        assert_eq!(dial, Some("3s"), "a number would make containerd refuse the whole file");
        assert_eq!(read.get("host").and_then(toml::Value::as_table).map(toml::Table::len), Some(1));
    }

    #[test]
    fn without_a_target_there_is_a_host_section_all_the_same() {
        // containerd ignores the rest of a file that has none.
        let hosts = Hosts { registry: "a/b".into(), host: "r.example.com".into(), targets: vec![], ca: None };
        assert!(hosts.text().contains("[host.\"https://r.example.com\"]"), "{}", hosts.text());
        assert!(!hosts.text().contains("dial_timeout"), "nothing is left to be asked after it");
    }
}
