package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var valueRules = []rule{
	{"helm lint is clean, with each set of values", func(c *chart, r *report) {
		for name, values := range sets {
			if _, err := c.call(values, "lint", "--strict", "--kube-version", "1.31.0", "--values", "-", c.dir); err != nil {
				r.say("%s: %v", name, err)
			}
		}
	}},
	{"the schema refuses keys that it does not know", func(c *chart, r *report) {
		for _, values := range []string{"colour: blue", "image: {name: x}", "monitoring: {rules: {enable: true}}", "nodes: {trust: true}",
			"imagePullSecrets: [{secret: x}]", "test: {registries: x}"} {
			refused(c, r, values, "dditional propert")
		}
	}},
	{"the schema refuses values of a wrong type or form", func(c *chart, r *report) {
		for _, values := range []string{"replicas: two", "replicas: -1", "watchNamespaces: a", "watchNamespaces: [a, a]", "watchNamespaces: [A_B]",
			"crds: {enabled: yes-please}", "image: {pullPolicy: Sometimes}", "image: {digest: 12ab}", "image: {repository: null}",
			"commonLabels: {a: {b: c}}", "monitoring: {interval: soon}", "test: {registry: 1}", "nodes: {namespace: null}",
			"nodes: {hostnames: [a/b/registry.example.com]}", "nodes: {hostnames: [/registry.example.com]}", "nodes: {hostnames: ['*/registry.example.com']}",
			"nodes: {certsDirectories: []}", "nodes: {certsDirectories: [/etc]}", "nodes: {certsDirectories: [etc/certs.d]}"} {
			refused(c, r, values, "")
		}
	}},
	{"the chart takes what a parent chart hands down", func(c *chart, r *report) {
		if _, err := c.render("global: {imageRegistry: x}"); err != nil {
			r.say("%v", err)
		}
	}},
	{"values, schema and README name the same values", sameValues},
	{"each value has a comment", func(c *chart, r *report) {
		before := ""
		for _, line := range strings.Split(c.read(r, "charts", "roadstead", "values.yaml"), "\n") {
			text := strings.TrimSpace(line)
			if text != "" && !strings.HasPrefix(text, "#") && !strings.HasPrefix(before, "#") {
				r.say("%s", text)
			}
			before = text
		}
	}},
	{"an older Kubernetes is refused", func(c *chart, r *report) {
		if _, err := c.template(c.dir, "", "--kube-version", "1.30.9"); err == nil {
			r.say("1.30.9 is taken")
		}
		for _, version := range []string{"1.31.0", "1.33.1-gke.1700", "1.35.8"} {
			if _, err := c.template(c.dir, "", "--kube-version", version); err != nil {
				r.say("%s: %v", version, err)
			}
		}
	}},
	{"the chart has the version of the source", func(c *chart, r *report) {
		found := regexp.MustCompile(`(?m)^version = "(.*)"`).FindStringSubmatch(c.read(r, "Cargo.toml"))
		if found == nil || !strings.Contains(c.read(r, "charts", "roadstead", "Chart.yaml"), "\nappVersion: "+found[1]+"\n") {
			r.say("Cargo.toml says %v", found)
		}
	}},
	{"the notes lead to the first push", notes},
	{"no file of the chart has more than 500 lines, but for the kinds", func(c *chart, r *report) {
		err := filepath.WalkDir(c.dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.Contains(path, "files/crds") {
				return err
			}
			text, err := os.ReadFile(path)
			if lines := strings.Count(string(text), "\n"); lines > 500 {
				r.say("%s has %d", path, lines)
			}
			return err
		})
		if err != nil {
			r.say("%v", err)
		}
	}},
}

func refused(c *chart, r *report, values, because string) {
	_, err := c.render(values)
	switch {
	case err == nil:
		r.say("taken: %s", values)
	case !strings.Contains(err.Error(), "schema") || !strings.Contains(err.Error(), because):
		r.say("refused for another reason: %s: %v", values, err)
	}
}

