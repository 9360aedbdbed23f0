package main

import (
	"fmt"
	"path/filepath"
	"time"
)

// clock restarts an index node with its wall clock a year off, lets it work for a while, and restarts it with the right
// one. The monotonic clock is left alone, as it is when somebody sets the time of a machine.
func clock(f *Field) (string, error) {
	library := faketime()
	if library == "" {
		return "", fmt.Errorf("%w: libfaketime is not installed (apt-get install faketime)", errSkipped)
	}
	name, role, err := f.victim()
	if err != nil {
		return "", err
	}
	offset := "-365d"
	if f.random.IntN(2) == 0 {
		offset = "+365d"
	}
	if err := f.terminate(name); err != nil {
		return "", err
	}
	environment := []string{"LD_PRELOAD=" + library, "FAKETIME=" + offset, "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1"}
	if err := f.start(name, environment...); err != nil {
		return "", err
	}
	time.Sleep(time.Second)
	f.hold()
	if err := f.terminate(name); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s (%s) by %s", name, role, offset), f.start(name)
}

// faketime is the library that changes a process's clock, or nothing.
func faketime() string {
	found, _ := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if len(found) == 0 {
		return ""
	}
	return found[0]
}
