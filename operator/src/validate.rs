//! What a schema cannot say: whether a Registry can be built, and whether it asks for more than its author may have. Pure.
//! What is wrong here changes nothing that runs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{PodSecurityContext, Secret, SecurityContext};
use kube::ResourceExt;
use roadstead::config::{check::check, load};

use crate::build::is_ours;
use crate::crd::Registry;
use crate::crd::pods::Pods;
use crate::names::{Names, OF};

/// Hosts by which a cloud or a cluster tells its secrets to whoever runs on it.
const METADATA_HOSTS: [&str; 4] =
    ["metadata.google.internal", "metadata", "kubernetes.default.svc", "instance-data.ec2.internal"];
/// Kinds of Secrets that are credentials of the cluster itself.
const FOREIGN_SECRETS: [&str; 4] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
    "kubernetes.io/dockerconfigjson",
];

/// Why a Registry is not built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// For a condition: stable, and one word.
    pub reason: &'static str,
    pub message: String,
}

/// Everything that is wrong with a Registry.
pub fn validate(registry: &Registry, secrets: &BTreeMap<String, Secret>) -> Vec<Problem> {
    let mut problems = Vec::new();
    settings(registry, &mut problems);
    endpoint(registry, &mut problems);
    references(registry, secrets, &mut problems);
    pods("spec.pods", &registry.spec.pods, &mut problems);
    pods("spec.index.pods", &registry.spec.index.pods, &mut problems);
    problems
}

fn settings(registry: &Registry, problems: &mut Vec<Problem>) {
    let mut say = |message: String| problems.push(Problem { reason: "InvalidSettings", message });
    let mut set = Vec::new();
    for (key, value) in &registry.spec.settings {
        if is_ours(key) {
            say(format!("spec.settings: {key} is set by the operator, from other fields of the spec"));
        } else {
            set.push(format!("{key}={value}"));
        }
    }
    match load::load(&load::Sources { set, ..load::Sources::default() }) {
        Ok(config) => check(&config).into_iter().for_each(|problem| say(format!("spec.settings: {problem}"))),
        Err(error) => say(format!("spec.settings: {error}")),
    }
}

fn endpoint(registry: &Registry, problems: &mut Vec<Problem>) {
    let Some(endpoint) = registry.spec.storage.s3.as_ref().and_then(|s3| s3.endpoint.as_ref()) else { return };
    let authority = endpoint.split("://").nth(1).unwrap_or(endpoint);
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    // Whoever reads of an address in a notation of his own would reach another one than was judged here.
    let is_odd = host.parse::<IpAddr>().is_err()
        && !host.is_empty()
        && host.split('.').all(|part| !part.is_empty() && (part.starts_with("0x") || part.bytes().all(|b| b.is_ascii_digit())));
    let is_forbidden = is_odd
        || host == "localhost"
        || host.ends_with(".localhost")
        || METADATA_HOSTS.contains(&host.as_str())
        || host == "kubernetes.default"
        || host.starts_with("kubernetes.default.svc.")
        || host.parse::<IpAddr>().is_ok_and(is_forbidden_address);
    if is_forbidden {
        problems.push(Problem {
            reason: "ForbiddenEndpoint",
            message: format!(
                "spec.storage.s3.endpoint: {host} is an address of the machine or of the cluster itself, where credentials are told: \
                 name the object storage"
            ),
        });
    }
}

fn is_forbidden_address(address: IpAddr) -> bool {
    let address = match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    match address {
        IpAddr::V4(four) => {
            four.is_loopback() || four.is_link_local() || four.is_unspecified() || four.is_multicast()
                // Alibaba's and Oracle's.
                || four.octets() == [100, 100, 100, 200] || four.octets() == [192, 0, 0, 192]
        }
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_unspecified() || six.is_multicast() || six.is_unicast_link_local()
                // AWS's.
                || six.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254]
        }
    }
}

