//! From what was observed to what the plan looks at. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use roadstead::metrics::sum_of;
use serde_json::Value;

use crate::build::Keys;
use crate::crd::Registry;
use crate::crd::index::{FeatureLevel, Volume};
use crate::given::{self, Given, Purpose};
use crate::names::{Component, LEFT, Names, TEMPLATE};
use crate::object::text_of;
use crate::observe::{Class, Observed, ordinal, unschedulable};
use crate::plan::view::Unplaced;
use crate::plan::{Claim, Pod, Said, View};
use crate::quantity::bytes;

/// On a Registry: the PersistentVolume of an index node of which somebody says that it is lost.
pub const GIVE_UP: &str = "roadstead.dev/give-up-volume";

/// Longer than any election, and than the nodes take to start.
const STUCK: SignedDuration = SignedDuration::from_mins(3);

/// What the plan looks at. `template` is what pods of the index should be made from.
pub fn view(registry: &Registry, observed: &Observed, template: &str, now: Timestamp) -> View {
    let names = Names::of(registry);
    let spec = &registry.spec;
    let index = registry.status.as_ref().and_then(|status| status.index.as_ref());
    let given_up = registry.annotations().get(GIVE_UP).map(|volume| volume.trim());
    // By the name of the volume, so that the next one is not meant.
    let is_given_up = |claim: &str| {
        let claim = observed.claims.iter().find(|found| found.name_any() == claim);
        let volume = claim.and_then(|claim| claim.spec.as_ref()?.volume_name.as_deref());
        volume.is_some() && volume == given_up
    };
    let mut pods: Vec<Pod> = observed
        .pods_of(&names, Component::Index)
        .filter_map(|pod| {
            let ordinal = ordinal(&names.index(), &pod.name_any())?;
            let lost = observed.lost.get(&names.claim(ordinal));
            let unplaced = unschedulable(pod).map(|reason| Unplaced {
                reason: lost.cloned().unwrap_or(reason),
                is_lost: lost.is_some() || is_given_up(&names.claim(ordinal)),
            });
            let said = match observed.said.get(&ordinal) {
                Some(Ok(status)) => Said::Status(Box::new(status.clone())),
                Some(Err(why)) => Said::Nothing(why.clone()),
                None => Said::default(),
            };
            Some(Pod {
                ordinal,
                uid: pod.uid().unwrap_or_default(),
                ready: is_ready(pod),
                terminating: pod.metadata.deletion_timestamp.is_some(),
                template: pod.annotations().get(TEMPLATE).cloned(),
                unplaced,
                said,
            })
        })
        .collect();
    pods.sort_by_key(|pod| pod.ordinal);
    let volumes = volumes(registry, observed);
    let (is_from_backup, brings_volumes) = (spec.bootstrap.is_some(), brings_volumes(registry, observed));
    View {
        wanted: spec.index.replicas.max(1) as u32,
        cluster: index.and_then(|index| index.cluster.clone()),
        begun: index.and_then(|index| index.bootstrapped).unwrap_or(false),
        template: template.to_owned(),
        pods,
        skips_backup: is_from_backup && brings_volumes,
        restores: is_from_backup && !brings_volumes,
        stuck: is_stuck(registry, now),
        raises: spec.index.feature_level == FeatureLevel::Automatic,
        addresses: names.all_nodes(),
        ..volumes
    }
}

/// What the plan looks at of a Registry whose only pod is not the plan's to look after: its volume.
pub fn volumes(registry: &Registry, observed: &Observed) -> View {
    let set = set(registry, observed);
    let volume = set.as_ref().and_then(set_volume);
    View {
        replicas: set.as_ref().and_then(|set| set.pointer("/spec/replicas")?.as_u64()).unwrap_or_default() as u32,
        claims: claims(&Names::of(registry).set_of(registry), observed),
        size: bytes(&registry.spec.volume().size).unwrap_or_default(),
        set_size: volume.as_ref().and_then(|volume| bytes(&volume.size)).unwrap_or_default(),
        class: registry.spec.volume().storage_class_name.clone(),
        set_class: volume.and_then(|volume| volume.storage_class_name),
        pods: if registry.spec.is_single() { only_pod(registry, observed) } else { Vec::new() },
        ..View::default()
    }
}

/// Whether there are volumes of the index from before the Registry: of one of the same name, which was deleted.
pub fn brings_volumes(registry: &Registry, observed: &Observed) -> bool {
    let names = Names::of(registry);
    let is_volume = |claim: &str| ordinal(&format!("data-{}", names.index()), claim).is_some();
    let created = registry.creation_timestamp();
    observed.claims.iter().any(|claim| is_volume(&claim.name_any()) && claim.creation_timestamp() < created)
}

