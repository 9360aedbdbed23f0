//! Where the bytes of images are.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::index::Volume;

/// Where the bytes of images are: exactly one of its fields.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[x_kube(validation = Rule::new("has(self.s3) != has(self.claim)").message("give either storage.s3 or storage.claim"))]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// A bucket: for more than trying out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// One volume for everything and one pod: for trying out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Volume>,
}

/// A bucket of an S3 service.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[x_kube(
    validation = Rule::new("self.bucket == oldSelf.bucket").message("the bucket cannot be changed: the index names the objects in it").field_path(".bucket"),
    validation = Rule::new("(has(self.prefix) ? self.prefix : '') == (has(oldSelf.prefix) ? oldSelf.prefix : '')").message("the prefix cannot be changed: the index names the objects under it")
)]
#[serde(rename_all = "camelCase")]
pub struct S3 {
    /// Its name. It belongs to one registry, or the part of it under `prefix` does.
    #[schemars(length(min = 3, max = 255))]
    pub bucket: String,
    /// Everything is kept under this prefix of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub prefix: Option<String>,
    /// The address of the service, `https://host` or `http://host:port`; without it that of AWS for the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://[^/?#@\s]+$"))]
    pub endpoint: Option<String>,
    /// As the service calls it; without it by the standard chain of the AWS SDK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub region: Option<String>,
    /// Put the bucket into the path instead of the host name. Most services other than AWS want it.
    #[serde(default)]
    pub path_style: bool,
    /// Whose rights are used; without it those of the pods' ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Annotations of the pods' ServiceAccounts, by which a cloud gives them an identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
}

/// A Secret with an access key, in the namespace of the Registry.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub secret_name: String,
    /// Which key of the Secret is the access key.
    #[serde(default = "access_key_id")]
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub access_key_id_key: String,
    /// Which key of the Secret is its secret.
    #[serde(default = "secret_access_key")]
    #[schemars(regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub secret_access_key_key: String,
}

fn access_key_id() -> String {
    "accessKeyId".into()
}

fn secret_access_key() -> String {
    "secretAccessKey".into()
}

/// How a cloud knows the pods.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadIdentity {
    /// Such as `eks.amazonaws.com/role-arn`.
    #[serde(default)]
    pub service_account_annotations: std::collections::BTreeMap<String, String>,
}
