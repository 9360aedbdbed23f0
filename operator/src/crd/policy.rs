//! `RegistryPolicy`: who may do what in a registry.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Applied, Role, Verb};

/// A policy of a registry: who may do what there. Its name in the registry is that of this object.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "roadstead.dev",
    version = "v1alpha1",
    kind = "RegistryPolicy",
    plural = "registrypolicies",
    namespaced,
    status = "RegistryPolicyStatus",
    derive = "PartialEq",
    doc = "A policy of a registry: who may do what there. Its name in the registry is that of this object.",
    shortname = "rsdp",
    category = "roadstead",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registry"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Description", type_ = "string", json_path = ".spec.description", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 64").message("the name may have at most 64 characters: it is that of the policy in the registry")
)]
#[x_kube(
    validation = Rule::new("self.registry == oldSelf.registry").message("a policy belongs to one registry: make another RegistryPolicy").field_path(".registry")
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicySpec {
    /// The Registry, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub registry: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub description: String,
    /// What no rule allows is denied, and a rule that denies wins over all that allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub rules: Vec<PolicyRule>,
    /// Tags that stay where they point, whoever pushes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub write_once: Vec<WriteOnce>,
}

/// One rule: it allows, or it denies.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = Rule::new("[has(self.role), has(self.allow), has(self.deny)].filter(given, given).size() == 1").message("a rule has exactly one of role, allow and deny"))]
#[serde(rename_all = "camelCase")]
pub struct PolicyRule {
    /// `user:NAME`, `robot:NAME`, `group:NAME` (with `*` for any characters), `authenticated`, `anonymous` or `everyone`.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 512)))]
    pub subjects: Vec<String>,
    /// Patterns, such as `team/**` and `home/{user}/**`.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 255)))]
    pub repositories: Vec<String>,
    /// All verbs of a role are allowed; each may do what those before it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// These are allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    pub allow: Vec<Verb>,
    /// These are denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    pub deny: Vec<Verb>,
}

/// Tags that are written once.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WriteOnce {
    /// Patterns of repositories.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 255)))]
    pub repositories: Vec<String>,
    /// `*` stands for any characters: `v*`.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 128)))]
    pub tags: Vec<String>,
}

/// How a policy is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryPolicyStatus {
    /// The generation of the object that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// What is kept in the registry for this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
}
