//! What a schema cannot say: whether a Registry can be built, and whether it asks for more than its author may have. Pure.
//! What is wrong here changes nothing that runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::core::v1::{PodSecurityContext, SELinuxOptions, Secret, SecurityContext};
use kube::ResourceExt;
use roadstead::config::{check::check, load};

use crate::build::{is_ours, ldap_keys};
use crate::crd::Registry;
use crate::crd::pods::Pods;
use crate::given::{self, Given, Purpose};
use crate::names::{Component, Names, OF};

/// Hosts by which a cloud or a cluster tells its secrets to whoever runs on it, and those that a pod's `/etc/hosts` has.
const FORBIDDEN_HOSTS: [&str; 17] = [
    "metadata",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.tencentyun.com",
    "instance-data",
    "instance-data.ec2.internal",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "ip6-loopback",
    "ip6-localnet",
    "ip6-mcastprefix",
    "ip6-allnodes",
    "ip6-allrouters",
];
/// Kinds of Secrets that are credentials of the cluster itself.
pub(crate) const FOREIGN_SECRETS: [&str; 6] = [
    "kubernetes.io/service-account-token",
    "bootstrap.kubernetes.io/token",
    "helm.sh/release.v1",
    "kubernetes.io/dockerconfigjson",
    "kubernetes.io/dockercfg",
    "kubernetes.io/ssh-auth",
];
pub(crate) const CERTIFICATE: &str = "kubernetes.io/tls";

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
    directory(registry, &mut problems);
    references(registry, secrets, &mut problems);
    pods("spec.pods", &registry.spec.pods, &mut problems);
    pods("spec.index.pods", &registry.spec.index.pods, &mut problems);
    problems
}

fn settings(registry: &Registry, problems: &mut Vec<Problem>) {
    let mut say = |message: String| problems.push(Problem { reason: "InvalidSettings", message });
    // What a setting may be depends on where the bytes are.
    let s3 = registry.spec.storage.s3.iter();
    let mut set: Vec<String> =
        s3.flat_map(|s3| ["storage.kind=s3".into(), format!("storage.s3.bucket={}", s3.bucket)]).collect();
    for (key, value) in &registry.spec.settings {
        // What stands before the `=` would be the key.
        if is_ours(key) || key.contains('=') {
            say(format!("spec.settings: {key} is set by the operator, from other fields of the spec"));
        } else {
            set.push(format!("{key}={value}"));
        }
    }
    match load::load(&load::Sources { set, ..load::Sources::default() }) {
        Ok(config) => check(&config).into_iter().for_each(|problem| say(format!("spec.settings: {problem}"))),
        Err(error) => say(error.at("spec.settings").to_string()),
    }
}

fn endpoint(registry: &Registry, problems: &mut Vec<Problem>) {
    let Some(s3) = &registry.spec.storage.s3 else { return };
    let Some(endpoint) = &s3.endpoint else { return };
    let mut say = |why: &str| {
        let message = format!("spec.storage.s3.endpoint: {why}: name the object storage");
        problems.push(Problem { reason: "ForbiddenEndpoint", message });
    };
    let Some(host) = host(endpoint) else { return say("it is no address that everybody reads in the same way") };
    // The bucket becomes a part of the name.
    let virtual_host = (!s3.path_style && host.parse::<IpAddr>().is_err())
        .then(|| format!("{}.{host}", s3.bucket.to_ascii_lowercase()));
    for host in std::iter::once(host).chain(virtual_host) {
        if is_forbidden_host(&host) {
            return say(&format!(
                "{host} is an address of the machine or of the cluster itself, where credentials are told"
            ));
        }
    }
}

fn directory(registry: &Registry, problems: &mut Vec<Problem>) {
    let Some(ldap) = &registry.spec.access.ldap else { return };
    let is_forbidden = host(&ldap.url).is_none_or(|host| is_forbidden_host(&host));
    if is_forbidden {
        let message = "spec.access.ldap.url: it is an address of the machine or of the cluster itself, or none that everybody reads in the same way: name the directory";
        problems.push(Problem { reason: "ForbiddenEndpoint", message: message.into() });
    }
    let mut say = |message: String| problems.push(Problem { reason: "InvalidSettings", message });
    let mut set: Vec<_> = ldap_keys(ldap).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    // What it is does not matter here.
    set.extend(ldap.bind_password.iter().map(|_| "access.ldap.bind_password=x".to_owned()));
    match load::load(&load::Sources { set, ..load::Sources::default() }) {
        Ok(config) => check(&config).into_iter().for_each(|problem| say(format!("spec.access.ldap: {problem}"))),
        Err(error) => say(error.at("spec.access.ldap").to_string()),
    }
}

