//! Who is known to a registry besides its own users and robots.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whom the cluster itself knows: by a token of a ServiceAccount, as Pods and jobs have one.
///
/// The pods of the registry ask the API server whose a token is. For that an administrator of the cluster binds
/// the ClusterRole `system:auth-delegator` to their ServiceAccount.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// What tokens must be for; without it `hostname`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub audience: Option<String>,
    /// Whether RBAC on `repositories.roadstead.dev` in the namespace of the Registry grants rights, besides policies.
    #[serde(default)]
    pub rbac: bool,
}

/// A directory that knows people by name and password.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[x_kube(
    validation = Rule::new("self.url.startsWith('ldaps://') || self.startTls").message("passwords go to the directory: use ldaps://, or set startTls").field_path(".url"),
    validation = Rule::new("has(self.bindDn) == has(self.bindPassword)").message("give both bindDn and bindPassword, or none to look people up as nobody")
)]
#[serde(rename_all = "camelCase")]
pub struct Ldap {
    /// `ldaps://host` or `ldap://host`, with `:port` if it is not 636 or 389.
    #[schemars(length(max = 512), regex(pattern = r"^ldaps?://[^/?#@\s]+$"))]
    pub url: String,
    /// Go over to TLS on a connection of `ldap://`.
    #[serde(default)]
    pub start_tls: bool,
    /// A Secret with the authorities that vouch for it, under `ca.crt`; without it the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub ca_secret_name: Option<String>,
    /// As whom people and groups are looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub bind_dn: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_password: Option<SecretKey>,
    /// The entry below which people are.
    #[schemars(length(min = 1, max = 1024))]
    pub user_base: String,
    /// The filter that finds somebody by what he types, which stands in place of `{user}`; without it `(uid={user})`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub user_filter: Option<String>,
    /// Where his name stands as the directory spells it: `ldap:NAME` in policies; without it `uid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name_attribute: Option<String>,
    /// The entry below which groups are; without it groups are not looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub group_base: Option<String>,
    /// The filter that finds the groups of somebody, whose entry stands in place of `{dn}` and whose name of `{user}`; without it
    /// `(member={dn})`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub group_filter: Option<String>,
    /// Where the name of a group stands: `group:ldap:NAME` in policies; without it `cn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub group_attribute: Option<String>,
    /// Its names are those of the registry's users: `{user}` in patterns stands for them.
    #[serde(default)]
    pub owns_names: bool,
}

/// A key of a Secret in the namespace of the Registry.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// Which of its keys.
    #[serde(default = "password")]
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

fn password() -> String {
    "password".into()
}
