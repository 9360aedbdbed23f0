//! `RegistryRobot`: a robot of a registry, and the Secret by which pods pull as it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Applied, Role, Verb};

/// A robot of a registry, and the Secret by which pods pull as it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "roadstead.dev",
    version = "v1alpha1",
    kind = "RegistryRobot",
    plural = "registryrobots",
    namespaced,
    status = "RegistryRobotStatus",
    derive = "PartialEq",
    doc = "A robot of a registry, and the Secret by which pods pull as it.",
    shortname = "rsdr",
    category = "roadstead",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registry"),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.applied.name"),
    printcolumn(name = "Issued", type_ = "date", json_path = ".status.token.issued", description = "since when the pull secret holds its token"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 63").message("the name may have at most 63 characters: it becomes a label")
)]
#[x_kube(
    validation = Rule::new("self.registry == oldSelf.registry").message("a robot belongs to one registry: make another RegistryRobot").field_path(".registry"),
    validation = Rule::new("has(self.robotName) == has(oldSelf.robotName) && (!has(self.robotName) || self.robotName == oldSelf.robotName)").message("an account cannot be renamed: make another RegistryRobot")
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryRobotSpec {
    /// The Registry, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub registry: String,
    /// What it logs in as; without it the name of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$"))]
    pub robot_name: Option<String>,
    /// All that it may do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub grants: Vec<Grant>,
    /// It cannot log in.
    #[serde(default)]
    pub disabled: bool,
    /// A Secret by which pods pull as this robot. Without it the robot has no token: make one with `roadstead robot rotate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_secret: Option<PullSecret>,
}

/// Verbs on repositories: those of a role, or some.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = Rule::new("has(self.role) != has(self.verbs)").message("a grant has either a role or verbs"))]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// A pattern: `team/**`.
    #[schemars(length(min = 1, max = 255))]
    pub repositories: String,
    /// Each may do what those before it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// One by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5))]
    pub verbs: Vec<Verb>,
}

/// A Secret of the type `kubernetes.io/dockerconfigjson`.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Its name; without it that of this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub name: Option<String>,
    /// The namespaces that get it; without any that of this object. Each of the others must have the label `roadstead.dev/pull-secrets-from` with
    /// the namespace of this object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub namespaces: Vec<String>,
    /// When the token is replaced by another one. The one before it stays good until the next time.
    #[serde(default = "daily")]
    #[schemars(length(min = 2, max = 20), regex(pattern = r"^([0-9]{1,6}[hms])+$"))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('10m') && duration(self) <= duration('8760h')").message("rotate is at least 10m and at most 8760h"))]
    pub rotate: String,
}

fn daily() -> String {
    "24h".into()
}

/// How a robot is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryRobotStatus {
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
    /// The token that is in the pull secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<RobotToken>,
    /// Where the pull secret is, noted before it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into(), "name".into()]))]
    pub secrets: Vec<SecretPlace>,
}

/// A token, without its secret.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RobotToken {
    /// As `roadstead token list` has it.
    pub id: String,
    /// Since when it is in the pull secret.
    pub issued: Time,
    /// A sum, by which it is known again.
    pub sum: String,
    /// The token before it, which is still good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The annotation `roadstead.dev/rotate` that it was asked for by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// A Secret in a namespace.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct SecretPlace {
    pub namespace: String,
    pub name: String,
}

impl RegistryRobot {
    /// The name of its Secrets.
    pub fn pull_secret_name(&self, wanted: &PullSecret) -> String {
        wanted.name.clone().unwrap_or_else(|| self.name_any())
    }

    /// What it logs in as.
    pub fn robot_name(&self) -> String {
        self.spec.robot_name.clone().unwrap_or_else(|| self.name_any())
    }
}
