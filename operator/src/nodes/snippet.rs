//! What to tell nodes whose system is configured by its vendor's way, and where files that a DaemonSet writes would be
//! ignored or overwritten.

use clap::{Args, ValueEnum};

/// The systems that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum System {
    /// k3s and RKE2.
    K3s,
    Talos,
    Gke,
    Bottlerocket,
    Openshift,
    /// Any containerd with `config_path`.
    Containerd,
}

#[derive(Clone, Debug, Args)]
pub struct SnippetArgs {
    /// The system of the nodes.
    #[arg(long = "for", value_enum)]
    system: System,
    /// The host name of the registry (`spec.hostname`).
    #[arg(long)]
    host: String,
    /// A file with the authority to trust (`kubectl get configmap NAME-ca -o jsonpath='{.data.ca\.crt}'`); without it the host's certificate is
    /// publicly trusted.
    #[arg(long)]
    ca: Option<std::path::PathBuf>,
}

/// The text, with what to do with it as comments.
pub fn text(args: &SnippetArgs) -> anyhow::Result<String> {
    let ca = match &args.ca {
        Some(path) => Some(std::fs::read_to_string(path)?.trim_end().to_owned()),
        None => None,
    };
    Ok(write(args.system, &args.host, ca.as_deref()))
}

fn write(system: System, host: &str, ca: Option<&str>) -> String {
    let indented = |ca: &str, by: usize| {
        let lines: Vec<String> = ca.lines().map(|line| " ".repeat(by) + line).collect();
        lines.join("\n") + "\n"
    };
    match system {
        System::K3s => {
            let tls = ca.map_or(String::new(), |_| {
                format!("configs:\n  \"{host}\":\n    tls:\n      ca_file: /etc/rancher/k3s/{host}.crt\n")
            });
            let file = ca.map_or(String::new(), |ca| {
                format!("# /etc/rancher/k3s/{host}.crt on each node:\n{}", indented(ca, 0))
            });
            format!(
                "# /etc/rancher/k3s/registries.yaml on each node (RKE2: /etc/rancher/rke2); then restart k3s.\nmirrors:\n  \"{host}\":\n    endpoint:\n      - \
                 \"https://{host}\"\n{tls}{file}"
            )
        }
        System::Talos => {
            let tls = ca.map_or(String::new(), |ca| {
                format!(
                    "---\napiVersion: v1alpha1\nkind: TrustedRootsConfig\nname: {host}\ncertificates: |-\n{}",
                    indented(ca, 2)
                )
            });
            format!(
                "# A machine configuration patch: talosctl patch machineconfig --patch @FILE\nmachine:\n  registries:\n    mirrors:\n      {host}:\n        \
                 endpoints:\n          - https://{host}\n{tls}"
            )
        }
        System::Gke => {
            let body = if ca.is_some() {
                format!(
                    "# First put the authority there: gcloud secrets create roadstead-ca --data-file=ca.crt\nprivateRegistryAccessConfig:\n  enabled: true\n  \
                     certificateAuthorityDomainConfig:\n  - gcpSecretManagerCertificateConfig:\n      secretURI: \
                     projects/PROJECT/secrets/roadstead-ca/versions/1\n    fqdns:\n    - {host}\n"
                )
            } else {
                format!("# The certificate of {host} is publicly trusted: nothing is to be done.\n")
            };
            format!(
                "# gcloud container node-pools update POOL --cluster CLUSTER --containerd-config-from-file FILE\n{body}"
            )
        }
        System::Bottlerocket => {
            let trust = ca.map_or(String::new(), |ca| {
                format!(
                    "\n[settings.pki.roadstead]\ntrusted = true\n# The authority, in base64:\ndata = \"{}\"\n",
                    base64(format!("{ca}\n").as_bytes())
                )
            });
            format!(
                "# User data of the nodes, or: apiclient apply\n[[settings.container-registry.mirrors]]\nregistry = \"{host}\"\nendpoint = [\"https://{host}\"]\n{trust}"
            )
        }
        System::Openshift => {
            let key = host.replace(':', "..");
            let map = ca.map_or(String::new(), |ca| {
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: roadstead-ca\n  namespace: openshift-config\ndata:\n  {key}: |\n{}---\n# Then: oc patch \
                     image.config.openshift.io/cluster --type merge -p \
                     '{{\"spec\":{{\"additionalTrustedCA\":{{\"name\":\"roadstead-ca\"}}}}}}'\n",
                    indented(ca, 4)
                )
            });
            format!("# oc apply -f FILE. Names that no resolver of the nodes knows need an entry there first.\n{map}")
        }
        System::Containerd => {
            let path = format!("/etc/containerd/certs.d/{host}");
            let hosts = super::hosts::Hosts {
                registry: "of this cluster".into(),
                host: host.to_owned(),
                targets: Vec::new(),
                ca: ca.map(|_| format!("{path}/ca.crt")),
            };
            let file = ca.map_or(String::new(), |ca| format!("\n# {path}/ca.crt on each node:\n{}", indented(ca, 0)));
            format!(
                "# {path}/hosts.toml on each node; config_path of containerd must be /etc/containerd/certs.d.\n{}{file}",
                hosts.text()
            )
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    // As the API server writes bytes.
    let text = serde_json::to_string(&k8s_openapi::ByteString(bytes.to_vec())).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_told_the_host_and_the_authority() {
        let ca = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
        for system in System::value_variants() {
            let text = write(*system, "registry.example.com", Some(ca));
            assert!(text.contains("registry.example.com"), "{system:?}: {text}");
            let names_it = ["MIIB", "TUlJQg", "LS0tLS1CRUdJ", "secretURI"].iter().any(|part| text.contains(part));
            assert!(names_it, "{system:?}: {text}");
        }
    }
}