fn references(registry: &Registry, secrets: &BTreeMap<String, Secret>, problems: &mut Vec<Problem>) {
    let spec = &registry.spec;
    let mut wanted: Vec<(&str, &String, Vec<&str>)> = Vec::new();
    if let Some(credentials) = spec.storage.s3.as_ref().and_then(|s3| s3.credentials.as_ref()) {
        let keys = vec![credentials.access_key_id_key.as_str(), credentials.secret_access_key_key.as_str()];
        wanted.push(("spec.storage.s3.credentials", &credentials.secret_name, keys));
    }
    if let Some(name) = &spec.tls.secret_name {
        wanted.push(("spec.tls.secretName", name, vec!["tls.crt", "tls.key"]));
    }
    let names = Names::of(registry);
    for (field, name, keys) in wanted {
        let Some(secret) = secrets.get(name) else {
            let message = format!("{field}: there is no Secret {name} in the namespace {}", names.namespace);
            problems.push(Problem { reason: "SecretMissing", message });
            continue;
        };
        let kind = secret.type_.as_deref().unwrap_or_default();
        let of_another = secret.labels().get(OF).is_some_and(|of| *of != names.name);
        let is_authority = *name == names.peers_authority() || *name == names.clients_authority();
        if FOREIGN_SECRETS.contains(&kind) || of_another || is_authority || secret.labels().contains_key(OF) {
            let message = format!(
                "{field}: the Secret {name} is for something else ({}): make one of its own",
                if of_another { "another Registry" } else if kind.is_empty() { "the operator" } else { kind }
            );
            problems.push(Problem { reason: "ForeignSecret", message });
            continue;
        }
        for key in keys {
            if !secret.data.as_ref().is_some_and(|data| data.contains_key(key)) {
                let message = format!("{field}: the Secret {name} has no key {key}");
                problems.push(Problem { reason: "SecretMissing", message });
            }
        }
    }
}

/// What the Pod Security Standard `restricted` forbids.
fn pods(field: &str, pods: &Pods, problems: &mut Vec<Problem>) {
    let mut say = |what: &str| {
        let message = format!("{field}: {what} is more than pods of a registry may have (Pod Security Standard restricted)");
        problems.push(Problem { reason: "ForbiddenPods", message });
    };
    if let Some(context) = &pods.security_context {
        pod_context(context).into_iter().for_each(&mut say);
    }
    if let Some(context) = &pods.container_security_context {
        container_context(context).into_iter().for_each(&mut say);
    }
}

fn pod_context(context: &PodSecurityContext) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut when = |is: bool, what| found.extend(is.then_some(what));
    when(context.run_as_user == Some(0), "securityContext.runAsUser: 0");
    when(context.run_as_non_root == Some(false), "securityContext.runAsNonRoot: false");
    when(context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty()), "securityContext.sysctls");
    when(context.windows_options.is_some(), "securityContext.windowsOptions");
    when(is_unconfined(context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())), "securityContext.seccompProfile: Unconfined");
    when(is_unconfined(context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str())), "securityContext.appArmorProfile: Unconfined");
    found
}

fn container_context(context: &SecurityContext) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut when = |is: bool, what| found.extend(is.then_some(what));
    when(context.privileged == Some(true), "containerSecurityContext.privileged: true");
    when(context.allow_privilege_escalation == Some(true), "containerSecurityContext.allowPrivilegeEscalation: true");
    when(context.run_as_user == Some(0), "containerSecurityContext.runAsUser: 0");
    when(context.run_as_non_root == Some(false), "containerSecurityContext.runAsNonRoot: false");
    when(context.capabilities.is_some(), "containerSecurityContext.capabilities");
    when(context.read_only_root_filesystem == Some(false), "containerSecurityContext.readOnlyRootFilesystem: false");
    when(context.proc_mount.is_some(), "containerSecurityContext.procMount");
    when(context.windows_options.is_some(), "containerSecurityContext.windowsOptions");
    when(is_unconfined(context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())), "containerSecurityContext.seccompProfile: Unconfined");
    when(is_unconfined(context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str())), "containerSecurityContext.appArmorProfile: Unconfined");
    found
}

fn is_unconfined(kind: Option<&str>) -> bool {
    kind == Some("Unconfined")
}

#[cfg(test)]
mod tests;