/// The StatefulSet of a Registry, as it is there.
pub fn set(registry: &Registry, observed: &Observed) -> Option<Value> {
    observed.object("StatefulSet", &Names::of(registry).set_of(registry)).map(text_of)
}

fn claims(workload: &str, observed: &Observed) -> Vec<Claim> {
    let size =
        |map: Option<&BTreeMap<String, Quantity>>| map.and_then(|map| bytes(map.get("storage")?)).unwrap_or_default();
    let mut claims: Vec<Claim> = observed
        .claims
        .iter()
        .filter_map(|claim| {
            let ordinal = ordinal(&format!("data-{workload}"), &claim.name_any())?;
            let asked = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
            let has = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
            let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
            let known = class.as_ref().and_then(|class| observed.classes.get(class));
            Some(Claim {
                ordinal,
                uid: claim.uid().unwrap_or_default(),
                terminating: claim.metadata.deletion_timestamp.is_some(),
                asked: size(asked),
                has: size(has),
                left: claim.annotations().get(LEFT).and_then(|id| id.parse().ok()),
                is_unmade: is_unmade(claim),
                version: claim.resource_version().unwrap_or_default(),
                class_is_missing: known == Some(&Class::Missing),
                can_expand: known.and_then(Class::can_expand),
                class,
            })
        })
        .collect();
    claims.sort_by_key(|claim| claim.ordinal);
    claims
}

/// Whether nobody has led for longer than any election takes, by what was said before.
fn is_stuck(registry: &Registry, now: Timestamp) -> bool {
    let quorum = registry.condition("QuorumAvailable").filter(|quorum| quorum.status != "True");
    quorum.is_some_and(|quorum| now.duration_since(quorum.last_transition_time.0) > STUCK)
}

/// What a StatefulSet says of volumes, which cannot be changed there.
pub fn set_volume(set: &Value) -> Option<Volume> {
    let spec = set.pointer("/spec/volumeClaimTemplates/0/spec")?;
    let size = Quantity(spec.pointer("/resources/requests/storage")?.as_str()?.to_owned());
    let class = spec.get("storageClassName").and_then(Value::as_str);
    Some(Volume { size, storage_class_name: class.map(str::to_owned) })
}

/// Sums of what a Registry's Secrets say to pods that start, by which it is seen that they say something else.
pub fn keys(registry: &Registry, observed: &Observed) -> Keys {
    let sum = |purposes: &[Purpose]| -> Option<String> {
        let given = given::secrets(&registry.spec);
        let mut given = given.iter().filter(|given| purposes.contains(&given.purpose)).peekable();
        given.peek()?;
        // Of this Registry: what two have in common is not for everybody to see.
        let mut sum = registry.uid().unwrap_or_default().into_bytes();
        for Given { name, keys, .. } in given {
            let data = observed.secrets.get(*name)?.data.as_ref()?;
            for key in keys {
                let value = &data.get(*key)?.0;
                sum.extend((value.len() as u64).to_le_bytes());
                sum.extend(value);
            }
        }
        Some(sum_of(&sum).chars().take(16).collect())
    };
    Keys { index: sum(&[Purpose::Bucket]), clients: sum(&[Purpose::Bucket, Purpose::Directory, Purpose::Authority]) }
}

/// Whether a claim has no volume, and never had one.
pub fn is_unmade(claim: &PersistentVolumeClaim) -> bool {
    let is_named =
        claim.spec.as_ref().is_some_and(|spec| spec.volume_name.as_ref().is_some_and(|name| !name.is_empty()));
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    !is_named && phase == Some("Pending")
}

/// The pod of a Registry on a claim, as far as its volume is concerned.
fn only_pod(registry: &Registry, observed: &Observed) -> Vec<Pod> {
    let names = Names::of(registry);
    let pods = observed.pods_of(&names, Component::All).filter_map(|pod| {
        let ordinal = ordinal(&names.set_of(registry), &pod.name_any())?;
        Some(Pod { ordinal, uid: pod.uid().unwrap_or_default(), ..Pod::default() })
    });
    pods.collect()
}

/// Whether a pod runs an image, and does not become ready. One that no machine takes says nothing about its image.
pub fn is_failing(pod: &k8s_openapi::api::core::v1::Pod, image: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let runs_it = spec.containers.iter().any(|container| container.image.as_deref() == Some(image));
    runs_it && spec.node_name.is_some() && pod.metadata.deletion_timestamp.is_none() && !is_ready(pod)
}

