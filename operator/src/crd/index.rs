//! The replicated index of a `Registry`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pods::Pods;

/// The replicated index of tags and manifests.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[x_kube(validation = Rule::new("self.replicas in [1, 3, 5]").message("an index has 1, 3 or 5 nodes: an even number survives no more than one fewer").field_path(".replicas"))]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Nodes: of 3 one may be lost, of 5 two. Changed one node after the other.
    #[serde(default = "three")]
    pub replicas: i32,
    /// The volume of each node.
    #[serde(default)]
    pub volume: Volume,
    /// Where the nodes run, and what they may use.
    #[serde(default)]
    pub pods: Pods,
    /// Whether a new version's feature level is put in force by itself, once every node knows it. Until it is, one step back is possible.
    #[serde(default)]
    pub feature_level: FeatureLevel,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            replicas: three(),
            volume: Volume::default(),
            pods: Pods::default(),
            feature_level: FeatureLevel::default(),
        }
    }
}

fn three() -> i32 {
    3
}

/// The volume of an index node, or of a registry on a claim.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// How large. It can grow, if the storage class lets it; a volume that exists never shrinks.
    #[serde(default = "ten_gibibytes")]
    #[x_kube(
        validation = Rule::new("isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('1Mi')) >= 0").message("the size of a volume is a quantity such as 10Gi, and at least 1Mi")
    )]
    pub size: Quantity,
    /// Without it the default class of the cluster. A change is for volumes to come: those that exist keep theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub storage_class_name: Option<String>,
}

impl Default for Volume {
    fn default() -> Self {
        Self { size: ten_gibibytes(), storage_class_name: None }
    }
}

fn ten_gibibytes() -> Quantity {
    Quantity("10Gi".into())
}

/// Who puts a new feature level in force.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum FeatureLevel {
    /// The operator, once every node knows it.
    #[default]
    Automatic,
    /// An administrator: `roadstead index raise`.
    Manual,
}
