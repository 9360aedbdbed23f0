//! Which kinds there are that need not be there: those of cert-manager, Gateway API and Prometheus' operator.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;

use crate::crd::Registry;
use crate::object::{KINDS, Kind};

/// The optional kinds that the API server knows; none: it was not asked yet. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Optional(Arc<RwLock<Option<BTreeSet<Kind>>>>);

impl Optional {
    /// Asks the API server again. One that cannot be asked changes nothing.
    pub async fn look(&self, client: &Client) {
        let mut found = BTreeSet::new();
        let groups: BTreeSet<String> =
            KINDS.into_iter().filter(|kind| kind.optional).map(|kind| kind.api_version()).collect();
        for group in groups {
            match client.list_api_group_resources(&group).await {
                Ok(list) => {
                    let of_group = KINDS.into_iter().filter(|kind| kind.optional && kind.api_version() == group);
                    found.extend(of_group.filter(|kind| list.resources.iter().any(|found| found.kind == kind.kind)));
                }
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => {
                    tracing::warn!(group, %error, "could not ask which kinds there are");
                    return;
                }
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    pub fn has(&self, kind: Kind) -> bool {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !kind.optional || found.as_ref().is_some_and(|found| found.contains(&kind))
    }

    /// What a Registry asks for by a field and cannot have, each with what to install. That which is only made where it is
    /// known, such as a ServiceMonitor, nobody asks for.
    pub fn missing(&self, registry: &Registry) -> Vec<String> {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Vec::new();
        }
        let gateway = registry.spec.exposure.gateway.is_some();
        let cert_manager = registry.spec.tls.cert_manager.is_some();
        let asked = [
            (cert_manager, "spec.tls.certManager", "Certificate", "cert-manager"),
            (gateway, "spec.exposure.gateway", "HTTPRoute", "the kinds of Gateway API"),
            (gateway, "spec.exposure.gateway", "BackendTLSPolicy", "the kinds of Gateway API, 1.4 or newer"),
        ];
        asked
            .into_iter()
            .filter(|(is_asked, ..)| *is_asked)
            .filter_map(|(_, field, kind, what)| Some((field, Kind::named(kind)?, what)))
            .filter(|(_, kind, _)| !self.has(*kind))
            .map(|(field, kind, what)| {
                let (version, kind) = (kind.api_version(), kind.kind);
                format!("{field} needs the kind {kind} ({version}), which is not there: install {what}")
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use serde_json::json;

    use super::*;

    fn registry(spec: &serde_json::Value) -> Registry {
        let mut value = json!({
            "apiVersion": "roadstead.dev/v1alpha1",
            "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "images" } } },
        });
        value["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_kind_that_is_asked_for_and_not_there_is_named_with_what_to_install() {
        let knows = |kinds: &[&str]| {
            let kinds = kinds.iter().map(|kind| Kind::named(kind).unwrap()).collect();
            Optional(Arc::new(RwLock::new(Some(kinds))))
        };
        let gateway = json!({ "exposure": { "gateway": { "parentRefs": [{ "name": "front" }] } } });
        let cert_manager = json!({ "tls": { "certManager": { "issuerRef": { "name": "ca" } } } });
        for (what, optional, spec, named) in [
            ("nothing is asked for", knows(&[]), json!({}), vec![]),
            ("nothing is known yet", Optional::default(), gateway.clone(), vec![]),
            ("all is there", knows(&["HTTPRoute", "BackendTLSPolicy"]), gateway.clone(), vec![]),
            ("an older Gateway API", knows(&["HTTPRoute"]), gateway.clone(), vec!["1.4 or newer"]),
            ("no Gateway API", knows(&["Certificate"]), gateway, vec!["HTTPRoute", "BackendTLSPolicy"]),
            ("no cert-manager", knows(&["HTTPRoute"]), cert_manager, vec!["install cert-manager"]),
        ] {
            let missing = optional.missing(&registry(&spec));
            assert_eq!(missing.len(), named.len(), "{what}: {missing:?}");
            assert!(missing.iter().zip(named).all(|(missing, named)| missing.contains(named)), "{what}: {missing:?}");
        }
    }
}