pub fn is_ready(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::core::v1 as core;
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_from_before_the_registry_are_those_of_one_of_its_name() {
        let registry: Registry = serde_json::from_value(json!({
            "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry",
            "metadata": { "name": "r", "namespace": "ns", "creationTimestamp": "2026-05-01T00:00:00Z" },
            "spec": { "hostname": "r.example.com", "storage": { "s3": { "bucket": "b" } } },
        }))
        .unwrap();
        for (what, claims, brings) in [
            ("none", vec![], false),
            ("made for it", vec![("data-r-index-0", "2026-05-01T00:00:01Z")], false),
            (
                "an older one among them",
                vec![("data-r-index-0", "2026-05-01T00:00:01Z"), ("data-r-index-2", "2026-04-01T00:00:00Z")],
                true,
            ),
            (
                "of something else",
                vec![("data-r-0", "2026-04-01T00:00:00Z"), ("data-x-index-0", "2026-04-01T00:00:00Z")],
                false,
            ),
        ] {
            let claim = |(name, time): (&str, &str)| {
                serde_json::from_value(json!({ "metadata": { "name": name, "creationTimestamp": time } })).unwrap()
            };
            let observed = Observed { claims: claims.into_iter().map(claim).collect(), ..Observed::default() };
            assert_eq!(brings_volumes(&registry, &observed), brings, "{what}");
        }
    }

    #[test]
    fn keys_that_say_something_else_are_seen_and_nothing_of_them_is() {
        let registry = |uid: &str| -> Registry {
            serde_json::from_value(json!({
                "apiVersion": "roadstead.dev/v1alpha1", "kind": "Registry",
                "metadata": { "name": "r", "namespace": "ns", "uid": uid },
                "spec": {
                    "hostname": "r.example.com",
                    "storage": { "s3": { "bucket": "b", "credentials": { "secretName": "s3" } } },
                },
            }))
            .unwrap()
        };
        let sums = |registry: &Registry, id: &str, key: &str, resource_version: &str| {
            let metadata = json!({ "name": "s3", "resourceVersion": resource_version });
            let mut secret: core::Secret = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            let data = [("accessKeyId", id), ("secretAccessKey", key)];
            let data = data.map(|(name, value)| (name.to_owned(), ByteString(value.as_bytes().to_vec())));
            secret.data = Some(data.into());
            let observed = Observed { secrets: [("s3".to_owned(), secret)].into(), ..Observed::default() };
            keys(registry, &observed)
        };
        let sum = |uid: &str, id: &str, key: &str, resource_version: &str| {
            let keys = sums(&registry(uid), id, key, resource_version);
            assert_eq!(keys.index, keys.clients, "there is no directory");
            keys.index.unwrap()
        };
        let first = sum("u", "id", "key", "1");
        assert_eq!(first, sum("u", "id", "key", "2"), "what else changes of the Secret is nothing to the pods");
        for (what, other) in [
            ("another key", sum("u", "id", "yek", "1")),
            ("another id", sum("u", "di", "key", "1")),
            ("the border", sum("u", "idk", "ey", "1")),
            ("another Registry's", sum("v", "id", "key", "1")),
        ] {
            assert_ne!(first, other, "{what}");
        }
        assert_eq!(first.len(), 16);
        // What a directory is asked with is nothing to the index.
        let mut asks = registry("u");
        asks.spec.access.ldap = serde_json::from_value(json!({
            "url": "ldaps://a", "userBase": "b", "bindDn": "c", "bindPassword": { "secretName": "s3", "key": "secretAccessKey" },
        }))
        .unwrap();
        let sums = sums(&asks, "id", "key", "1");
        assert_eq!(sums.index.as_ref(), Some(&first));
        assert!(sums.clients.is_some() && sums.clients != sums.index);
        assert_eq!(keys(&registry("u"), &Observed::default()), Keys::default(), "there is no such Secret");
    }

    #[test]
    fn an_image_fails_where_a_pod_runs_it_and_is_not_ready() {
        let pod = |image: &str, node: Option<&str>, ready: &str| -> core::Pod {
            serde_json::from_value(json!({
                "metadata": { "name": "p" },
                "spec": { "nodeName": node, "containers": [{ "name": "c", "image": image }] },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] },
            }))
            .unwrap()
        };
        assert!(is_failing(&pod("new", Some("n"), "False"), "new"));
        assert!(!is_failing(&pod("new", Some("n"), "True"), "new"));
        assert!(!is_failing(&pod("old", Some("n"), "False"), "new"));
        assert!(!is_failing(&pod("new", None, "False"), "new"), "no machine takes it");
    }
}
