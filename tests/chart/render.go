package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

const (
	release   = "roadstead"
	namespace = "roadstead-system"
)

// The sets of values that all rules about objects look at.
var sets = map[string]string{
	"default": "",
	"watch":   "watchNamespaces: [a, b]",
	"bare": `
crds: {enabled: false}
rbac: {clusterReads: false, aggregate: false}
deletionProtection: {enabled: false}
watchNamespaces: [a]`,
	"everything": `
image: {repository: registry.example.com/roadstead, digest: "sha256:` + digest + `"}
imagePullSecrets: [{name: pull}]
commonLabels: {team: images}
replicas: 2
serviceAccount: {annotations: {who: me}}
nodes: {enabled: true}
podLabels: {color: blue}
podAnnotations: {note: text}
priorityClassName: high
nodeSelector: {disk: ssd}
tolerations: [{key: dedicated, operator: Exists}]
monitoring: {enabled: true, labels: {release: prometheus}, rules: {labels: {team: images}}, dashboard: {enabled: true, annotations: {folder: Images}}}
test: {registry: images, namespace: pictures}`,
	"everything in two namespaces": `
watchNamespaces: [a, b]
nodes: {enabled: true, namespace: the-nodes, hostnames: [registry.example.com, a/.example.com]}
monitoring: {enabled: true, dashboard: {enabled: true}}
test: {registry: images}`,
}

const digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// object is what one document of the rendered text says.
type object map[string]any

// chart is the chart and what it renders to.
type chart struct {
	root, dir, helm string
	values          map[string]any
	rendered        map[string][]object
}

func load(root, dir, helm string) (*chart, error) {
	c := &chart{root: root, dir: dir, helm: helm, rendered: map[string][]object{}}
	text, err := os.ReadFile(filepath.Join(dir, "values.yaml"))
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(text, &c.values); err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	for name, values := range sets {
		objects, err := c.render(values)
		if err != nil {
			return nil, fmt.Errorf("with the values %q: %w", name, err)
		}
		c.rendered[name] = objects
	}
	return c, nil
}

// call runs Helm with values on its standard input, away from any cluster.
func (c *chart) call(values string, arguments ...string) (string, error) {
	command := exec.Command(c.helm, arguments...)
	command.Stdin = strings.NewReader(values)
	command.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	var out, trouble bytes.Buffer
	command.Stdout, command.Stderr = &out, &trouble
	if err := command.Run(); err != nil {
		return out.String() + trouble.String(), fmt.Errorf("helm %s: %w: %s%s", arguments[0], err, out.String(), trouble.String())
	}
	return out.String(), nil
}

func (c *chart) template(dir, values string, more ...string) (string, error) {
	arguments := []string{"template", release, dir, "--namespace", namespace, "--kube-version", "1.31.0", "--values", "-"}
	return c.call(values, append(arguments, more...)...)
}

func (c *chart) render(values string, more ...string) ([]object, error) {
	text, err := c.template(c.dir, values, more...)
	if err != nil {
		return nil, err
	}
	return parse(text)
}

var between = regexp.MustCompile(`(?m)^---\s*$`)

// parse reads the documents; a key that is there twice is an error.
func parse(text string) ([]object, error) {
	var objects []object
	for _, document := range between.Split(text, -1) {
		var read object
		if err := yaml.UnmarshalStrict([]byte(document), &read); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, document)
		}
		if read != nil {
			objects = append(objects, read)
		}
	}
	return objects, nil
}

// at follows keys into an object; nil where there is nothing.
func at(value any, keys ...string) any {
	for _, key := range keys {
		switch fields := value.(type) {
		case object:
			value = fields[key]
		case map[string]any:
			value = fields[key]
		default:
			return nil
		}
	}
	return value
}

func word(value any, keys ...string) string {
	text, _ := at(value, keys...).(string)
	return text
}

func list(value any, keys ...string) []any {
	items, _ := at(value, keys...).([]any)
	return items
}

func words(value any, keys ...string) []string {
	var texts []string
	for _, item := range list(value, keys...) {
		texts = append(texts, fmt.Sprint(item))
	}
	return texts
}

func (o object) kind() string      { return word(o, "kind") }
func (o object) name() string      { return word(o, "metadata", "name") }
func (o object) namespace() string { return word(o, "metadata", "namespace") }
func (o object) label(name string) string {
	return word(o, "metadata", "labels", name)
}
func (o object) String() string {
	if o.namespace() == "" {
		return o.kind() + " " + o.name()
	}
	return o.kind() + " " + o.namespace() + "/" + o.name()
}

func of(objects []object, kinds ...string) []object {
	var found []object
	for _, object := range objects {
		for _, kind := range kinds {
			if object.kind() == kind {
				found = append(found, object)
			}
		}
	}
	return found
}

// pod gives the spec of the pods that an object makes, and their metadata.
func (o object) pod() (spec, metadata any) {
	switch o.kind() {
	case "Pod":
		return o["spec"], o["metadata"]
	case "Deployment", "StatefulSet", "DaemonSet", "Job":
		return at(o, "spec", "template", "spec"), at(o, "spec", "template", "metadata")
	}
	return nil, nil
}

// read gives a file of the repository as text.
func (c *chart) read(r *report, path ...string) string {
	text, err := os.ReadFile(filepath.Join(append([]string{c.root}, path...)...))
	if err != nil {
		r.say("%v", err)
	}
	return string(text)
}