// Maps whose keys are the user's: their defaults are no values of the chart.
var open = []string{"podSecurityContext", "securityContext", "resources", "monitoring.dashboard.labels"}

func sameValues(c *chart, r *report) {
	var schema any
	if err := json.Unmarshal([]byte(c.read(r, "charts", "roadstead", "values.schema.json")), &schema); err != nil {
		r.say("values.schema.json: %v", err)
		return
	}
	written := readmeValues(c.read(r, "charts", "roadstead", "README.md"))
	var named []string
	var walk func(values map[string]any, schema any, path string)
	walk = func(values map[string]any, schema any, path string) {
		properties, _ := at(schema, "properties").(map[string]any)
		for key := range properties {
			if _, is := values[key]; !is && path+key != "global" {
				r.say("only in the schema: %s%s", path, key)
			}
		}
		for key, value := range values {
			here := path + key
			if properties[key] == nil {
				r.say("not in the schema: %s", here)
			}
			if fields, is := value.(map[string]any); is && len(fields) > 0 && !slices.Contains(open, here) {
				walk(fields, properties[key], here+".")
				continue
			}
			named = append(named, here)
			if !slices.Contains(written, here) {
				r.say("not in the table of README.md: %s", here)
			}
		}
	}
	walk(c.values, schema, "")
	for _, value := range written {
		if !slices.Contains(named, value) {
			r.say("only in README.md: %s", value)
		}
	}
}

// The first column of the table of values.
func readmeValues(readme string) []string {
	var found []string
	_, table, _ := strings.Cut(readme, "\n## Values\n")
	for _, line := range strings.Split(table, "\n") {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
				found = append(found, match[1])
			}
		}
	}
	return found
}

// Helm prints notes only when it speaks to a cluster, so they are made the text of an object in a copy of the chart.
func notes(c *chart, r *report) {
	dir, err := os.MkdirTemp("", "chart")
	if err != nil {
		r.say("%v", err)
		return
	}
	defer os.RemoveAll(dir)
	err = os.CopyFS(filepath.Join(dir, "chart"), os.DirFS(c.dir))
	text := c.read(r, "charts", "roadstead", "templates", "NOTES.txt")
	put := func(path, text string) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "chart", path), []byte(text), 0o600)
		}
	}
	put("notes.txt", text)
	put("templates/notes.yaml", "kind: Notes\nmetadata: {name: notes}\ntext: |\n  {{- tpl (.Files.Get \"notes.txt\") . | nindent 2 }}\n")
	if err != nil {
		r.say("%v", err)
		return
	}
	for name, values := range sets {
		rendered, err := c.template(filepath.Join(dir, "chart"), values, "--show-only", "templates/notes.yaml")
		if err != nil {
			r.say("%s: %v", name, err)
			continue
		}
		objects, err := parse(rendered)
		if err != nil || len(objects) != 1 {
			r.say("%s: %v", name, err)
			continue
		}
		notes := word(objects[0], "text")
		for _, step := range []string{"kubectl apply", "kind: Registry", "configmap images-ca", "docker push", "crane copy", "helm test"} {
			if !strings.Contains(notes, step) {
				r.say("%s: %q is missing in:\n%s", name, step, notes)
			}
		}
		example(r, name, notes)
	}
}

// What the notes have applied is one Registry, and its text ends where the shell wants it to.
func example(r *report, name, notes string) {
	_, text, _ := strings.Cut(notes, "<<EOF\n")
	text, _, _ = strings.Cut(text, "\nEOF\n")
	objects, err := parse(text)
	if err == nil && (len(objects) != 1 || at(objects[0], "spec", "storage", "claim") == nil) {
		r.say("%s: no Registry on a claim: %v", name, objects)
	} else if err != nil {
		r.say("%s: %v", name, err)
	}
}
