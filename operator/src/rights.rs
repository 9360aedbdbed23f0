//! What the operator may do in a cluster, and the agents on nodes: each right with the reason for it. The chart's rules are
//! written from this table, and the stories compare it with what an API server was asked. Pure.

use std::fmt::Write;

/// One rule of a role.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    pub groups: &'static [&'static str],
    pub resources: &'static [&'static str],
    /// Without one: all.
    pub names: &'static [&'static str],
    pub verbs: &'static [&'static str],
    pub why: &'static str,
}

/// The rules of one role, under the name by which the chart's templates include them.
#[derive(Clone, Copy, Debug)]
pub struct Role {
    pub name: &'static str,
    pub about: &'static str,
    pub rights: &'static [Right],
}

const FOLLOW: &[&str] = &["get", "list", "watch"];
/// Applying an object that is not there yet is asked for as a patch and needs both.
const KEEP: &[&str] = &["get", "list", "create", "patch"];
const KEEP_AND_FOLLOW: &[&str] = &["get", "list", "watch", "create", "patch"];
const PRUNE: &[&str] = &["get", "list", "create", "patch", "delete"];
const PRUNE_AND_FOLLOW: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

const fn right(
    groups: &'static [&'static str],
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { groups, resources, names: &[], verbs, why }
}

const OURS: &[&str] = &["roadstead.dev"];
const CORE: &[&str] = &[""];
const APPS: &[&str] = &["apps"];
const NETWORKING: &[&str] = &["networking.k8s.io"];
const LEASES: &[&str] = &["coordination.k8s.io"];

pub const ROLES: [Role; 5] = [
    Role {
        name: "roadstead.rules",
        about: "What the operator does where Registries are. Everything that it writes is in the namespace of a Registry.",
        rights: &[
            right(OURS, &["registries", "registrybackups"], FOLLOW, "What it works for."),
            right(
                OURS,
                &["registryusers", "registryrobots", "registrypolicies"],
                &["get", "list", "watch", "patch"],
                "What it works for. A finalizer keeps them from going before their registry was told: nothing else of them is patched.",
            ),
            right(
                OURS,
                &[
                    "registries/status",
                    "registrybackups/status",
                    "registryusers/status",
                    "registryrobots/status",
                    "registrypolicies/status",
                ],
                &["patch"],
                "It says how they are, and writes nothing else of them.",
            ),
            right(
                OURS,
                &["registries/finalizers"],
                &["update"],
                "Its objects keep their Registry from going before them. Where OwnerReferencesPermissionEnforcement is on, as in OpenShift, only who may \
                 write the finalizers of the owner may say so.",
            ),
            right(CORE, &["serviceaccounts"], KEEP, "Those of a registry's pods, which have no rights."),
            right(
                CORE,
                &["secrets"],
                PRUNE_AND_FOLLOW,
                "Keys of authorities are in them. It deletes those by which pods pull as a RegistryRobot, when nobody wants them any more, and no other.",
            ),
            right(
                CORE,
                &["configmaps"],
                PRUNE_AND_FOLLOW,
                "Whom clients are to trust; gone where that is not the operator's to say.",
            ),
            right(
                CORE,
                &["services"],
                KEEP_AND_FOLLOW,
                "Every registry has all of its Services for as long as it is there.",
            ),
            right(NETWORKING, &["networkpolicies"], PRUNE_AND_FOLLOW, "They go when the Registry asks for none."),
            right(NETWORKING, &["ingresses"], PRUNE, "It goes when the Registry asks for none."),
            right(&["policy"], &["poddisruptionbudgets"], PRUNE_AND_FOLLOW, "A single pod has none."),
            right(
                APPS,
                &["statefulsets"],
                PRUNE_AND_FOLLOW,
                "The size of the volumes to come cannot be changed in one that is there: it is deleted without its pods, and made anew.",
            ),
            right(APPS, &["deployments"], KEEP_AND_FOLLOW, "The pods that serve clients."),
            right(&["autoscaling"], &["horizontalpodautoscalers"], PRUNE, "It goes when the Registry asks for none."),
            right(
                &["cert-manager.io"],
                &["certificates"],
                PRUNE,
                "Where that is installed; it goes when another issues the certificate.",
            ),
            right(
                &["gateway.networking.k8s.io"],
                &["httproutes", "backendtlspolicies"],
                PRUNE,
                "Where that is installed; they go when the Registry asks for none.",
            ),
            right(&["monitoring.coreos.com"], &["servicemonitors"], KEEP, "Where that is installed."),
            right(
                CORE,
                &["pods"],
                &["list", "watch", "delete"],
                "A pod of the index is deleted only together with a volume that is lost; all others are evicted, which keeps to budgets.",
            ),
            right(CORE, &["pods/eviction"], &["create"], "How a revision reaches the pods of the index, one by one."),
            right(
                CORE,
                &["persistentvolumeclaims"],
                &["list", "patch", "delete"],
                "Volumes of the index grow by a patch, which also notes who left. One is deleted when its machine is gone for good, or somebody said \
                 that it is lost.",
            ),
            right(
                &["events.k8s.io"],
                &["events"],
                &["create", "patch"],
                "What was done and what was refused; one that comes again is counted.",
            ),
        ],
    },
    Role {
        name: "roadstead.reads",
        about: "What belongs to no namespace.",
        rights: &[
            right(CORE, &["nodes"], &["list"], "Whether the machine that a volume is bound to still exists."),
            right(CORE, &["persistentvolumes"], &["get"], "Which machine that is."),
            right(&["storage.k8s.io"], &["storageclasses"], &["get"], "Whether volumes can grow."),
            right(
                CORE,
                &["namespaces"],
                &["get"],
                "Whether a namespace says that it takes pull secrets from RegistryRobots of another one.",
            ),
        ],
    },
    Role {
        name: "roadstead.leaseRules",
        about: "In the operator's own namespace. The lease says which of several operators acts.",
        rights: &[
            right(LEASES, &["leases"], &["create"], "Making one cannot be bound to a name."),
            Right {
                names: &["roadstead-operator"],
                ..right(LEASES, &["leases"], &["get", "update"], "Whose it is, and that it is still held.")
            },
        ],
    },
    Role {
        name: "roadstead.nodesRules",
        about: "What the operator does in the namespace for nodes.",
        rights: &[
            right(APPS, &["daemonsets"], PRUNE, "The agents of a registry, which go with it."),
            right(CORE, &["configmaps"], PRUNE, "Whom nodes are to trust."),
            right(CORE, &["pods"], &["list"], "Each agent says on its own pod how its node is."),
        ],
    },
    Role {
        name: "roadstead.agentRules",
        about: "What an agent on a node does, in the namespace for nodes.",
        rights: &[
            right(
                CORE,
                &["pods/status"],
                &["patch"],
                "It says on its own pod how its node is, by its status: who may change more of a pod may change its image, and every node has such a pod.",
            ),
            right(
                APPS,
                &["daemonsets"],
                &["get"],
                "When its DaemonSet is gone for good, it makes its node forget the registry.",
            ),
        ],
    },
];

