package main

import (
	"fmt"
	"slices"
	"strings"
)

// What the operator may do is written from its own table (operator/src/rights.rs), and compared with what it does by the
// stories (tests/kind/stories/rights.py). These rules say what that table must never come to.
var rightsRules = []rule{
	{"no right is for everything", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role", "ClusterRole") {
				if strings.Contains(fmt.Sprint(role["rules"]), "*") {
					r.say("%s: %s", set, role)
				}
				for _, rule := range list(role, "rules") {
					if len(words(rule, "verbs")) == 0 || len(words(rule, "resources")) == 0 || len(words(rule, "apiGroups")) == 0 {
						r.say("%s: %s: %v", set, role, rule)
					}
				}
			}
		}
	}},
	{"nobody may give rights, act as another, or run commands in pods", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role", "ClusterRole") {
				for _, right := range rights(role) {
					for _, forbidden := range []string{"escalate", "bind", "impersonate", "deletecollection", "pods/exec", "roles", "nodes/proxy", "token"} {
						if strings.Contains(right, forbidden) {
							r.say("%s: %s: %s", set, role, right)
						}
					}
				}
			}
		}
	}},
	{"each binding is for a role that is there, and for the account of the chart", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, binding := range of(objects, "RoleBinding", "ClusterRoleBinding") {
				role := bound(objects, binding)
				subjects := list(binding, "subjects")
				account := word(subjects, "name")
				if len(subjects) == 1 {
					account = word(subjects[0], "namespace") + "/" + word(subjects[0], "name")
				}
				accounts := of(objects, "ServiceAccount")
				is := func(object object) bool { return object.namespace()+"/"+object.name() == account }
				if role == nil || !slices.ContainsFunc(accounts, is) {
					r.say("%s: %s: %v", set, binding, binding["roleRef"])
				}
			}
		}
	}},
	{"the operator may do the same in the whole cluster and in each of watchNamespaces", func(c *chart, r *report) {
		wanted := rights(operatorsRole(c, "default", ""))
		if len(wanted) < 50 {
			r.say("default: %v", wanted)
		}
		for _, namespace := range []string{"a", "b"} {
			if found := rights(operatorsRole(c, "watch", namespace)); !slices.Equal(found, wanted) {
				r.say("%s: %v", namespace, found)
			}
		}
	}},
	{"of Registries and RegistryBackups the operator writes the status only, and of what gives access the finalizer", func(c *chart, r *report) {
		allowed := []string{"roadstead.dev/registries/finalizers update"}
		for _, plural := range []string{"registries", "registrybackups", "registryusers", "registryrobots", "registrypolicies"} {
			allowed = append(allowed, "roadstead.dev/"+plural+"/status patch")
		}
		for _, plural := range []string{"registryusers", "registryrobots", "registrypolicies"} {
			allowed = append(allowed, "roadstead.dev/"+plural+" patch")
		}
		for _, right := range rights(operatorsRole(c, "default", "")) {
			verb := strings.Fields(right)[1]
			if strings.HasPrefix(right, "roadstead.dev/") && !slices.Contains(reads, verb) && !slices.Contains(allowed, right) {
				r.say("%s", right)
			}
		}
	}},
	{"pods and volumes are made and changed by no right of the operator, but for a volume's size and notes", func(c *chart, r *report) {
		allowed := []string{"/pods delete", "/persistentvolumeclaims patch", "/persistentvolumeclaims delete"}
		for _, right := range rights(operatorsRole(c, "default", "")) {
			of := strings.HasPrefix(right, "/pods ") || strings.HasPrefix(right, "/persistentvolumeclaims ")
			if of && !slices.Contains(reads, strings.Fields(right)[1]) && !slices.Contains(allowed, right) {
				r.say("%s", right)
			}
		}
	}},
	{"Secrets are deleted by the operator alone, where it looks after registries", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role", "ClusterRole") {
				isOperators := slices.Contains(rights(role), "roadstead.dev/registries get") && slices.Contains(rights(role), "/secrets create")
				if !isOperators && slices.Contains(rights(role), "/secrets delete") {
					r.say("%s: %s", set, role)
				}
			}
		}
	}},
	{"with watchNamespaces the operator may write in those namespaces, its own and that for nodes only", func(c *chart, r *report) {
		wanted := map[string][]string{
			"watch":                        {"a", "b", namespace},
			"bare":                         {"a", namespace},
			"everything in two namespaces": {"a", "b", namespace, "the-nodes"},
		}
		for set, namespaces := range wanted {
			objects := c.rendered[set]
			var found []string
			for _, binding := range of(objects, "RoleBinding", "ClusterRoleBinding") {
				if word(list(binding, "subjects")[0], "name") == "node-trust" {
					continue
				}
				if binding.kind() == "RoleBinding" {
					found = append(found, binding.namespace())
				} else if writes(bound(objects, binding)) {
					r.say("%s: %s", set, binding)
				}
			}
			slices.Sort(found)
			if !slices.Equal(found, namespaces) {
				r.say("%s: it may write in %v", set, found)
			}
		}
	}},
	{"with watchNamespaces and without aggregate no ClusterRole has verbs that write", func(c *chart, r *report) {
		objects, err := c.render("watchNamespaces: [a, b]\nrbac: {aggregate: false}\nnodes: {enabled: true}")
		if err != nil {
			r.say("%v", err)
		}
		for _, role := range of(objects, "ClusterRole") {
			if writes(role) {
				r.say("%s", role)
			}
		}
	}},
	{"what belongs to no namespace is only read, object by object, and only with clusterReads", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			var found []string
			for _, binding := range of(objects, "ClusterRoleBinding") {
				if strings.HasSuffix(binding.name(), "-reads") {
					found = rights(bound(objects, binding))
				}
			}
			wanted := []string{"/nodes list", "/persistentvolumes get", "storage.k8s.io/storageclasses get", "/namespaces get"}
			if set == "bare" {
				wanted = nil
			}
			if !slices.Equal(found, wanted) {
				r.say("%s: %v", set, found)
			}
		}
		if found := of(c.rendered["bare"], "ClusterRole", "ClusterRoleBinding"); len(found) != 0 {
			r.say("bare: %v", found)
		}
	}},
	{"the lease is the only thing that the operator writes in its own namespace", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role") {
				wanted := []string{"coordination.k8s.io/leases create", "coordination.k8s.io/leases get roadstead-operator",
					"coordination.k8s.io/leases update roadstead-operator"}
				if role.namespace() == namespace && !slices.Equal(rights(role), wanted) {
					r.say("%s: %s: %v", set, role, rights(role))
				}
			}
		}
	}},
	{"the cluster's roles gain rights over our kinds and nothing else, and view does not write", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			count := 0
			for _, role := range of(objects, "ClusterRole") {
				views := role.label("rbac.authorization.k8s.io/aggregate-to-view") != ""
				if !views && role.label("rbac.authorization.k8s.io/aggregate-to-edit") == "" {
					continue
				}
				count++
				for _, right := range rights(role) {
					if !strings.HasPrefix(right, "roadstead.dev/") {
						r.say("%s: %s: %s", set, role, right)
					}
				}
				if role.label("rbac.authorization.k8s.io/aggregate-to-admin") == "" || views == writes(role) {
					r.say("%s: %s", set, role)
				}
			}
			if (count == 2) == (set == "bare") {
				r.say("%s: %d roles", set, count)
			}
		}
	}},
	{"without rbac.create there are no roles and bindings of the operator", func(c *chart, r *report) {
		objects, err := c.render("rbac: {create: false, aggregate: false}\nserviceAccount: {create: false, name: mine}")
		if err != nil {
			r.say("%v", err)
		}
		if found := of(objects, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount"); len(found) != 0 {
			r.say("%v", found)
		}
		for _, operator := range of(objects, "Deployment") {
			if spec, _ := operator.pod(); word(spec, "serviceAccountName") != "mine" {
				r.say("the account that is named is not used")
			}
		}
	}},
}