/// The host of an endpoint, if it is written in the one way that all understand: a name, or an address in its usual
/// notation, and a port. Whoever reads it in another way would reach another host than was judged here.
fn host(endpoint: &str) -> Option<String> {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, authority)| authority);
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    if let Some(port) = port {
        port.parse::<u16>().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if host.parse::<IpAddr>().is_ok() {
        return Some(host);
    }
    let is_part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    let is_number = |part: &str| part.starts_with("0x") || part.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = host.split('.').all(is_part) && !host.split('.').all(is_number);
    is_name.then_some(host)
}

fn is_forbidden_host(host: &str) -> bool {
    FORBIDDEN_HOSTS.contains(&host)
        || host.ends_with(".localhost")
        || host.starts_with("kubernetes.default.svc.")
        || (host.starts_with("instance-data.") && host.ends_with(".compute.internal"))
        || host.parse::<IpAddr>().is_ok_and(is_forbidden_address)
}

fn is_forbidden_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_loopback() || four.is_link_local() || four.is_unspecified() || four.is_multicast() || four.is_broadcast()
                || [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]].contains(&four.octets()) // Alibaba's, Oracle's, Azure's
                || four.octets()[0] == 0
        }
        IpAddr::V6(six) => {
            six.is_loopback() || six.is_unspecified() || six.is_multicast() || six.is_unicast_link_local()
                || within(six).is_some_and(|four| is_forbidden_address(four.into()))
                // AWS's, Google's, Scaleway's.
                || six.segments()[..2] == [0xfd00, 0x0ec2] || six.segments()[..2] == [0xfd20, 0x00ce]
                || six.segments()[..2] == [0xfd00, 0x0042]
        }
    }
}

/// The address of version 4 that stands for the same host: mapped, compatible, behind NAT64, or behind 6to4.
fn within(six: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match six.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(parts(high, low))
        }
        _ => None,
    }
}

fn references(registry: &Registry, secrets: &BTreeMap<String, Secret>, problems: &mut Vec<Problem>) {
    let spec = &registry.spec;
    let names = Names::of(registry);
    for Given { purpose, field, name, keys } in given::secrets(spec) {
        let Some(secret) = secrets.get(name) else {
            let message = format!("{field}: there is no Secret {name} in the namespace {}", names.namespace);
            problems.push(Problem { reason: "SecretMissing", message });
            continue;
        };
        let kind = secret.type_.as_deref().unwrap_or_default();
        let of_another = secret.labels().get(OF).is_some_and(|of| *of != names.name);
        let is_own = [
            names.peers_authority(),
            names.clients_authority(),
            names.peers(Component::Index),
            names.peers(Component::Registry),
        ];
        // An access key is told to the endpoint, a password to the directory, and a key of a certificate is nothing for them.
        // The operator, or cert-manager, writes the certificate of clients into the Secret of this name.
        let is_written = *name == names.tls() && spec.tls.secret_name.as_ref() != Some(name);
        let is_foreign = FOREIGN_SECRETS.contains(&kind)
            || (kind == CERTIFICATE && !matches!(purpose, Purpose::Certificate | Purpose::Authority));
        if is_foreign || is_written || is_own.contains(name) || secret.labels().contains_key(OF) {
            let message = format!(
                "{field}: the Secret {name} is for something else ({}): make one of its own",
                if of_another {
                    "another Registry"
                } else if is_foreign {
                    kind
                } else {
                    "the operator"
                }
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
        let message =
            format!("{field}: {what} is more than pods of a registry may have (Pod Security Standard restricted)");
        problems.push(Problem { reason: "ForbiddenPods", message });
    };
    for (name, value) in &pods.annotations {
        let is_allowed = value == "runtime/default" || value.starts_with("localhost/");
        if name.starts_with("container.apparmor.security.beta.kubernetes.io/") && !is_allowed {
            say(&format!("annotations: {name}: {value}"));
        }
    }
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
    when(context.se_linux_options.as_ref().is_some_and(is_forbidden_label), "securityContext.seLinuxOptions");
    when(
        is_unconfined(context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())),
        "securityContext.seccompProfile: Unconfined",
    );
    when(
        is_unconfined(context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str())),
        "securityContext.appArmorProfile: Unconfined",
    );
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
    when(context.se_linux_options.as_ref().is_some_and(is_forbidden_label), "containerSecurityContext.seLinuxOptions");
    when(
        is_unconfined(context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str())),
        "containerSecurityContext.seccompProfile: Unconfined",
    );
    when(
        is_unconfined(context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str())),
        "containerSecurityContext.appArmorProfile: Unconfined",
    );
    found
}

/// Whether SELinux would treat the pod as something else than a container.
fn is_forbidden_label(options: &SELinuxOptions) -> bool {
    const KINDS: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let is_given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    !KINDS.contains(&options.type_.as_deref().unwrap_or_default()) || is_given(&options.user) || is_given(&options.role)
}

fn is_unconfined(kind: Option<&str>) -> bool {
    kind == Some("Unconfined")
}

#[cfg(test)]
mod tests;
