package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

var objectRules = []rule{
	{"every object has a name, the labels of the chart, and a namespace if its kind has one", func(c *chart, r *report) {
		clusterwide := []string{"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "Namespace", "ValidatingAdmissionPolicy",
			"ValidatingAdmissionPolicyBinding"}
		for set, objects := range c.rendered {
			seen := map[string]bool{}
			for _, object := range objects {
				if seen[object.String()] {
					r.say("%s: %s is there twice", set, object)
				}
				seen[object.String()] = true
				if object.name() == "" || len(object.name()) > 63 || object.label("app.kubernetes.io/instance") != release {
					r.say("%s: %s", set, object)
				}
				if (object.namespace() == "") != slices.Contains(clusterwide, object.kind()) {
					r.say("%s: %s: its namespace", set, object)
				}
				if set == "everything" && object.label("team") != "images" {
					r.say("%s: %s lacks a label of commonLabels", set, object)
				}
			}
		}
	}},
	{"two releases in two namespaces share no object without a namespace, but for the kinds", func(c *chart, r *report) {
		text, err := c.call("nodes: {enabled: true, namespace: other}", "template", release, c.dir, "--namespace", "elsewhere",
			"--kube-version", "1.31.0", "--values", "-")
		if err != nil {
			r.say("%v", err)
			return
		}
		others, err := parse(text)
		if err != nil {
			r.say("%v", err)
		}
		for _, other := range others {
			for _, object := range c.rendered["everything"] {
				if object.String() == other.String() && object.kind() != "CustomResourceDefinition" {
					r.say("%s", object)
				}
			}
		}
	}},
	{"all pods keep to the Pod Security Standard restricted", func(c *chart, r *report) {
		count := 0
		for set, objects := range c.rendered {
			for _, object := range objects {
				if spec, _ := object.pod(); spec != nil {
					count++
					for _, complaint := range unrestricted(spec) {
						r.say("%s: %s: %s", set, object, complaint)
					}
				}
			}
		}
		if count < len(sets) {
			r.say("only %d objects make pods", count)
		}
	}},
	{"containers cannot write to their root, and have requests and a limit of memory", func(c *chart, r *report) {
		containers(c, func(where string, container any) {
			if at(container, "securityContext", "readOnlyRootFilesystem") != true {
				r.say("%s: its root can be written", where)
			}
			if word(container, "resources", "requests", "memory") == "" || word(container, "resources", "limits", "memory") == "" {
				r.say("%s: memory", where)
			}
		})
	}},
	{"one image is used everywhere, and given to the operator for its registries", func(c *chart, r *report) {
		wanted := map[string]string{"everything": "registry.example.com/roadstead@sha256:" + digest}
		containers(c, func(where string, container any) {
			set, _, _ := strings.Cut(where, ":")
			image := wanted[set]
			if image == "" {
				image = "ghcr.io/roadstead-registry/roadstead:0.1.0"
			}
			if word(container, "image") != image {
				r.say("%s runs %s", where, word(container, "image"))
			}
			if given := variable(container, "ROADSTEAD_IMAGE"); word(container, "name") == "operator" && word(given, "value") != image {
				r.say("%s gives %v", where, given)
			}
		})
		objects, err := c.render("image: {tag: 9.9.9}")
		if err != nil {
			r.say("%v", err)
		}
		for _, object := range of(objects, "Deployment") {
			if spec, _ := object.pod(); word(list(spec, "containers")[0], "image") != "ghcr.io/roadstead-registry/roadstead:9.9.9" {
				r.say("the tag is not used")
			}
		}
		if !strings.Contains(c.read(r, "charts", "roadstead", "Chart.yaml"), "image: ghcr.io/roadstead-registry/roadstead:0.1.0\n") {
			r.say("Chart.yaml names another image")
		}
	}},
	{"the operator is told everything that it reads from its environment", func(c *chart, r *report) {
		read := regexp.MustCompile(`env = "([A-Z_]+)"`).FindAllStringSubmatch(c.read(r, "operator", "src", "cli.rs"), -1)
		if len(read) < 6 {
			r.say("operator/src/cli.rs names only %v", read)
		}
		operators(c, func(set string, operator object) {
			spec, _ := operator.pod()
			for _, match := range read {
				// What it listens on is the default, which the probes and the port name.
				if match[1] != "LISTEN" && variable(list(spec, "containers")[0], match[1]) == nil {
					r.say("%s: %s is not set", set, match[1])
				}
			}
		})
	}},
	{"the operator watches what watchNamespaces says", func(c *chart, r *report) {
		wanted := map[string]string{"watch": "a,b", "bare": "a", "everything in two namespaces": "a,b"}
		operators(c, func(set string, operator object) {
			spec, _ := operator.pod()
			given := variable(list(spec, "containers")[0], "WATCH_NAMESPACES")
			if word(given, "value") != wanted[set] {
				r.say("%s: %v", set, given)
			}
		})
	}},
	{"the operator's pods bear the label that the NetworkPolicies of registries let in, and no others do", func(c *chart, r *report) {
		if !strings.Contains(c.read(r, "operator", "src", "build", "network_policy.rs"), `"app.kubernetes.io/name": "roadstead-operator"`) {
			r.say("operator/src/build/network_policy.rs selects something else")
		}
		for set, objects := range c.rendered {
			for _, object := range objects {
				spec, metadata := object.pod()
				is := word(metadata, "labels", "app.kubernetes.io/name") == "roadstead-operator"
				if spec != nil && is != (object.kind() == "Deployment") {
					r.say("%s: %s", set, object)
				}
			}
		}
	}},
	{"the operator's selector does not change with version or labels", func(c *chart, r *report) {
		operators(c, func(set string, operator object) {
			selector := at(operator, "spec", "selector", "matchLabels")
			wanted := map[string]any{"app.kubernetes.io/name": "roadstead-operator", "app.kubernetes.io/instance": release}
			if !reflect.DeepEqual(selector, wanted) {
				r.say("%s: %v", set, selector)
			}
		})
	}},
	{"the kinds are those of the files, kept at an uninstall, and left out when told so", kinds},
	{"deletion protection refuses to delete, and says what to do", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			policies := of(objects, "ValidatingAdmissionPolicy")
			if len(policies) != len(of(objects, "ValidatingAdmissionPolicyBinding")) || (len(policies) == 1) == (set == "bare") {
				r.say("%s: %d policies", set, len(policies))
			}
			for _, policy := range policies {
				rules := list(policy, "spec", "matchConstraints", "resourceRules")
				validations := list(policy, "spec", "validations")
				if len(rules) != 1 || len(validations) != 1 || fmt.Sprint(words(rules[0], "operations")) != "[DELETE]" ||
					fmt.Sprint(words(rules[0], "resources")) != "[registries]" || word(policy, "spec", "failurePolicy") != "Fail" ||
					!strings.Contains(word(validations[0], "messageExpression"), `{"spec":{"deletionProtection":false}}`) {
					r.say("%s: %v", set, policy["spec"])
				}
			}
			for _, binding := range of(objects, "ValidatingAdmissionPolicyBinding") {
				if word(binding, "spec", "policyName") != policies[0].name() || fmt.Sprint(words(binding, "spec", "validationActions")) != "[Deny]" {
					r.say("%s: %v", set, binding["spec"])
				}
			}
		}
	}},
	{"the test is there only for a Registry that is named, and trusts its authority", func(c *chart, r *report) {
		wanted := map[string]string{
			"everything":                   "pictures https://images.pictures.svc",
			"everything in two namespaces": namespace + " https://images." + namespace + ".svc",
		}
		for set, objects := range c.rendered {
			pods, found := of(objects, "Pod"), ""
			if len(pods) == 1 && word(pods[0], "metadata", "annotations", "helm.sh/hook") == "test" {
				spec, _ := pods[0].pod()
				found = pods[0].namespace() + " " + words(list(spec, "containers")[0], "args")[1]
				trust := at(list(spec, "volumes")[0], "configMap")
				if word(trust, "name") != "images-ca" || at(trust, "optional") != true {
					r.say("%s: %v", set, trust)
				}
			}
			if found != wanted[set] {
				r.say("%s: %s", set, found)
			}
		}
		objects, err := c.render("test: {registry: images, hostname: \"registry.example.com:8443\"}")
		if err != nil || len(of(objects, "Pod")) != 1 {
			r.say("%d pods: %v", len(of(objects, "Pod")), err)
			return
		}
		spec, _ := of(objects, "Pod")[0].pod()
		if arguments := words(list(spec, "containers")[0], "args"); arguments[1] != "https://registry.example.com:8443" {
			r.say("a host name is not used: %v", arguments)
		}
	}},
}