/// How wide a comment is.
const WIDTH: usize = 130;

/// The template of the chart that has all rules.
pub fn template() -> String {
    let mut text = String::from("{{/* Written by `make generate` from operator/src/rights.rs. */}}\n");
    for role in &ROLES {
        let _ = writeln!(text, "{{{{/* {} */}}}}\n{{{{- define \"{}\" -}}}}", role.about, role.name);
        for right in role.rights {
            for line in wrapped(right.why) {
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "- apiGroups: {}", list(right.groups));
            let _ = writeln!(text, "  resources: {}", list(right.resources));
            if !right.names.is_empty() {
                let _ = writeln!(text, "  resourceNames: {}", list(right.names));
            }
            let _ = writeln!(text, "  verbs: {}", list(right.verbs));
        }
        text.push_str("{{- end -}}\n");
    }
    text
}

fn list(words: &[&str]) -> String {
    let words: Vec<&str> = words.iter().map(|word| if word.is_empty() { "\"\"" } else { word }).collect();
    format!("[{}]", words.join(", "))
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let is_full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + word.len() + 3 > WIDTH);
        if is_full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::object::{DAEMON_SET, KINDS, Kind};

    fn verbs(role: &Role, group: &str, resource: &str) -> BTreeSet<&'static str> {
        let of =
            role.rights.iter().filter(|right| right.groups.contains(&group) && right.resources.contains(&resource));
        of.flat_map(|right| right.verbs.iter().copied()).collect()
    }

    fn named(name: &str) -> &'static Role {
        ROLES.iter().find(|role| role.name == name).unwrap_or(&ROLES[0])
    }

    fn may_keep(role: &Role, kind: Kind, may_delete: bool) {
        let found = verbs(role, kind.group, kind.plural);
        for verb in ["get", "list", "create", "patch"] {
            assert!(found.contains(verb), "{verb} {}", kind.plural);
        }
        assert_eq!(found.contains("delete"), may_delete, "delete {}", kind.plural);
    }

    #[test]
    fn each_kind_that_is_applied_may_be_made_and_is_deleted_only_if_it_is_pruned() {
        for kind in KINDS {
            // It is made anew without its pods when volumes grow; and pull secrets of robots go.
            let is_deleted = kind.prunable || ["StatefulSet", "Secret"].contains(&kind.kind);
            may_keep(named("roadstead.rules"), kind, is_deleted);
        }
        for kind in [DAEMON_SET].into_iter().chain(Kind::named("ConfigMap")) {
            may_keep(named("roadstead.nodesRules"), kind, true);
        }
    }

    #[test]
    fn no_right_is_there_twice_or_without_a_reason() {
        for role in &ROLES {
            let mut seen = BTreeSet::new();
            for right in role.rights {
                assert!(right.why.ends_with('.'), "{right:?}");
                for group in right.groups {
                    for resource in right.resources {
                        for verb in right.verbs {
                            assert!(seen.insert((group, resource, verb)), "{}: {verb} {group}/{resource}", role.name);
                            assert!([*group, resource, verb].iter().all(|word| !word.contains('*')), "{right:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_reason_is_broken_between_words() {
        let text = "word ".repeat(60);
        let lines = wrapped(text.trim());
        assert!(lines.len() == 3 && lines.iter().all(|line| line.len() + 2 <= WIDTH), "{lines:?}");
        assert_eq!(lines.join(" "), text.trim());
    }
}
