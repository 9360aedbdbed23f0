//! Who is known, and what everyone may do.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// What anyone may do. Must be set when listening elsewhere than on loopback; there, unset means `delete`.
    pub anonymous: Option<Anonymous>,
    pub kubernetes: Kubernetes,
    pub ldap: Ldap,
}

/// A Kubernetes cluster that is asked whose tokens are, and what RBAC grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kubernetes {
    /// Tokens for this audience are shown to the cluster; none: it is not asked.
    pub audience: Option<String>,
    /// Where RBAC on `repositories.roadstead.dev` is asked as well; none: policies alone decide.
    pub rbac_namespace: Option<String>,
    pub api: String,
    /// Its authority, and the token that this process shows to it.
    pub ca: PathBuf,
    pub token: PathBuf,
}

impl Default for Kubernetes {
    fn default() -> Self {
        let account = Path::new("/var/run/secrets/kubernetes.io/serviceaccount");
        Self {
            audience: None,
            rbac_namespace: None,
            api: "https://kubernetes.default.svc".into(),
            ca: account.join("ca.crt"),
            token: account.join("token"),
        }
    }
}

/// A directory that knows people by name and password; none without `url`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ldap {
    /// `ldaps://host` or `ldap://host`, with a port if it is another than usual.
    pub url: Option<String>,
    /// Go over to TLS on a connection of `ldap://`.
    pub start_tls: bool,
    /// Authorities that vouch for it, as a PEM file, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// As whom people and groups are looked up; none: as nobody. Both or none.
    pub bind_dn: Option<String>,
    pub bind_password: Option<String>,
    /// Below which entry people are.
    pub user_base: Option<String>,
    /// Which one is meant by `{user}`.
    pub user_filter: String,
    /// Where their name stands as the directory spells it.
    pub name_attribute: String,
    /// Below which entry groups are; none: nobody is in a group.
    pub group_base: Option<String>,
    /// Which ones somebody is in, whose entry is `{dn}` and whose name `{user}`.
    pub group_filter: String,
    pub group_attribute: String,
    /// Its names are those of our users: `{user}` in patterns stands for them.
    pub owns_names: bool,
}

impl Default for Ldap {
    fn default() -> Self {
        Self {
            url: None,
            start_tls: false,
            ca: None,
            bind_dn: None,
            bind_password: None,
            user_base: None,
            user_filter: "(uid={user})".into(),
            name_attribute: "uid".into(),
            group_base: None,
            group_filter: "(member={dn})".into(),
            group_attribute: "cn".into(),
            owns_names: false,
        }
    }
}

/// What clients without an identity may do; each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    Nothing,
    Pull,
    Push,
    Delete,
}
