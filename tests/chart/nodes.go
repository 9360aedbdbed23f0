package main

import (
	"fmt"
	"slices"
	"strings"
)

var nodeRules = []rule{
	{"without nodes.enabled nothing is privileged, and the operator is told of no namespace for nodes", func(c *chart, r *report) {
		for _, set := range []string{"default", "watch", "bare"} {
			if found := of(c.rendered[set], "Namespace", "ResourceQuota"); len(found) != 0 {
				r.say("%s: %v", set, found)
			}
		}
		operators(c, func(set string, operator object) {
			spec, _ := operator.pod()
			wanted := map[string]string{"everything": "roadstead-nodes", "everything in two namespaces": "the-nodes"}
			given, is := at(variable(list(spec, "containers")[0], "NODES_NAMESPACE"), "value").(string)
			if !is || given != wanted[set] {
				r.say("%s: NODES_NAMESPACE is %q", set, given)
			}
		})
	}},
	{"the operator is told which host names nodes may be sent to", func(c *chart, r *report) {
		operators(c, func(set string, operator object) {
			spec, _ := operator.pod()
			wanted := map[string]string{"everything in two namespaces": "registry.example.com,a/.example.com"}[set]
			if given := at(variable(list(spec, "containers")[0], "NODES_HOSTNAMES"), "value"); given != wanted {
				r.say("%s: %v", set, given)
			}
		})
	}},
	{"the operator is told in which directories of nodes it may write", func(c *chart, r *report) {
		wanted := "/etc/containerd/certs.d,/var/lib/rancher/k3s/agent/etc/containerd/certs.d,/var/lib/rancher/rke2/agent/etc/containerd/certs.d"
		operators(c, func(set string, operator object) {
			spec, _ := operator.pod()
			if given := at(variable(list(spec, "containers")[0], "NODES_CERTS_DIRECTORIES"), "value"); given != wanted {
				r.say("%s: %v", set, given)
			}
		})
	}},
	{"only the namespace for nodes is privileged", func(c *chart, r *report) {
		for set, wanted := range map[string]string{"everything": "roadstead-nodes", "everything in two namespaces": "the-nodes"} {
			found := of(c.rendered[set], "Namespace")
			if len(found) != 1 || found[0].name() != wanted || found[0].label("pod-security.kubernetes.io/enforce") != "privileged" {
				r.say("%s: %v", set, found)
			}
		}
	}},
	{"pods on nodes may report on themselves and look for their DaemonSet, and nothing else", func(c *chart, r *report) {
		wanted := []string{"/pods/status patch", "apps/daemonsets get"}
		for _, set := range []string{"everything", "everything in two namespaces"} {
			rolesOf(c, r, set, "node-trust", func(role object) {
				if role.kind() != "Role" || !slices.Equal(rights(role), wanted) {
					r.say("%s: %s: %v", set, role, rights(role))
				}
			})
		}
		if !strings.Contains(c.read(r, "operator", "src", "nodes", "objects.rs"), `"serviceAccountName": "node-trust"`) {
			r.say("operator/src/nodes/objects.rs gives its pods another account")
		}
	}},
	{"the operator writes DaemonSets in the namespace for nodes, and nowhere else", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role", "ClusterRole") {
				has := slices.Contains(rights(role), "apps/daemonsets create")
				isThere := role.namespace() != "" && role.namespace() == nodesOf(set) && role.name() != "node-trust"
				if has != isThere {
					r.say("%s: %s", set, role)
				}
				wanted := "[/configmaps create /configmaps delete /configmaps get /configmaps list /configmaps patch /pods list " +
					"apps/daemonsets create apps/daemonsets delete apps/daemonsets get apps/daemonsets list apps/daemonsets patch]"
				found := rights(role)
				slices.Sort(found)
				if has && fmt.Sprint(found) != wanted {
					r.say("%s: %s: %v", set, role, found)
				}
			}
		}
	}},
}

func nodesOf(set string) string {
	switch set {
	case "everything":
		return "roadstead-nodes"
	case "everything in two namespaces":
		return "the-nodes"
	}
	return ""
}

// Calls check with each role that an account is bound to; at least one.
func rolesOf(c *chart, r *report, set, account string, check func(role object)) {
	count := 0
	for _, binding := range of(c.rendered[set], "RoleBinding", "ClusterRoleBinding") {
		if word(list(binding, "subjects")[0], "name") == account {
			count++
			check(bound(c.rendered[set], binding))
		}
	}
	if count == 0 {
		r.say("%s: %s is bound to no role", set, account)
	}
}
