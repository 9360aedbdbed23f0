//! Registries that are wrong or ask for too much, each with the reason why it is refused; and good ones.

#![allow(clippy::unwrap_used, reason = "a test")]

mod endpoint;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::*;

/// A Registry that is good, with something laid over its spec.
fn registry(spec: Value) -> Registry {
    let mut value = json!({
        "apiVersion": "roadstead.dev/v1alpha1",
        "kind": "Registry",
        "metadata": { "name": "r", "namespace": "ns", "uid": "1" },
        "spec": {
            "hostname": "r.example.com",
            "storage": { "s3": { "bucket": "images", "endpoint": "http://s3.s3.svc:7070", "pathStyle": true } },
        },
    });
    lay(&mut value["spec"], spec);
    serde_json::from_value(value).unwrap()
}

fn lay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            over.into_iter().for_each(|(name, value)| lay(under.entry(name).or_insert(Value::Null), value));
        }
        (under, over) => *under = over,
    }
}

fn secret(kind: &str, labels: &[(&str, &str)], keys: &[&str]) -> Secret {
    let mut secret = Secret { type_: Some(kind.into()), ..Secret::default() };
    secret.metadata.labels = Some(labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect());
    secret.data = Some(keys.iter().map(|key| ((*key).into(), ByteString(b"x".to_vec()))).collect());
    secret
}

/// What is wrong, as `reason: message`.
fn problems(registry: &Registry, secrets: &[(&str, Secret)]) -> Vec<String> {
    let secrets = secrets.iter().map(|(name, secret)| ((*name).to_owned(), secret.clone())).collect();
    validate(registry, &secrets).into_iter().map(|problem| format!("{}: {}", problem.reason, problem.message)).collect()
}

#[track_caller]
fn assert_refused(registry: &Registry, secrets: &[(&str, Secret)], reason: &str, named: &str) {
    let problems = problems(registry, secrets);
    let is_said = |problem: &String| problem.starts_with(&format!("{reason}: ")) && problem.contains(named);
    assert!(problems.iter().any(is_said), "expected {reason} with {named:?}, and the problems are {problems:?}");
}

#[track_caller]
fn assert_good(registry: &Registry, secrets: &[(&str, Secret)]) {
    assert_eq!(problems(registry, secrets), Vec::<String>::new());
}

#[test]
fn a_registry_with_what_it_needs_is_good() {
    assert_good(&registry(json!({})), &[]);
    let on_claim = json!({ "storage": { "s3": null, "claim": {} }, "replicas": 1, "index": { "replicas": 1 } });
    assert_good(&registry(on_claim), &[]);
    let settings = json!({
        "reclaim.interval_seconds": "60", "server.max_connections": "1_000", "delete.enabled": "false",
        "blobs.redirect": "true", "blobs.public_endpoint": "https://s3.example.com", "uploads.budget_bytes": "16777216",
    });
    assert_good(&registry(json!({ "settings": settings })), &[]);
}

#[test]
fn settings_that_the_operator_makes_itself_are_refused() {
    for key in [
        "server.role",
        "server.listen",
        "server.admin_listen",
        "server.peer_listen",
        "server.data",
        "cluster.name",
        "cluster.index",
        "cluster.addresses",
        "cluster.certificate",
        "cluster.key",
        "cluster.ca",
        "tls.certificate",
        "tls.key",
        "storage.kind",
        "storage.directory",
        "storage.s3.endpoint",
        "storage.s3.access_key_id",
        "access.anonymous",
        "log.format",
    ] {
        assert_refused(
            &registry(json!({ "settings": { key: "x" } })),
            &[],
            "InvalidSettings",
            &format!("{key} is set by the operator"),
        );
    }
}

#[test]
fn a_setting_that_hides_in_the_name_of_another_is_refused() {
    // `--set server.data=/x=y` would set server.data.
    for key in
        ["server.data=/x", "server.role=all", "server.listen=0.0.0.0:1", "blobs.public_endpoint=http://a", "=", "a=b"]
    {
        assert_refused(&registry(json!({ "settings": { key: "y" } })), &[], "InvalidSettings", key);
    }
}

#[test]
fn an_unknown_setting_is_refused_with_the_nearest_name() {
    for (wrong, right) in [
        ("reclaim.interval_second", "reclaim.interval_seconds"),
        ("history.pertag", "history.per_tag"),
        ("blob.redirect", "blobs.redirect"),
        ("drain_seconds", "server.drain_seconds"),
    ] {
        assert_refused(&registry(json!({ "settings": { wrong: "1" } })), &[], "InvalidSettings", right);
    }
    assert_refused(
        &registry(json!({ "settings": { "Server.Data": "1" } })),
        &[],
        "InvalidSettings",
        "there is no key `Server.Data`",
    );
    assert_refused(&registry(json!({ "settings": { "": "1" } })), &[], "InvalidSettings", "there is no key");
}

