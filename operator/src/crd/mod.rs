//! Our own kinds, as users write them. Defaults and rules stand in the schema, so that the API server refuses what cannot
//! be; what a rule cannot say, [`crate::validate`] does. `roadstead-operator crd` prints them.
//!
//! These are formats for ever: a field is added, never changed.

pub mod backup;
pub mod exposure;
pub mod index;
pub mod nodes;
pub mod pods;
pub mod reference;
pub mod registry;
pub mod schema;
pub mod status;
pub mod storage;
pub mod tls;

pub use backup::{RegistryBackup, RegistryBackupSpec, RegistryBackupStatus};
pub use registry::{Registry, RegistrySpec};
pub use status::RegistryStatus;

/// The group of our kinds, and the beginning of our labels and annotations.
pub const GROUP: &str = "roadstead.dev";
/// The version of both kinds.
pub const API_VERSION: &str = "roadstead.dev/v1alpha1";
