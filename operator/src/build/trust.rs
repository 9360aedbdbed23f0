//! The ConfigMap from which clients in the cluster take the authorities to trust.

use serde_json::{Value, json};

use super::{Decided, Of};

pub(super) fn build(of: &Of<'_>, decided: &Decided) -> Option<Value> {
    let trust = decided.clients_trust.as_ref()?;
    Some(of.object("v1", "ConfigMap", &of.names.trust(), json!({ "data": { "ca.crt": trust } })))
}
