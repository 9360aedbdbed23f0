//! Which Registries nodes are told of: of several with one host name the oldest, and of all no more than whoever installed
//! the operator allows. Otherwise the author of another Registry could have nodes pull from it under a name that is taken,
//! or make pods on every node without end.

use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;

use crate::build::Surroundings;
use crate::crd::Registry;

/// A Registry that wants nodes to be told of it, and may have its host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    // In this order claims are granted.
    made: Option<Timestamp>,
    uid: String,
    /// `namespace/name`.
    whose: String,
    host: String,
}

impl Claim {
    pub fn of(registry: &Registry) -> Self {
        Self {
            made: registry.metadata.creation_timestamp.as_ref().map(|time| time.0),
            uid: registry.metadata.uid.clone().unwrap_or_default(),
            whose: format!("{}/{}", registry.namespace().unwrap_or_default(), registry.name_any()),
            host: registry.spec.hostname.clone(),
        }
    }
}

/// Whether nodes are told of the Registry of this claim beside all others, or why not.
pub fn judge(claim: &Claim, others: &[Claim], most: usize) -> Result<(), String> {
    // As it is now: among the others it may be as it was.
    let mut all: Vec<&Claim> = others.iter().filter(|other| other.uid != claim.uid).chain([claim]).collect();
    all.sort();
    let mut granted: Vec<&Claim> = Vec::new();
    for one in all {
        let has_it = granted.iter().find(|other| other.host == one.host);
        let verdict = match has_it {
            Some(older) => Err(format!(
                "nodes are told of {} by the Registry {}, which is older: two registries cannot have one host name",
                one.host, older.whose
            )),
            None if granted.len() >= most => Err(format!(
                "nodes are told of {most} older Registries already: whoever installed the chart allows no more by nodes.most"
            )),
            None => Ok(()),
        };
        if one == claim {
            return verdict;
        }
        if verdict.is_ok() {
            granted.push(one);
        }
    }
    Ok(())
}

/// All Registries that this operator runs, as its watches have them. Clones share it.
#[derive(Clone, Default)]
#[allow(missing_debug_implementations, reason = "it would print every Registry")]
pub struct Known(Arc<Mutex<Vec<Store<DeserializeGuard<Registry>>>>>);

impl Known {
    /// Adds what a watch has. All are added before any of them has its first answer.
    pub fn add(&self, store: Store<DeserializeGuard<Registry>>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(store);
    }

    /// Those that may be told to nodes as far as their host names go; none while a watch has not its first answer.
    pub fn claims(&self, around: &Surroundings) -> Option<Vec<Claim>> {
        let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_known = stores.iter().all(|store| matches!(store.wait_until_ready().now_or_never(), Some(Ok(()))));
        is_known.then(|| {
            let all = stores.iter().flat_map(Store::state);
            all.filter_map(|registry| {
                let registry = registry.0.as_ref().ok()?;
                (registry.spec.tells_nodes() && around.may_tell_nodes(registry).is_ok()).then(|| Claim::of(registry))
            })
            .collect()
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;

    fn claim(whose: &str, made: i64, host: &str) -> Claim {
        let made = Some(Timestamp::from_second(made).unwrap());
        Claim { made, uid: whose.replace('/', "-"), whose: whose.into(), host: host.into() }
    }

    #[test]
    fn of_several_registries_with_one_host_name_nodes_are_told_of_the_oldest() {
        let (old, new) = (claim("a/one", 1, "r.example.com"), claim("b/two", 2, "r.example.com"));
        let other = claim("b/three", 3, "other.example.com");
        // Whatever the order in which passes come, and whether the watch has the claim already or not.
        for all in [vec![old.clone(), new.clone(), other.clone()], vec![other.clone(), new.clone(), old.clone()]] {
            assert_eq!(judge(&old, &all, 20), Ok(()));
            assert!(judge(&new, &all, 20).unwrap_err().contains("a/one"));
            assert_eq!(judge(&other, &all, 20), Ok(()));
        }
        assert!(judge(&new, std::slice::from_ref(&old), 20).is_err());
        assert_eq!(judge(&new, &[], 20), Ok(()), "the older one is gone");
        let renamed = Claim { host: "mine.example.com".into(), ..new.clone() };
        assert_eq!(judge(&renamed, &[old.clone(), new], 20), Ok(()), "the watch has it as it was");
        let (low, high) = (claim("a/low", 1, "r.example.com"), claim("b/not-low", 1, "r.example.com"));
        assert!(judge(&low, &[high.clone()], 20).is_ok() && judge(&high, &[low], 20).is_err(), "made at one time");
    }

    #[test]
    fn nodes_are_told_of_no_more_registries_than_are_allowed_and_of_the_oldest_first() {
        let all: Vec<Claim> = (1..=4).map(|at| claim(&format!("a/{at}"), at, &format!("{at}.example.com"))).collect();
        let told: Vec<bool> = all.iter().map(|claim| judge(claim, &all, 2).is_ok()).collect();
        assert_eq!(told, [true, true, false, false]);
        // One that is refused for its host takes no place.
        let mut all = all;
        all[1].host = all[0].host.clone();
        let told: Vec<bool> = all.iter().map(|claim| judge(claim, &all, 2).is_ok()).collect();
        assert_eq!(told, [true, false, true, false]);
        assert!(judge(&all[3], &all, 2).unwrap_err().contains("nodes.most"));
    }

    #[test]
    fn claims_are_of_registries_that_tell_nodes_and_may_and_unknown_until_every_watch_answered() {
        let registry = |namespace: &str, name: &str, host: &str, trust: bool| -> DeserializeGuard<Registry> {
            serde_json::from_value(json!({
                "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry",
                "metadata": { "name": name, "namespace": namespace, "uid": name },
                "spec": {
                    "hostname": host, "storage": { "s3": { "bucket": "b" } },
                    "nodes": { "trust": trust, "certsDirectory": "/etc/containerd/certs.d" },
                },
            }))
            .unwrap()
        };
        let around = Surroundings {
            image: String::new(),
            namespace: "operators".into(),
            nodes: Some("nodes".into()),
            hostnames: vec!["a/r.example.com".into(), ".example.org".into()],
            most: 20,
            is_ipv6: false,
        };
        let known = Known::default();
        let (one, mut first) = reflector::store();
        let (two, mut second) = reflector::store();
        known.add(one);
        known.add(two);
        first.apply_watcher_event(&Event::Init);
        for registry in [
            registry("a", "mine", "r.example.com", true),
            registry("b", "not-theirs", "r.example.com", true),
            registry("b", "anybodys", "r.example.org", true),
            registry("a", "silent", "s.example.org", false),
        ] {
            first.apply_watcher_event(&Event::InitApply(registry));
        }
        first.apply_watcher_event(&Event::InitDone);
        assert_eq!(known.claims(&around), None, "the other watch says nothing yet");
        second.apply_watcher_event(&Event::Init);
        second.apply_watcher_event(&Event::InitDone);
        let mut claims: Vec<String> = known.claims(&around).unwrap().into_iter().map(|claim| claim.whose).collect();
        claims.sort();
        assert_eq!(claims, ["a/mine", "b/anybodys"]);
    }
}
