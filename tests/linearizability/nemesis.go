package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// errSkipped says that a nemesis cannot work here; the reason is in the text.
var errSkipped = errors.New("skipped")

// Nemesis does something bad to a cluster, and undoes it.
type Nemesis struct {
	Name   string
	Weight int
	// Fire does it all and returns when it is undone; what it says is printed.
	Fire func(*Field) (string, error)
}

// Field is where a nemesis works.
type Field struct {
	*Cluster
	random *rand.Rand
	pause  [2]time.Duration // of SIGSTOP and partitions: from, to
	spread time.Duration    // how long a process stays dead at most
}

// between is a random time.
func (f *Field) between(from, to time.Duration) time.Duration {
	return from + time.Duration(f.random.Int64N(int64(to-from)+1))
}

func (f *Field) hold() { time.Sleep(f.between(f.pause[0], f.pause[1])) }

func (f *Field) one(names []string) string { return names[f.random.IntN(len(names))] }

// victim is an index node: the leader half of the time.
func (f *Field) victim() (name, role string, err error) {
	leader, err := f.leader()
	if err != nil {
		return "", "", err
	}
	if f.random.IntN(2) == 0 || len(f.Index) == 1 {
		return leader, "leader", nil
	}
	return f.one(others(f.Index, leader)), "follower", nil
}

func others(names []string, but ...string) []string {
	var rest []string
	for _, name := range names {
		kept := true
		for _, without := range but {
			kept = kept && name != without
		}
		if kept {
			rest = append(rest, name)
		}
	}
	return rest
}

// nemeses that work on processes; partitions are in partitions.go.
var processNemeses = []Nemesis{
	{"kill-index", 4, func(f *Field) (string, error) {
		name, role, err := f.victim()
		if err != nil {
			return "", err
		}
		if err := f.kill(name); err != nil {
			return "", err
		}
		down := f.between(0, f.spread)
		time.Sleep(down)
		return fmt.Sprintf("%s (%s), down for %v", name, role, down.Round(time.Millisecond)), f.start(name)
	}},
	{"kill-all-index", 2, func(f *Field) (string, error) {
		for _, name := range f.Index {
			if err := f.signal(name, syscall.SIGKILL); err != nil {
				return "", err
			}
		}
		var failed error
		for _, name := range f.Index {
			failed = errors.Join(failed, f.ended(name), f.start(name))
		}
		return strings.Join(f.Index, " "), failed
	}},
	{"kill-registry", 2, func(f *Field) (string, error) {
		name := f.one(f.Registries)
		if err := f.kill(name); err != nil {
			return "", err
		}
		time.Sleep(f.between(0, f.spread))
		return name, f.start(name)
	}},
	{"pause", 3, func(f *Field) (string, error) {
		name, role, err := f.victim()
		if err != nil {
			return "", err
		}
		return f.stop(name, role)
	}},
	{"pause-leader", 2, func(f *Field) (string, error) {
		name, err := f.leader()
		if err != nil {
			return "", err
		}
		return f.stop(name, "leader")
	}},
	{"restart", 2, func(f *Field) (string, error) {
		name, role, err := f.victim()
		if err != nil {
			return "", err
		}
		if err := f.terminate(name); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s (%s)", name, role), f.start(name)
	}},
	{"clock", 2, clock},
	{"replace", 1, replaceNode},
	{"transfer", 1, func(f *Field) (string, error) {
		if f.single {
			return "", fmt.Errorf("%w: nobody to transfer to", errSkipped)
		}
		said, err := f.admin("transfer")
		return strings.TrimSpace(string(said)), err
	}},
}

// stop lets a process stand still for a while.
func (f *Field) stop(name, role string) (string, error) {
	if err := f.signal(name, syscall.SIGSTOP); err != nil {
		return "", err
	}
	pause := f.between(f.pause[0], f.pause[1])
	time.Sleep(pause)
	return fmt.Sprintf("%s (%s) for %v", name, role, pause.Round(time.Millisecond)), f.signal(name, syscall.SIGCONT)
}

// replaceNode kills a node, wipes its volume, and takes it in again as a new member in the place of the old one.
func replaceNode(f *Field) (string, error) {
	if f.single {
		return "", fmt.Errorf("%w: a single process has no peers to rebuild from", errSkipped)
	}
	name, role, err := f.victim()
	if err != nil {
		return "", err
	}
	members, err := f.members()
	if err != nil {
		return "", err
	}
	id := ""
	for _, member := range members {
		if member.node() == name && member.Role == "voter" {
			id = fmt.Sprint(member.ID)
		}
	}
	if err := errors.Join(f.kill(name), f.wipe(name), f.start(name)); err != nil {
		return "", err
	}
	// While nobody leads or the node is still starting it is refused: said again it does the same.
	err = until(2*time.Minute, name+" is taken in again", func() error {
		_, err := f.admin("add", f.peers[name], "--replace", id)
		return err
	})
	return fmt.Sprintf("%s (%s, node %s)", name, role, id), err
}

// recover waits until a write and a read at each registry process succeed again.
func (f *Field) recover(limit time.Duration) (time.Duration, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, client := range f.Clients {
		key := Key{repositories[0], "recovered"}
		content := smallManifest(-time.Now().UnixNano())
		header := map[string]string{"Content-Type": manifestType}
		got, err := client.again(ctx, http.MethodPut, manifestPath(key.Repository, key.Tag), header, content)
		if err == nil && got.status != http.StatusCreated {
			err = fmt.Errorf("a write at %s was answered %v", client.Name, got)
		}
		if err != nil {
			return time.Since(began), err
		}
	}
	return time.Since(began), nil
}
