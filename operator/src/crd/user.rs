//! `RegistryUser`: a user of a registry.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Applied;

/// A user of a registry, with a password from a Secret.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "roadstead.dev",
    version = "v1alpha1",
    kind = "RegistryUser",
    plural = "registryusers",
    namespaced,
    status = "RegistryUserStatus",
    derive = "PartialEq",
    doc = "A user of a registry, with a password from a Secret.",
    shortname = "rsdu",
    category = "roadstead",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registry"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.applied.name"),
    printcolumn(name = "Administrator", type_ = "boolean", json_path = ".spec.administrator"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("has(self.spec.username) || size(self.metadata.name) <= 64").message("the name of an account has at most 64 characters: give spec.username")
)]
#[x_kube(
    validation = Rule::new("self.registry == oldSelf.registry").message("a user belongs to one registry: make another RegistryUser").field_path(".registry"),
    validation = Rule::new("has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)").message("an account cannot be renamed: make another RegistryUser")
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryUserSpec {
    /// The Registry, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub registry: String,
    /// What he logs in as; without it the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"))]
    pub username: Option<String>,
    /// Where his password is. A Secret that changes changes the password.
    pub password_secret: PasswordSecret,
    /// The groups he is in, and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 200),
        inner(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub groups: Vec<String>,
    /// He may do everything.
    #[serde(default)]
    pub administrator: bool,
    /// He cannot log in.
    #[serde(default)]
    pub disabled: bool,
}

/// A key of a Secret in the same namespace.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordSecret {
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    #[serde(default = "password")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn password() -> String {
    "password".into()
}

/// How a user is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryUserStatus {
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
    /// Which version of the Secret the password is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

impl RegistryUser {
    /// What he logs in as.
    pub fn username(&self) -> String {
        self.spec.username.clone().unwrap_or_else(|| self.name_any())
    }
}
