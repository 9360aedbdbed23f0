package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is the result of checking histories.
type Verdict struct {
	Keys       int
	Operations int
	Violations []string // each with the files that show it
	Undecided  []string // keys for which the checker ran out of time
}

func (v *Verdict) add(other Verdict) {
	v.Keys += other.Keys
	v.Operations += other.Operations
	v.Violations = append(v.Violations, other.Violations...)
	v.Undecided = append(v.Undecided, other.Undecided...)
}

// check looks at the history of each key by itself. What is wrong is drawn and written into the directory.
func check(model porcupine.Model, history []Operation, patience time.Duration, directory string) Verdict {
	verdict := Verdict{Operations: len(history)}
	byKey := map[string][]Operation{}
	for _, operation := range history {
		byKey[operation.Key] = append(byKey[operation.Key], operation)
	}
	keys := make([]string, 0, len(byKey))
	for key := range byKey {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		verdict.Keys++
		result, info := porcupine.CheckOperationsVerbose(model, prepare(byKey[key]), patience)
		switch result {
		case porcupine.Unknown:
			verdict.Undecided = append(verdict.Undecided, key)
		case porcupine.Illegal:
			verdict.Violations = append(verdict.Violations, show(model, key, byKey[key], info, directory))
		}
	}
	return verdict
}

// prepare turns a history into the checker's form: a read without an answer says nothing, and a write without one ends
// at the end of time.
func prepare(history []Operation) []porcupine.Operation {
	var operations []porcupine.Operation
	for _, o := range history {
		end := o.Return
		if o.Outcome == Unknown {
			if !o.Writes() {
				continue
			}
			end = math.MaxInt64
		}
		operations = append(operations, porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: end})
	}
	return operations
}

// show writes the picture and the history of a key that is not linearizable, and says where they are.
func show(model porcupine.Model, key string, history []Operation, info porcupine.LinearizationInfo, directory string) string {
	name := filepath.Join(directory, "violation-"+strings.NewReplacer("/", "-", ":", "-").Replace(key))
	err := os.MkdirAll(directory, 0o755)
	if err == nil {
		err = porcupine.VisualizePath(model, info, name+".html")
	}
	if err == nil {
		err = writeHistory(name+".jsonl", history)
	}
	if err != nil {
		return fmt.Sprintf("%s (not written: %v)", key, err)
	}
	return fmt.Sprintf("%s: %s.html and .jsonl", key, name)
}