func operators(c *chart, check func(set string, operator object)) {
	for set, objects := range c.rendered {
		for _, operator := range of(objects, "Deployment") {
			check(set, operator)
		}
	}
}

func containers(c *chart, check func(where string, container any)) {
	for set, objects := range c.rendered {
		for _, object := range objects {
			spec, _ := object.pod()
			for _, container := range list(spec, "containers") {
				check(fmt.Sprintf("%s: %s", set, object), container)
			}
		}
	}
}

func variable(container any, name string) any {
	for _, variable := range list(container, "env") {
		if word(variable, "name") == name {
			return variable
		}
	}
	return nil
}

// What the Pod Security Standard restricted has against a pod.
func unrestricted(spec any) []string {
	var complaints []string
	say := func(complaint string, is bool) {
		if is {
			complaints = append(complaints, complaint)
		}
	}
	either := func(container any, field string) any {
		if value := at(container, "securityContext", field); value != nil {
			return value
		}
		return at(spec, "securityContext", field)
	}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		say(field, at(spec, field) == true)
	}
	for _, volume := range list(spec, "volumes") {
		say("a volume of the host", at(volume, "hostPath") != nil)
	}
	all := slices.Concat(list(spec, "containers"), list(spec, "initContainers"))
	say("no container", len(all) == 0)
	for _, container := range all {
		profile, _ := either(container, "seccompProfile").(map[string]any)
		say("seccompProfile", word(profile, "type") != "RuntimeDefault")
		say("runAsNonRoot", either(container, "runAsNonRoot") != true)
		say("runAsUser", either(container, "runAsUser") == float64(0))
		say("allowPrivilegeEscalation", at(container, "securityContext", "allowPrivilegeEscalation") != false)
		say("privileged", at(container, "securityContext", "privileged") == true)
		say("capabilities", fmt.Sprint(words(container, "securityContext", "capabilities", "drop")) != "[ALL]" ||
			list(container, "securityContext", "capabilities", "add") != nil)
		for _, port := range list(container, "ports") {
			say("hostPort", at(port, "hostPort") != nil)
		}
	}
	return complaints
}

