//! The certificate that clients see.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The certificate that clients see. With none of its fields, the operator is its own authority and renews everything.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[x_kube(validation = Rule::new("!(has(self.secretName) && has(self.certManager))").message("give either tls.secretName or tls.certManager, or none of them"))]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// A Secret of type `kubernetes.io/tls`, in the namespace of the Registry. Its `ca.crt`, if there, is what nodes are told to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: Option<String>,
    /// cert-manager issues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManager>,
}

/// Who issues.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CertManager {
    pub issuer_ref: IssuerRef,
}

/// An issuer of cert-manager.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    #[schemars(length(min = 1))]
    pub name: String,
    #[serde(default = "issuer")]
    pub kind: String,
    #[serde(default = "cert_manager")]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".into()
}

fn cert_manager() -> String {
    "cert-manager.io".into()
}
