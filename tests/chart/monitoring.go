package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

var monitoringRules = []rule{
	{"kinds of Prometheus' operator are asked for only when monitoring is enabled", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			found := of(objects, "PodMonitor", "PrometheusRule")
			wanted := 0
			if strings.HasPrefix(set, "everything") {
				wanted = 2
			}
			if len(found) != wanted {
				r.say("%s: %v", set, found)
			}
			for _, object := range found {
				if set == "everything" && object.label("release") != "prometheus" {
					r.say("%s: %s lacks a label of monitoring.labels", set, object)
				}
			}
		}
		objects, err := c.render("monitoring: {enabled: true, rules: {enabled: false}}")
		if err != nil || len(of(objects, "PodMonitor")) != 1 || len(of(objects, "PrometheusRule")) != 0 {
			r.say("rules.enabled has no effect: %v", err)
		}
	}},
	{"the PodMonitor finds the port of the operator's pods", func(c *chart, r *report) {
		operator := of(c.rendered["everything"], "Deployment")[0]
		spec, metadata := operator.pod()
		for _, monitor := range of(c.rendered["everything"], "PodMonitor") {
			selector, _ := at(monitor, "spec", "selector", "matchLabels").(map[string]any)
			for name, value := range selector {
				if word(metadata, "labels", name) != value {
					r.say("it selects %s: %v", name, value)
				}
			}
			endpoint := list(monitor, "spec", "podMetricsEndpoints")[0]
			port := list(list(spec, "containers")[0], "ports")[0]
			if word(endpoint, "port") != word(port, "name") || at(port, "containerPort") != float64(8080) {
				r.say("it asks the port %v, and there is %v", endpoint, port)
			}
			if at(endpoint, "honorLabels") != true {
				r.say("the namespaces of registries would be lost")
			}
		}
	}},
	{"each alert has a runbook, and each runbook of that kind an alert", func(c *chart, r *report) {
		files := names(filepath.Join(c.dir, "alerts", "*.yaml"))
		books := names(filepath.Join(c.root, "docs", "runbooks", "Roadstead*.md"))
		if len(files) < 10 || !slices.Equal(files, books) {
			r.say("alerts %v, runbooks %v", files, books)
		}
		var found []string
		for _, alert := range alerts(c, "everything") {
			found = append(found, word(alert, "alert"))
		}
		if !slices.Equal(found, files) {
			r.say("rendered are %v", found)
		}
	}},
	{"each alert has a summary, a severity and a link to its runbook", func(c *chart, r *report) {
		for _, alert := range alerts(c, "everything") {
			name, url := word(alert, "alert"), word(alert, "annotations", "runbook_url")
			if url != "https://github.com/roadstead-registry/roadstead/blob/main/docs/runbooks/"+name+".md" {
				r.say("%s: %s", name, url)
			}
			if !slices.Contains([]string{"warning", "critical"}, word(alert, "labels", "severity")) || word(alert, "labels", "team") != "images" {
				r.say("%s: %v", name, at(alert, "labels"))
			}
			if !strings.HasSuffix(word(alert, "annotations", "summary"), ".") || strings.Contains(fmt.Sprint(alert), "OPERATOR_NAMESPACE") {
				r.say("%s: %v", name, alert)
			}
		}
	}},
	{"alerts can be left out by their names, and link to another place", func(c *chart, r *report) {
		objects, err := c.render("monitoring: {enabled: true, rules: {disabled: [RoadsteadPanics], runbooks: 'https://wiki.example.com/'}}")
		if err != nil {
			r.say("%v", err)
		}
		text := ""
		for _, rules := range of(objects, "PrometheusRule") {
			text = fmt.Sprint(rules["spec"])
		}
		if strings.Contains(text, "RoadsteadPanics") || !strings.Contains(text, "https://wiki.example.com/docs/runbooks/RoadsteadStoreErrors.md") {
			r.say("they are there as before")
		}
	}},
	{"expressions of alerts ask for metrics and labels that exist", func(c *chart, r *report) {
		known := knownMetrics(c, r)
		for _, alert := range alerts(c, "everything") {
			expression(r, known, word(alert, "alert"), word(alert, "expr"))
		}
	}},
	{"an alert says only labels in its summary that its expression gives", func(c *chart, r *report) {
		for _, alert := range alerts(c, "everything") {
			for _, match := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(word(alert, "annotations", "summary"), -1) {
				if expr := word(alert, "expr"); !strings.Contains(expr, match[1]) && !slices.Contains([]string{"namespace", "pod", "name"}, match[1]) {
					r.say("%s: %s", word(alert, "alert"), match[1])
				}
			}
		}
	}},
	{"runbooks say what it means, what users see, how to look and what to do, with commands that exist", runbooks},
	{"the dashboard asks for metrics and labels that exist, and its panels lie beside each other", dashboard},
	{"the dashboard is in a ConfigMap that Grafana finds, and only when asked for", func(c *chart, r *report) {
		for set, objects := range c.rendered {
			maps := of(objects, "ConfigMap")
			if (len(maps) == 1) != strings.HasPrefix(set, "everything") {
				r.say("%s: %v", set, maps)
			}
			for _, found := range maps {
				var text any
				if err := json.Unmarshal([]byte(word(found, "data", "roadstead.json")), &text); err != nil || found.label("grafana_dashboard") != "1" {
					r.say("%s: %v, labels %v", set, err, at(found, "metadata", "labels"))
				}
			}
		}
	}},
}

