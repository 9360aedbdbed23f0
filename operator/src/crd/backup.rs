//! `RegistryBackup`: a backup of a registry's index, or a schedule of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A backup of a registry's index in its bucket: one, or by a schedule.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "roadstead.dev",
    version = "v1alpha1",
    kind = "RegistryBackup",
    plural = "registrybackups",
    namespaced,
    status = "RegistryBackupStatus",
    derive = "PartialEq",
    doc = "A backup of a registry's index in its bucket: one, or by a schedule.",
    shortname = "rsdb",
    category = "roadstead",
    printcolumn(name = "Registry", type_ = "string", json_path = ".spec.registry"),
    printcolumn(name = "Schedule", type_ = "string", json_path = ".spec.schedule"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Last", type_ = "string", json_path = ".status.last.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("size(self.metadata.name) <= 51").message("the name may have at most 51 characters: the time is added to it"),
    validation = Rule::new("!self.metadata.name.contains('.')").message("the name may have no dots: the time is added to it behind one")
)]
#[x_kube(
    validation = Rule::new("self.registry == oldSelf.registry").message("a backup belongs to one registry: make another RegistryBackup").field_path(".registry"),
    validation = Rule::new("has(self.schedule) == has(oldSelf.schedule)").message("one backup does not become a schedule, nor the reverse: make another RegistryBackup")
)]
#[serde(rename_all = "camelCase")]
pub struct RegistryBackupSpec {
    /// The Registry, in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub registry: String,
    /// When: minute, hour, day of month, month, day of week, in UTC, as cron has it. Without it one backup is made, at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 100), regex(pattern = r"^\s*\S+(\s+\S+){4}\s*$"))]
    pub schedule: Option<String>,
    /// Which backups are kept.
    #[serde(default)]
    pub retention: Retention,
    /// No backup is begun while this is set.
    #[serde(default)]
    pub suspend: bool,
}

/// Which backups are kept; what a kept one refers to is not reclaimed.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Retention {
    /// The newest so many of a schedule. Without it and `days`, 7. With 0 none is made, and those that are there are deleted from the bucket, of a schedule or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub count: Option<i32>,
    /// Those of the last so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub days: Option<i32>,
}

impl Retention {
    /// What there is in the bucket is to go, and nothing is to come.
    pub fn is_none(&self) -> bool {
        self.count == Some(0)
    }
}

/// How backups go.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RegistryBackupStatus {
    /// The generation of the object that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The newest that is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Backup>,
    /// When the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Time>,
    /// Those that are kept, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub kept: Vec<Backup>,
}

/// A backup that is whole.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// What `bootstrap.backup` and `roadstead restore --backup` call it.
    pub name: String,
    /// When it was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Time>,
    /// The entry of the log that it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<i64>,
}
