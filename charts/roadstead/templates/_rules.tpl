{{/* Written by `make generate` from operator/src/rights.rs. */}}
{{/* What the operator does where Registries are. Everything that it writes is in the namespace of a Registry. */}}
{{- define "roadstead.rules" -}}
# What it works for.
- apiGroups: [roadstead.dev]
  resources: [registries, registrybackups]
  verbs: [get, list, watch]
# What it works for. A finalizer keeps them from going before their registry was told: nothing else of them is patched.
- apiGroups: [roadstead.dev]
  resources: [registryusers, registryrobots, registrypolicies]
  verbs: [get, list, watch, patch]
# It says how they are, and writes nothing else of them.
- apiGroups: [roadstead.dev]
  resources: [registries/status, registrybackups/status, registryusers/status, registryrobots/status, registrypolicies/status]
  verbs: [patch]
# Its objects keep their Registry from going before them. Where OwnerReferencesPermissionEnforcement is on, as in OpenShift, only
# who may write the finalizers of the owner may say so.
- apiGroups: [roadstead.dev]
  resources: [registries/finalizers]
  verbs: [update]
# Those of a registry's pods, which have no rights.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, create, patch]
# Keys of authorities are in them. It deletes those by which pods pull as a RegistryRobot, when nobody wants them any more, and no
# other.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch, delete]
# Whom clients are to trust; gone where that is not the operator's to say.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
# Every registry has all of its Services for as long as it is there.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
# They go when the Registry asks for none.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
# It goes when the Registry asks for none.
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, create, patch, delete]
# A single pod has none.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# The size of the volumes to come cannot be changed in one that is there: it is deleted without its pods, and made anew.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
# The pods that serve clients.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# It goes when the Registry asks for none.
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, create, patch, delete]
# Where that is installed; it goes when another issues the certificate.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [get, list, create, patch, delete]
# Where that is installed; they go when the Registry asks for none.
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, backendtlspolicies]
  verbs: [get, list, create, patch, delete]
# Where that is installed.
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, create, patch]
# A pod of the index is deleted only together with a volume that is lost; all others are evicted, which keeps to budgets.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, delete]
# How a revision reaches the pods of the index, one by one.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
# Volumes of the index grow by a patch, which also notes who left. One is deleted when its machine is gone for good, or somebody
# said that it is lost.
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, patch, delete]
# What was done and what was refused; one that comes again is counted.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
{{/* What belongs to no namespace. */}}
{{- define "roadstead.reads" -}}
# Whether the machine that a volume is bound to still exists.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list]
# Which machine that is.
- apiGroups: [""]
  resources: [persistentvolumes]
  verbs: [get]
# Whether volumes can grow.
- apiGroups: [storage.k8s.io]
  resources: [storageclasses]
  verbs: [get]
# Whether a namespace says that it takes pull secrets from RegistryRobots of another one.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- end -}}
{{/* In the operator's own namespace. The lease says which of several operators acts. */}}
{{- define "roadstead.leaseRules" -}}
# Making one cannot be bound to a name.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# Whose it is, and that it is still held.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [roadstead-operator]
  verbs: [get, update]
{{- end -}}
{{/* What the operator does in the namespace for nodes. */}}
{{- define "roadstead.nodesRules" -}}
# The agents of a registry, which go with it.
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get, list, create, patch, delete]
# Whom nodes are to trust.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, create, patch, delete]
# Each agent says on its own pod how its node is.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
{{- end -}}
{{/* What an agent on a node does, in the namespace for nodes. */}}
{{- define "roadstead.agentRules" -}}
# It says on its own pod how its node is, by its status: who may change more of a pod may change its image, and every node has
# such a pod.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
# When its DaemonSet is gone for good, it makes its node forget the registry.
- apiGroups: [apps]
  resources: [daemonsets]
  verbs: [get]
{{- end -}}
