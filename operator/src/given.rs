//! The Secrets that a Registry names: what is in them, and for whom. Pure.

use crate::crd::RegistrySpec;

/// What a Secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Pods read it when they start, those of the index too.
    Bucket,
    /// Pods that serve clients read it when they start.
    Directory,
    /// The same, and it is no secret.
    Authority,
    /// Pods read it again whenever it changes.
    Certificate,
}

/// A Secret that a Registry names, and what must be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    pub purpose: Purpose,
    /// The field that names it.
    pub field: &'static str,
    pub name: &'a String,
    pub keys: Vec<&'a str>,
}

/// All that a Registry names.
pub fn secrets(spec: &RegistrySpec) -> Vec<Given<'_>> {
    let mut all = Vec::new();
    let mut add = |purpose, field, name, keys| all.push(Given { purpose, field, name, keys });
    if let Some(credentials) = spec.storage.s3.as_ref().and_then(|s3| s3.credentials.as_ref()) {
        let keys = vec![credentials.access_key_id_key.as_str(), credentials.secret_access_key_key.as_str()];
        add(Purpose::Bucket, "spec.storage.s3.credentials", &credentials.secret_name, keys);
    }
    if let Some(ldap) = &spec.access.ldap {
        if let Some(password) = &ldap.bind_password {
            let keys = vec![password.key.as_str()];
            add(Purpose::Directory, "spec.access.ldap.bindPassword", &password.secret_name, keys);
        }
        if let Some(name) = &ldap.ca_secret_name {
            add(Purpose::Authority, "spec.access.ldap.caSecretName", name, vec!["ca.crt"]);
        }
    }
    if let Some(name) = &spec.tls.secret_name {
        add(Purpose::Certificate, "spec.tls.secretName", name, vec!["tls.crt", "tls.key"]);
    }
    all
}
