//! A whole registry in one pod, on a claim: for trying out. There is nobody to hand over to, so Kubernetes rolls it.

use serde_json::{Value, json};

use super::{Decided, Of, index, pods};
use crate::names::Component;

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Value {
    let volume = of.registry.spec.storage.claim.clone().unwrap_or_default();
    let update = json!({ "type": "RollingUpdate" });
    index::set(of, Component::All, 1, &update, &pods::template(of, Component::All), &volume, decided)
}
