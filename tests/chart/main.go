// Checks the chart: rules by their names, over what Helm renders from several sets of values.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A rule of the chart. What it complains of goes to the report.
type rule struct {
	name  string
	check func(*chart, *report)
}

// report collects what speaks against a rule.
type report struct {
	complaints []string
}

func (r *report) say(format string, values ...any) {
	r.complaints = append(r.complaints, fmt.Sprintf(format, values...))
}

func main() {
	root := flag.String("root", ".", "the repository")
	helm := flag.String("helm", "helm", "the program")
	flag.Parse()
	word := strings.Join(flag.Args(), " ")

	chart, err := load(*root, filepath.Join(*root, "charts", "roadstead"), *helm)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		fmt.Println("chart: 0 passed, 1 failed")
		os.Exit(1)
	}
	passed, failed := 0, 0
	for _, rule := range slices.Concat(valueRules, objectRules, rightsRules, nodeRules, monitoringRules) {
		if !strings.Contains(rule.name, word) {
			continue
		}
		report := &report{}
		rule.check(chart, report)
		if len(report.complaints) == 0 {
			passed++
			fmt.Println("ok     ", rule.name)
			continue
		}
		failed++
		fmt.Println("FAILED ", rule.name)
		for _, complaint := range report.complaints {
			fmt.Println("        ", strings.ReplaceAll(complaint, "\n", "\n         "))
		}
	}
	fmt.Printf("chart: %d passed, %d failed\n", passed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}