func kinds(c *chart, r *report) {
	files, _ := filepath.Glob(filepath.Join(c.dir, "files", "crds", "*.yaml"))
	if len(files) != 5 {
		r.say("files/crds has %v", files)
	}
	for set, objects := range c.rendered {
		crds := of(objects, "CustomResourceDefinition")
		wanted := len(files)
		if set == "bare" {
			wanted = 0
		}
		if len(crds) != wanted {
			r.say("%s: %d of %d kinds", set, len(crds), wanted)
		}
		for _, crd := range crds {
			if word(crd, "metadata", "annotations", "helm.sh/resource-policy") != "keep" {
				r.say("%s: %s would not be kept", set, crd)
			}
			plural := word(crd, "spec", "names", "plural")
			text, err := os.ReadFile(filepath.Join(c.dir, "files", "crds", plural+".yaml"))
			var file object
			if err == nil {
				err = yaml.Unmarshal(text, &file)
			}
			if err != nil || !reflect.DeepEqual(file["spec"], crd["spec"]) || crd.name() != plural+".roadstead.dev" {
				r.say("%s: %s differs from its file: %v", set, crd, err)
			}
			if entry := "name: " + crd.name() + "\n"; !strings.Contains(c.read(r, "charts", "roadstead", "Chart.yaml"), entry) {
				r.say("Chart.yaml does not name %s", crd.name())
			}
		}
	}
}