#[test]
fn a_setting_with_a_bad_value_is_refused() {
    for (key, value, named) in [
        ("server.max_connections", "many", "\"many\" is no value"),
        ("server.max_connections", "-1", "\"-1\" is no value"),
        ("server.max_connections", "0", "server.max_connections is 0"),
        ("blobs.redirect", "perhaps", "\"perhaps\" is no value"),
        ("reclaim.interval_seconds", "", "is no value"),
        ("manifests.max_bytes", "1", "manifests.max_bytes must be"),
        ("archive.snapshots", "1", "archive.snapshots"),
        ("uploads.budget_bytes", "5000000", "two parts of storage.s3.part_bytes"),
    ] {
        assert_refused(&registry(json!({ "settings": { key: value } })), &[], "InvalidSettings", named);
    }
}

#[test]
fn what_a_setting_may_be_depends_on_the_storage() {
    let on_claim = |key: &str, value: &str| {
        let claim = json!({ "s3": null, "claim": {} });
        registry(json!({ "storage": claim, "replicas": 1, "index": { "replicas": 1 }, "settings": { key: value } }))
    };
    assert_good(&on_claim("uploads.budget_bytes", "5000000"), &[]);
    assert_refused(&on_claim("blobs.redirect", "true"), &[], "InvalidSettings", "blobs.redirect needs storage.kind");
}

#[test]
fn every_problem_is_told_and_not_only_the_first() {
    let bad = registry(json!({
        "storage": { "s3": { "endpoint": "http://localhost", "credentials": { "secretName": "none" } } },
        "settings": { "server.role": "all", "server.max_connections": "0" },
        "pods": { "containerSecurityContext": { "privileged": true } },
    }));
    let problems = problems(&bad, &[]);
    let reasons = ["InvalidSettings", "InvalidSettings", "ForbiddenEndpoint", "SecretMissing", "ForbiddenPods"];
    let said: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
    assert_eq!(said, reasons, "{problems:?}");
}

fn with_credentials() -> Registry {
    registry(json!({ "storage": { "s3": { "credentials": { "secretName": "s" } } } }))
}

fn with_certificate() -> Registry {
    registry(json!({ "tls": { "secretName": "s" } }))
}

const KEYS: [&str; 2] = ["accessKeyId", "secretAccessKey"];
const FILES: [&str; 2] = ["tls.crt", "tls.key"];

#[test]
fn secrets_of_ones_own_are_good() {
    assert_good(&with_credentials(), &[("s", secret("Opaque", &[], &KEYS))]);
    assert_good(&with_credentials(), &[("s", secret("", &[("app", "minio")], &KEYS))]);
    assert_good(&with_certificate(), &[("s", secret("kubernetes.io/tls", &[], &FILES))]);
    assert_good(&with_certificate(), &[("s", secret("Opaque", &[], &["tls.crt", "tls.key", "ca.crt"]))]);
    let keys = json!({ "secretName": "s", "accessKeyIdKey": "username", "secretAccessKeyKey": "password" });
    let registry = registry(json!({ "storage": { "s3": { "credentials": keys } } }));
    assert_good(&registry, &[("s", secret("kubernetes.io/basic-auth", &[], &["username", "password"]))]);
}

fn with_directory(change: &Value) -> Registry {
    let mut ldap = json!({
        "url": "ldaps://ldap.example.com", "userBase": "dc=example,dc=com", "bindDn": "cn=reader",
        "bindPassword": { "secretName": "s" }, "caSecretName": "ca",
    });
    ldap.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    registry(json!({ "access": { "ldap": ldap } }))
}

