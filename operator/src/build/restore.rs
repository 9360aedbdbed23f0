//! How a registry begins from a backup: the first index node restores before it starts, the others join it as empty ones.
//! Pods are not made again when this goes away after it was done: it is no part of what they were made from.

use serde_json::{Value, json};

use super::Of;
use crate::crd::registry::Bootstrap;

/// The container that restores, before the first start of the index.
pub(super) fn container(of: &Of<'_>, like: &Value) -> Option<Value> {
    let Bootstrap { backup, archive, take_over } = of.registry.spec.bootstrap.as_ref()?;
    let mut args = vec!["restore".to_owned(), "--if-empty".into(), format!("--only-as={}", of.names.node(0))];
    args.extend(backup.iter().map(|name| format!("--backup={name}")));
    args.extend(archive.iter().filter_map(|archive| archive.position).map(|position| format!("--position={position}")));
    args.extend(take_over.then(|| "--take-over".into()));
    let pick = |field: &str| like.get(field).cloned().unwrap_or_default();
    Some(json!({
        "name": "restore",
        "image": pick("image"),
        "imagePullPolicy": pick("imagePullPolicy"),
        "command": pick("command"),
        "args": args,
        "env": pick("env"),
        "resources": pick("resources"),
        "securityContext": pick("securityContext"),
        "volumeMounts": pick("volumeMounts"),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }))
}
