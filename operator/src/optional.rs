//! Which kinds there are that need not be there: those of cert-manager, Gateway API and Prometheus' operator.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;

use crate::object::{KINDS, Kind};

/// The optional kinds that the API server knows. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Optional(Arc<RwLock<BTreeSet<Kind>>>);

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
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    pub fn has(&self, kind: Kind) -> bool {
        !kind.optional || self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&kind)
    }
}