#[test]
fn a_directory_is_one_that_can_be_asked_and_is_nobodys_secret_address() {
    let password = || ("s", secret("Opaque", &[], &["password"]));
    let authority = |kind: &str| ("ca", secret(kind, &[], &["ca.crt", "tls.crt", "tls.key"]));
    for kind in ["Opaque", "kubernetes.io/tls"] {
        assert_good(&with_directory(&json!({})), &[password(), authority(kind)]);
    }
    for url in ["ldaps://169.254.169.254", "ldaps://kubernetes.default.svc:443", "ldaps://localhost", "ldaps://0x7f.1"]
    {
        let registry = with_directory(&json!({ "url": url }));
        assert_refused(&registry, &[password(), authority("Opaque")], "ForbiddenEndpoint", "spec.access.ldap.url");
    }
    for (change, said) in [
        (json!({ "userFilter": "(uid=alice)" }), "spec.access.ldap: access.ldap.user_filter"),
        (json!({ "groupFilter": "(((" }), "spec.access.ldap: access.ldap.group_filter"),
        (json!({ "nameAttribute": "a b" }), "spec.access.ldap: access.ldap.name_attribute"),
    ] {
        let registry = with_directory(&change);
        assert_refused(&registry, &[password(), authority("Opaque")], "InvalidSettings", said);
    }
    let good = with_directory(&json!({}));
    assert_refused(
        &good,
        &[authority("Opaque")],
        "SecretMissing",
        "spec.access.ldap.bindPassword: there is no Secret s",
    );
    assert_refused(&good, &[password()], "SecretMissing", "spec.access.ldap.caSecretName: there is no Secret ca");
    // It would go to the directory, which may be anybody's.
    let token = ("s", secret("kubernetes.io/service-account-token", &[], &["password"]));
    assert_refused(&good, &[token, authority("Opaque")], "ForeignSecret", "spec.access.ldap.bindPassword");
}

#[test]
fn a_secret_that_is_not_there_or_lacks_a_key_is_named() {
    let missing = "SecretMissing";
    assert_refused(&with_credentials(), &[], missing, "there is no Secret s in the namespace ns");
    assert_refused(&with_certificate(), &[], missing, "spec.tls.secretName: there is no Secret s");
    let opaque = |keys: &[&str]| [("s", secret("Opaque", &[], keys))];
    assert_refused(&with_credentials(), &opaque(&KEYS[..1]), missing, "has no key secretAccessKey");
    assert_refused(&with_credentials(), &opaque(&KEYS[1..]), missing, "has no key accessKeyId");
    assert_refused(&with_certificate(), &opaque(&["tls.crt"]), missing, "has no key tls.key");
    assert_refused(&with_certificate(), &opaque(&[]), missing, "has no key tls.crt");
}

#[test]
fn a_secret_that_is_for_something_else_is_refused() {
    // Its text would go to the endpoint as the name of the access key, and the endpoint may be anybody's.
    for kind in [
        "kubernetes.io/service-account-token",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/dockercfg",
        "kubernetes.io/ssh-auth",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
    ] {
        assert_refused(&with_credentials(), &[("s", secret(kind, &[], &KEYS))], "ForeignSecret", kind);
        assert_refused(&with_certificate(), &[("s", secret(kind, &[], &FILES))], "ForeignSecret", kind);
    }
    let key = secret("kubernetes.io/tls", &[], &["accessKeyId", "secretAccessKey", "tls.crt", "tls.key"]);
    assert_refused(&with_credentials(), &[("s", key)], "ForeignSecret", "kubernetes.io/tls");
}

#[test]
fn a_secret_of_a_registry_is_refused() {
    for of in ["r", "another"] {
        let ours = |keys: &[&str]| [("s", secret("Opaque", &[(OF, of)], keys))];
        assert_refused(&with_credentials(), &ours(&KEYS), "ForeignSecret", "spec.storage.s3.credentials");
        assert_refused(&with_certificate(), &ours(&FILES), "ForeignSecret", "spec.tls.secretName");
    }
    assert_refused(
        &with_certificate(),
        &[("s", secret("Opaque", &[(OF, "another")], &FILES))],
        "ForeignSecret",
        "another Registry",
    );
}

#[test]
fn the_operators_own_authorities_are_refused_also_without_their_labels() {
    for name in ["r-peers-ca", "r-clients-ca", "r-index-peers", "r-registry-peers"] {
        let credentials = registry(json!({ "storage": { "s3": { "credentials": { "secretName": name } } } }));
        assert_refused(&credentials, &[(name, secret("Opaque", &[], &KEYS))], "ForeignSecret", name);
        let certificate = registry(json!({ "tls": { "secretName": name } }));
        assert_refused(&certificate, &[(name, secret("Opaque", &[], &FILES))], "ForeignSecret", name);
    }
}

#[test]
fn the_secret_into_which_the_certificate_is_written_is_nothing_for_credentials() {
    let credentials = registry(json!({ "storage": { "s3": { "credentials": { "secretName": "r-tls" } } } }));
    assert_refused(&credentials, &[("r-tls", secret("Opaque", &[], &KEYS))], "ForeignSecret", "r-tls");
    let certificate = registry(json!({ "tls": { "secretName": "r-tls" } }));
    assert_good(&certificate, &[("r-tls", secret("Opaque", &[], &FILES))]);
}

