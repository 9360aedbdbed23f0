//! What RegistryUser, RegistryRobot and RegistryPolicy have in common: roles and verbs, and what is said of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Verbs that go together, each with all of those before it.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Pull,
    Create,
    Push,
    Delete,
    Admin,
}

/// What may be done to a repository.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Pull,
    Push,
    Overwrite,
    Delete,
    Admin,
}

/// What an object keeps in its registry.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Applied {
    /// The account or policy, noted before it is made.
    pub name: String,
    /// A sum of what was applied; none as long as it is not known to be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<String>,
}
