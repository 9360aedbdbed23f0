//! The ServiceAccounts of the pods. They have no rights: a cloud may know them by their annotations.

use serde_json::{Value, json};

use super::Of;

pub(super) fn build(of: &Of<'_>) -> Vec<Value> {
    let identity = of.registry.spec.storage.s3.as_ref().and_then(|s3| s3.workload_identity.as_ref());
    of.components()
        .iter()
        .map(|component| {
            let body = json!({ "automountServiceAccountToken": false });
            let mut account = of.object("v1", "ServiceAccount", &of.names.workload(*component), body);
            if let Some(identity) = identity {
                account["metadata"]["annotations"] = json!(identity.service_account_annotations);
            }
            account
        })
        .collect()
}