/// What is laid over the pods that serve clients, or over those of the index.
fn with_pods(pods: &Value, of_index: bool) -> Registry {
    registry(if of_index { json!({ "index": { "pods": pods } }) } else { json!({ "pods": pods }) })
}

#[test]
fn what_pods_restricted_to_the_standard_may_not_have_is_refused() {
    for (pods, named) in [
        (json!({ "securityContext": { "runAsUser": 0 } }), "securityContext.runAsUser"),
        (json!({ "securityContext": { "runAsNonRoot": false } }), "securityContext.runAsNonRoot"),
        (
            json!({ "securityContext": { "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] } }),
            "securityContext.sysctls",
        ),
        (json!({ "securityContext": { "windowsOptions": { "hostProcess": true } } }), "securityContext.windowsOptions"),
        (
            json!({ "securityContext": { "seccompProfile": { "type": "Unconfined" } } }),
            "securityContext.seccompProfile",
        ),
        (
            json!({ "securityContext": { "appArmorProfile": { "type": "Unconfined" } } }),
            "securityContext.appArmorProfile",
        ),
        (json!({ "securityContext": { "seLinuxOptions": { "type": "spc_t" } } }), "securityContext.seLinuxOptions"),
        (json!({ "securityContext": { "seLinuxOptions": { "user": "system_u" } } }), "securityContext.seLinuxOptions"),
        (json!({ "containerSecurityContext": { "privileged": true } }), "containerSecurityContext.privileged"),
        (
            json!({ "containerSecurityContext": { "allowPrivilegeEscalation": true } }),
            "containerSecurityContext.allowPrivilegeEscalation",
        ),
        (json!({ "containerSecurityContext": { "runAsUser": 0 } }), "containerSecurityContext.runAsUser"),
        (json!({ "containerSecurityContext": { "runAsNonRoot": false } }), "containerSecurityContext.runAsNonRoot"),
        (
            json!({ "containerSecurityContext": { "capabilities": { "add": ["SYS_ADMIN"] } } }),
            "containerSecurityContext.capabilities",
        ),
        (json!({ "containerSecurityContext": { "capabilities": {} } }), "containerSecurityContext.capabilities"),
        (
            json!({ "containerSecurityContext": { "readOnlyRootFilesystem": false } }),
            "containerSecurityContext.readOnlyRootFilesystem",
        ),
        (json!({ "containerSecurityContext": { "procMount": "Unmasked" } }), "containerSecurityContext.procMount"),
        (json!({ "containerSecurityContext": { "windowsOptions": {} } }), "containerSecurityContext.windowsOptions"),
        (
            json!({ "containerSecurityContext": { "seccompProfile": { "type": "Unconfined" } } }),
            "containerSecurityContext.seccompProfile",
        ),
        (
            json!({ "containerSecurityContext": { "appArmorProfile": { "type": "Unconfined" } } }),
            "containerSecurityContext.appArmorProfile",
        ),
        (
            json!({ "containerSecurityContext": { "seLinuxOptions": { "role": "system_r" } } }),
            "containerSecurityContext.seLinuxOptions",
        ),
        (
            json!({ "annotations": { "container.apparmor.security.beta.kubernetes.io/roadstead": "unconfined" } }),
            "annotations: container.apparmor.security.beta.kubernetes.io/roadstead",
        ),
    ] {
        assert_refused(&with_pods(&pods, false), &[], "ForbiddenPods", &format!("spec.pods: {named}"));
        assert_refused(&with_pods(&pods, true), &[], "ForbiddenPods", &format!("spec.index.pods: {named}"));
    }
}

#[test]
fn what_the_standard_allows_may_be_laid_over_pods() {
    let pods = json!({
        "labels": { "team": "a" },
        "annotations": {
            "prometheus.io/scrape": "true",
            "container.apparmor.security.beta.kubernetes.io/roadstead": "runtime/default",
        },
        "securityContext": {
            "runAsUser": 1000, "runAsGroup": 0, "fsGroup": 0, "supplementalGroups": [0], "runAsNonRoot": true,
            "seccompProfile": { "type": "Localhost", "localhostProfile": "p.json" },
            "appArmorProfile": { "type": "RuntimeDefault" },
            "seLinuxOptions": { "type": "container_t", "level": "s0:c1,c2" },
        },
        "containerSecurityContext": {
            "runAsUser": 1000, "privileged": false, "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "seLinuxOptions": { "level": "s0:c1,c2" },
        },
    });
    assert_good(&with_pods(&pods, false), &[]);
    assert_good(&with_pods(&pods, true), &[]);
}
