package main

import (
	"fmt"
	"io"
)

// Exit codes.
const (
	exitPassed  = 0
	exitFailed  = 1 // a guarantee was broken
	exitTrouble = 2 // the run could not be made
	exitInvalid = 3 // nothing was broken, but too little happened to say anything
)

// Result collects the checks of a run, each with a name that says what holds.
type Result struct {
	out     io.Writer
	passed  int
	failed  int
	invalid int
	found   int // violations in histories, and by the nodes themselves
}

// check notes one; the reasons say why it does not hold.
func (r *Result) check(name string, reasons []string) {
	if len(reasons) == 0 {
		r.passed++
		fmt.Fprintf(r.out, "ok: %s\n", name)
		return
	}
	r.failed++
	fmt.Fprintf(r.out, "FAILED: %s\n", name)
	r.list(reasons)
}

// valid notes whether the run was worth something.
func (r *Result) valid(reasons []string) {
	if len(reasons) == 0 {
		return
	}
	r.invalid++
	fmt.Fprintln(r.out, "INVALID: this run proves nothing:")
	r.list(reasons)
}

func (r *Result) list(reasons []string) {
	const most = 20
	for n, reason := range reasons {
		if n == most {
			fmt.Fprintf(r.out, "  and %d more\n", len(reasons)-most)
			break
		}
		fmt.Fprintf(r.out, "  %s\n", reason)
	}
}

func (r *Result) code() int {
	switch {
	case r.failed > 0:
		return exitFailed
	case r.invalid > 0:
		return exitInvalid
	}
	return exitPassed
}
