// Command linearizability drives a cluster of real processes with faults of many kinds and checks what its clients saw.
//
// See README.md for the modes, and docs/explanation/consistency.md for what they prove.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

var modes = map[string]func(*Run) error{
	"tags":           runTags,
	"passwords":      runPasswords,
	"read-your-push": runReadYourPush,
	"two-writers":    runTwoWriters,
	"leader-kill":    runLeaderKill,
	"reclaim":        runReclaim,
}

func main() {
	names := flag.String("mode", "tags", "what to do, with commas between: tags, passwords, read-your-push, two-writers, leader-kill, reclaim")
	long := flag.Bool("long", false, "the long form")
	single := flag.Bool("single", false, "one process instead of a cluster: the baseline")
	binary := flag.String("binary", "", "the roadstead to run")
	root := flag.String("root", ".", "the repository")
	results := flag.String("results", "", "where histories and pictures go")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the schedule and the load")
	only := flag.String("nemesis", "", "only these, with commas between; none for none")
	duration := flag.Duration("duration", 0, "of the schedule, instead of the form's")
	firings := flag.Int("firings", -1, "of each nemesis at least, instead of the form's")
	images := flag.Int64("images", -1, "of read-your-push at least, instead of the form's")
	nodes := flag.Int("nodes", 0, "index nodes, instead of the form's")
	registries := flag.Int("registries", 0, "registry processes, instead of the form's")
	expected := flag.Duration("expect-violation", 0, "pass only if a violation of the mode tags or passwords is found within this time")
	keep := flag.Bool("keep", false, "keep the files of the cluster")
	flag.Parse()

	form := shortForm
	if *long {
		form = longForm
	}
	for _, schedule := range []*Schedule{&form.tags, &form.passwords, &form.push} {
		if *duration > 0 {
			schedule.Duration = *duration
		}
		if *firings >= 0 {
			schedule.Firings = *firings
		}
	}
	if *images >= 0 {
		form.push.Useful = *images
	}
	if *nodes > 0 {
		form.nodes = *nodes
	}
	if *registries > 0 {
		form.registries = *registries
	}
	if *expected > 0 {
		form.tags.Duration, form.tags.Firings, form.epoch = *expected, 0, 10*time.Second
		form.passwords.Duration, form.passwords.Firings = *expected, 0
	}
	run := &Run{form: form, root: absolute(*root), binary: absolute(*binary), results: absolute(*results), seed: *seed, single: *single, out: os.Stdout}
	if *only != "" {
		run.only = strings.Split(*only, ",")
	}
	os.Exit(all(run, strings.Split(*names, ","), *expected > 0, *keep))
}

// all runs the modes one after another and prints the sum.
func all(run *Run, names []string, expected, keep bool) int {
	scratch, err := os.MkdirTemp("", "roadstead-proof-")
	if err != nil {
		return trouble(err)
	}
	run.scratch = scratch
	if err := os.MkdirAll(run.results, 0o755); err != nil {
		return trouble(err)
	}
	fmt.Printf("seed %d; results in %s; the cluster in %s\n", run.seed, run.results, scratch)
	run.result = &Result{out: run.out}
	defer run.down()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		run.down()
		os.Exit(trouble(errors.New("interrupted")))
	}()
	for _, name := range names {
		mode, found := modes[name]
		if !found {
			return trouble(fmt.Errorf("there is no mode %s", name))
		}
		fmt.Printf("-- %s\n", name)
		began := time.Now()
		if err := mode(run); err != nil {
			return trouble(fmt.Errorf("%s: %w (see the logs in %s)", name, err, scratch))
		}
		fmt.Printf("%s: %v\n", name, since(began))
	}
	code := run.result.code()
	if expected {
		if !keep {
			os.RemoveAll(scratch)
		}
		return caught(run.result.found > 0)
	}
	if code == exitPassed && !keep {
		os.RemoveAll(scratch)
	} else {
		fmt.Printf("the logs of the processes are in %s\n", scratch)
	}
	fmt.Printf("linearizability: %d passed, %d failed\n", run.result.passed, run.result.failed+run.result.invalid)
	return code
}

// caught turns the exit code round for a registry that is wrong on purpose.
func caught(found bool) int {
	if found {
		fmt.Println("the violation that was expected was found")
		fmt.Println("linearizability: 1 passed, 0 failed")
		return exitPassed
	}
	fmt.Println("a violation was expected, and none was found")
	fmt.Println("linearizability: 0 passed, 1 failed")
	return exitFailed
}

func trouble(err error) int {
	fmt.Fprintln(os.Stderr, "linearizability:", err)
	fmt.Println("linearizability: 0 passed, 1 failed")
	return exitTrouble
}

func absolute(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return full
}