// Each right of a role: `group/resource verb`, and the names that it is bound to.
func rights(role object) []string {
	var found []string
	for _, rule := range list(role, "rules") {
		for _, group := range words(rule, "apiGroups") {
			for _, resource := range words(rule, "resources") {
				for _, verb := range words(rule, "verbs") {
					names := strings.Join(words(rule, "resourceNames"), ",")
					found = append(found, strings.TrimSpace(fmt.Sprintf("%s/%s %s %s", group, resource, verb, names)))
				}
			}
		}
	}
	return found
}

var reads = []string{"get", "list", "watch"}

func writes(role object) bool {
	return slices.ContainsFunc(rights(role), func(right string) bool {
		return !slices.Contains(reads, strings.Fields(right)[1])
	})
}

func bound(objects []object, binding object) object {
	for _, role := range of(objects, word(binding, "roleRef", "kind")) {
		if role.name() == word(binding, "roleRef", "name") && (role.kind() == "ClusterRole" || role.namespace() == binding.namespace()) {
			return role
		}
	}
	return nil
}

// The role by which the operator works on Registries.
func operatorsRole(c *chart, set, namespace string) object {
	for _, role := range of(c.rendered[set], "Role", "ClusterRole") {
		if role.namespace() == namespace && slices.Contains(rights(role), "roadstead.dev/registries/status patch") {
			return role
		}
	}
	return nil
}