func names(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	var found []string
	for _, file := range files {
		found = append(found, strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)))
	}
	return found
}

func alerts(c *chart, set string) []any {
	for _, rules := range of(c.rendered[set], "PrometheusRule") {
		return list(list(rules, "spec", "groups")[0], "rules")
	}
	return nil
}

// What others than our own processes measure.
var others = []string{
	"kube_statefulset_replicas", "kube_statefulset_status_replicas_ready",
	"kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes",
	"process_resident_memory_bytes", "process_cpu_seconds_total",
}

// Labels that every series gets from where it was found.
var everywhere = []string{"__name__", "namespace", "pod", "job", "le"}

// The labels of each of our metrics, by its name: as the reference says, and the source of the operator.
func knownMetrics(c *chart, r *report) map[string][]string {
	known := map[string][]string{}
	row := regexp.MustCompile("(?m)^\\| `(roadstead_\\w+)` \\| (\\w+) \\| ([^|]*)\\|")
	add := func(name, labels string) {
		found := append(slices.Clone(everywhere), regexp.MustCompile(`\w+`).FindAllString(labels, -1)...)
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			known[name+suffix] = found
		}
	}
	for _, match := range row.FindAllStringSubmatch(c.read(r, "docs", "reference", "metrics.md"), -1) {
		add(match[1], match[3])
	}
	metric := regexp.MustCompile(`(?s)"(roadstead_operator_\w+)",\s*"[^"]*"\)(?:,\s*&\[([^\]]*)\])?`)
	for _, match := range metric.FindAllStringSubmatch(c.read(r, "operator", "src", "metrics.rs"), -1) {
		add(match[1], match[2])
	}
	if len(known) < 4*45 {
		r.say("only %d metrics were read from docs/reference/metrics.md and operator/src/metrics.rs", len(known)/4)
	}
	return known
}

func expression(r *report, known map[string][]string, where, text string) {
	text = strings.ReplaceAll(text, "$__rate_interval", "5m")
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		r.say("%s: %v in %s", where, err, text)
		return
	}
	count := 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, is := node.(*parser.VectorSelector)
		if !is {
			return nil
		}
		count++
		labels, is := known[selector.Name]
		if !is && !slices.Contains(others, selector.Name) {
			r.say("%s: there is no metric %q", where, selector.Name)
		}
		for _, matcher := range selector.LabelMatchers {
			if is && !slices.Contains(labels, matcher.Name) {
				r.say("%s: %s has no label %q", where, selector.Name, matcher.Name)
			}
		}
		return nil
	})
	if count == 0 {
		r.say("%s: it asks for nothing: %s", where, text)
	}
}

func runbooks(c *chart, r *report) {
	reference := c.read(r, "docs", "reference", "cli.md")
	command := regexp.MustCompile(`-- roadstead ((?:index|backup|config) )?([a-z]+)`)
	for _, name := range names(filepath.Join(c.root, "docs", "runbooks", "Roadstead*.md")) {
		text := c.read(r, "docs", "runbooks", name+".md")
		if !strings.HasPrefix(text, "# "+name+"\n") {
			r.say("%s: its title", name)
		}
		for _, part := range []string{"**It means**", "**Users see**", "## Look", "## Do", "kubectl "} {
			if !strings.Contains(text, part) {
				r.say("%s lacks %q", name, part)
			}
		}
		for _, match := range command.FindAllStringSubmatch(text, -1) {
			group, verb := strings.TrimSpace(match[1]), match[2]
			known := strings.Contains(reference, "roadstead "+verb)
			if group != "" {
				known = regexp.MustCompile("(?m)^(roadstead " + group + "\\b.*\\b" + verb + "\\b|\\| `" + verb + "\\b)").MatchString(reference)
			}
			if !known {
				r.say("%s: docs/reference/cli.md does not know %q", name, match[0])
			}
		}
	}
}

func dashboard(c *chart, r *report) {
	var read any
	if err := json.Unmarshal([]byte(c.read(r, "charts", "roadstead", "dashboards", "roadstead.json")), &read); err != nil {
		r.say("%v", err)
		return
	}
	known := knownMetrics(c, r)
	number := func(panel any, keys ...string) int {
		value, _ := at(panel, keys...).(float64)
		return int(value)
	}
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, panel := range list(read, "panels") {
		title := word(panel, "title")
		if id := number(panel, "id"); ids[id] {
			r.say("%s: its id is there twice", title)
		} else {
			ids[id] = true
		}
		left, top := number(panel, "gridPos", "x"), number(panel, "gridPos", "y")
		for x := left; x < left+number(panel, "gridPos", "w"); x++ {
			for y := top; y < top+number(panel, "gridPos", "h"); y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					r.say("%s lies on %s", title, other)
				}
				cells[[2]int{x, y}] = title
			}
		}
		targets := list(panel, "targets")
		if len(targets) == 0 && word(panel, "type") != "row" {
			r.say("%s asks for nothing", title)
		}
		for _, target := range targets {
			expression(r, known, title, word(target, "expr"))
		}
	}
	for _, variable := range list(read, "templating", "list") {
		if query := word(variable, "query", "query"); query != "" {
			selector, _, _ := strings.Cut(strings.TrimPrefix(query, "label_values("), ", ")
			if strings.Contains(selector, "{") {
				selector, _, _ = strings.Cut(strings.TrimPrefix(query, "label_values("), "}, ")
				selector += "}"
			}
			expression(r, known, word(variable, "name"), selector)
		}
	}
}
