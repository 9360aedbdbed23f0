//! The Pod Security Standard `restricted` as Kubernetes 1.33 has it, for what pods of Linux may say.

use k8s_openapi::api::core::v1::{Container, PodTemplateSpec, SecurityContext, Volume};
use serde_json::json;

/// What a template has that the standard forbids, and lacks that it demands.
pub(super) fn violations(template: &PodTemplateSpec) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut when = |is: bool, what: &str| found.extend(is.then(|| what.to_owned()));
    let Some(spec) = &template.spec else { return vec!["no pod".into()] };
    let pod = spec.security_context.clone().unwrap_or_default();
    when(
        spec.host_network == Some(true) || spec.host_pid == Some(true) || spec.host_ipc == Some(true),
        "host namespaces",
    );
    when(!spec.volumes.iter().flatten().all(is_volume_allowed), "volumes");
    when(pod.windows_options.is_some(), "windows");
    when(pod.sysctls.is_some_and(|sysctls| !sysctls.is_empty()), "sysctls");
    when(pod.run_as_user == Some(0), "runAsUser of the pod");
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let is_unconfined = |(name, value): (&String, &String)| {
        name.starts_with("container.apparmor.security.beta.kubernetes.io/")
            && value != "runtime/default"
            && !value.starts_with("localhost/")
    };
    when(annotations.is_some_and(|annotations| annotations.iter().any(is_unconfined)), "AppArmor by annotation");
    let is_confined = |kind: Option<&str>| matches!(kind, Some("RuntimeDefault" | "Localhost"));
    let pod_seccomp = pod.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
    when(pod_seccomp.is_some_and(|kind| !is_confined(Some(kind))), "seccompProfile of the pod");
    when(
        pod.app_armor_profile.as_ref().is_some_and(|profile| !is_confined(Some(&profile.type_))),
        "AppArmor of the pod",
    );
    when(pod.se_linux_options.as_ref().is_some_and(is_se_linux_forbidden), "SELinux of the pod");
    let all: Vec<&Container> = spec.init_containers.iter().flatten().chain(&spec.containers).collect();
    for container in all {
        let context = container.security_context.clone().unwrap_or_default();
        let seccomp = context.seccomp_profile.as_ref().map(|profile| profile.type_.as_str());
        when(!is_confined(seccomp.or(pod_seccomp)), "seccompProfile");
        when(context.run_as_non_root.or(pod.run_as_non_root) != Some(true), "runAsNonRoot");
        container_violations(container, &context, &mut when);
    }
    found
}

fn container_violations(container: &Container, context: &SecurityContext, when: &mut impl FnMut(bool, &str)) {
    when(context.privileged == Some(true), "privileged");
    when(context.allow_privilege_escalation != Some(false), "allowPrivilegeEscalation");
    when(context.run_as_user == Some(0), "runAsUser");
    when(context.windows_options.is_some(), "windows");
    when(context.proc_mount.as_deref().is_some_and(|kind| kind != "Default"), "procMount");
    when(context.se_linux_options.as_ref().is_some_and(is_se_linux_forbidden), "SELinux");
    let armor = context.app_armor_profile.as_ref().map(|profile| profile.type_.as_str());
    when(armor.is_some_and(|kind| kind == "Unconfined"), "AppArmor");
    let capabilities = context.capabilities.clone().unwrap_or_default();
    when(!capabilities.drop.iter().flatten().any(|name| name == "ALL"), "capabilities are not dropped");
    when(capabilities.add.iter().flatten().any(|name| name != "NET_BIND_SERVICE"), "capabilities are added");
    when(container.ports.iter().flatten().any(|port| port.host_port.is_some_and(|port| port != 0)), "hostPort");
}

fn is_se_linux_forbidden(options: &k8s_openapi::api::core::v1::SELinuxOptions) -> bool {
    let kinds = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let is_given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    !kinds.contains(&options.type_.as_deref().unwrap_or_default()) || is_given(&options.user) || is_given(&options.role)
}

/// Everything else reaches the machine.
fn is_volume_allowed(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.csi.is_some()
        || volume.downward_api.is_some()
        || volume.empty_dir.is_some()
        || volume.ephemeral.is_some()
        || volume.persistent_volume_claim.is_some()
        || volume.projected.is_some()
        || volume.secret.is_some()
}

#[test]
fn each_rule_of_the_standard_is_one_that_a_pod_can_break() {
    let good = json!({ "spec": {
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{ "name": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
        } }],
        "volumes": [{ "name": "a", "emptyDir": {} }],
    } });
    let read = |value: &serde_json::Value| violations(&serde_json::from_value(value.clone()).unwrap());
    assert_eq!(read(&good), Vec::<String>::new());
    for (pointer, name, value) in [
        ("/spec", "hostNetwork", json!(true)),
        ("/spec", "hostPID", json!(true)),
        ("/spec", "hostIPC", json!(true)),
        ("/spec", "volumes", json!([{ "name": "a", "hostPath": { "path": "/" } }])),
        ("/spec", "volumes", json!([{ "name": "a", "nfs": { "server": "a", "path": "/" } }])),
        ("/spec/securityContext", "runAsNonRoot", json!(false)),
        ("/spec/securityContext", "runAsUser", json!(0)),
        ("/spec/securityContext", "seccompProfile", json!(null)),
        ("/spec/securityContext", "seccompProfile", json!({ "type": "Unconfined" })),
        ("/spec/securityContext", "appArmorProfile", json!({ "type": "Unconfined" })),
        ("/spec/securityContext", "seLinuxOptions", json!({ "type": "spc_t" })),
        ("/spec/securityContext", "sysctls", json!([{ "name": "a", "value": "b" }])),
        ("/spec/securityContext", "windowsOptions", json!({})),
        ("/spec/containers/0/securityContext", "privileged", json!(true)),
        ("/spec/containers/0/securityContext", "allowPrivilegeEscalation", json!(null)),
        ("/spec/containers/0/securityContext", "runAsUser", json!(0)),
        ("/spec/containers/0/securityContext", "runAsNonRoot", json!(false)),
        ("/spec/containers/0/securityContext", "capabilities", json!({})),
        ("/spec/containers/0/securityContext", "capabilities", json!({ "drop": ["ALL"], "add": ["SYS_ADMIN"] })),
        ("/spec/containers/0/securityContext", "procMount", json!("Unmasked")),
        ("/spec/containers/0/securityContext", "seccompProfile", json!({ "type": "Unconfined" })),
        ("/spec/containers/0/securityContext", "appArmorProfile", json!({ "type": "Unconfined" })),
        ("/spec/containers/0/securityContext", "seLinuxOptions", json!({ "role": "a" })),
        ("/spec/containers/0/securityContext", "windowsOptions", json!({})),
        ("/spec/containers/0", "ports", json!([{ "containerPort": 1, "hostPort": 1 }])),
        (
            "",
            "metadata",
            json!({ "annotations": { "container.apparmor.security.beta.kubernetes.io/a": "unconfined" } }),
        ),
    ] {
        let mut bad = good.clone();
        bad.pointer_mut(pointer).unwrap()[name] = value.clone();
        assert!(!read(&bad).is_empty(), "{pointer}/{name} {value}");
    }
}
