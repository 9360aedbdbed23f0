package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

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
	{"the operator has what its source uses for each kind that it writes, and no more", func(c *chart, r *report) {
		wanted := usedRights(c, r)
		for set, role := range map[string]object{"default": operatorsRole(c, "default", ""), "watch": operatorsRole(c, "watch", "a")} {
			found := rights(role)
			slices.Sort(found)
			for _, right := range wanted {
				if !slices.Contains(found, right) {
					r.say("%s: it lacks %s", set, right)
				}
			}
			for _, right := range found {
				if !slices.Contains(wanted, right) {
					r.say("%s: it does not need %s", set, right)
				}
			}
		}
	}},
	{"Secrets are deleted by nobody", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			for _, role := range of(objects, "Role", "ClusterRole") {
				if slices.Contains(rights(role), "/secrets delete") {
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
			wanted := []string{"/nodes list", "/persistentvolumes get", "storage.k8s.io/storageclasses get"}
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

func writes(role object) bool {
	return slices.ContainsFunc(rights(role), func(right string) bool {
		return !slices.Contains([]string{"get", "list", "watch"}, strings.Fields(right)[1])
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

// What the source says that the operator does: the kinds of object.rs, and what observe.rs, act.rs and controller.rs do besides.
func usedRights(c *chart, r *report) []string {
	found := []string{
		"/pods get", "/pods list", "/pods watch", "/pods delete", "/pods/eviction create",
		"/persistentvolumeclaims get", "/persistentvolumeclaims list", "/persistentvolumeclaims watch",
		"/persistentvolumeclaims patch", "/persistentvolumeclaims delete",
		"/events create", "/events patch", "events.k8s.io/events create", "events.k8s.io/events patch",
		"roadstead.dev/registries/finalizers update",
	}
	for _, plural := range []string{"registries", "registrybackups"} {
		for _, verb := range []string{"get", "list", "watch"} {
			found = append(found, "roadstead.dev/"+plural+" "+verb)
		}
		for _, verb := range []string{"get", "patch", "update"} {
			found = append(found, "roadstead.dev/"+plural+"/status "+verb)
		}
	}
	source := c.read(r, "operator", "src", "object.rs")
	lines := regexp.MustCompile(`(?m)^    (.*)(?:kind|optional)\("([-a-z0-9.]*)", "v[a-z0-9]+", "\w+", "(\w+)"\)`).FindAllStringSubmatch(source, -1)
	if size := regexp.MustCompile(`KINDS: \[Kind; (\d+)\]`).FindStringSubmatch(source); size == nil || size[1] != fmt.Sprint(len(lines)) {
		r.say("operator/src/object.rs has %v kinds, and %d were read", size, len(lines))
	}
	for _, line := range lines {
		for _, verb := range []string{"get", "list", "watch", "create", "patch", "delete"} {
			if verb == "delete" && strings.Contains(line[1], "prunable: false") {
				continue
			}
			found = append(found, line[2]+"/"+line[3]+" "+verb)
		}
	}
	return found
}
