//! Our own kinds, as users write them. Defaults and rules stand in the schema, so that the API server refuses what cannot
//! be; what a rule cannot say, [`crate::validate`] does. `roadstead-operator crd` prints them.
//!
//! These are formats for ever: a field is added, never changed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

pub mod access;
pub mod backup;
pub mod exposure;
pub mod identities;
pub mod index;
pub mod nodes;
pub mod pods;
pub mod policy;
pub mod reference;
pub mod registry;
pub mod robot;
pub mod schema;
pub mod status;
pub mod storage;
pub mod tls;
pub mod user;

pub use backup::{RegistryBackup, RegistryBackupSpec, RegistryBackupStatus};
pub use policy::{RegistryPolicy, RegistryPolicySpec, RegistryPolicyStatus};
pub use registry::{Registry, RegistrySpec};
pub use robot::{RegistryRobot, RegistryRobotSpec, RegistryRobotStatus};
pub use status::RegistryStatus;
pub use user::{RegistryUser, RegistryUserSpec, RegistryUserStatus};

/// The group of our kinds, and the beginning of our labels and annotations.
pub const GROUP: &str = "roadstead.dev";
/// The version of all kinds.
pub const API_VERSION: &str = "roadstead.dev/v1alpha1";

/// Every kind, in the order in which they are told of.
pub fn all() -> [CustomResourceDefinition; 5] {
    [Registry::crd(), RegistryBackup::crd(), RegistryUser::crd(), RegistryRobot::crd(), RegistryPolicy::crd()]
}
