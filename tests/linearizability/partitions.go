package main

import (
	"errors"
	"fmt"
	"strings"
)

// partitionNemeses cut connections between processes with proxies. What was on its way arrives late or never, by chance.
var partitionNemeses = []Nemesis{
	{"leader-in-minority", 3, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		// Registry processes reach both sides: a leader that does not know of its fall would answer them.
		followers := shuffled(f, others(f.Index, leader))
		few := append([]string{leader}, followers[:(len(f.Index)-1)/2-1]...)
		return f.partition(few, others(f.Index, few...))
	}},
	{"leader-in-majority", 2, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		few := shuffled(f, others(f.Index, leader))[:(len(f.Index)-1)/2]
		return f.partition(few, others(f.Index, few...))
	}},
	{"leader-alone-with-registry", 2, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		// One registry process sees only the old leader, the others only the new one.
		registry := f.one(f.Registries)
		side := []string{leader, registry}
		return f.partition(side, append(others(f.Index, leader), others(f.Registries, registry)...))
	}},
	{"one-way", 3, func(f *Field) (string, error) {
		from := f.one(f.Index)
		to := f.one(others(append(append([]string{}, f.Index...), f.Registries...), from))
		if f.random.IntN(2) == 0 {
			from, to = to, from
		}
		f.network.cut(from, to)
		f.hold()
		late := f.random.IntN(2) == 0
		f.network.heal(late)
		return fmt.Sprintf("from %s to %s, %s", from, to, fate(late)), nil
	}},
	{"answers-lost", 2, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		// Commands arrive and happen, and nobody is told: they are repeated, and must not happen twice.
		registry := f.one(f.Registries)
		f.network.cut(leader, registry)
		f.hold()
		late := f.random.IntN(2) == 0
		f.network.heal(late)
		return fmt.Sprintf("from %s to %s, %s", leader, registry, fate(late)), nil
	}},
	{"deposed-leader", 2, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		// A registry process that starts now finds the new leader at once. The others lose patience with the old one
		// only later, and until then they ask it.
		registry := f.one(f.Registries)
		f.network.separate([]string{leader}, others(f.Index, leader))
		err = errors.Join(f.kill(registry), f.start(registry))
		f.hold()
		f.network.heal(false)
		return fmt.Sprintf("%s cut off, %s started again", leader, registry), err
	}},
	{"kill-in-partition", 2, func(f *Field) (string, error) {
		leader, err := f.leader()
		if err != nil {
			return "", err
		}
		// The leader alone, and then one of those killed who go on without it: when it is back they must agree.
		rest := others(f.Index, leader)
		f.network.separate([]string{leader}, rest)
		f.hold()
		victim := f.one(rest)
		err = errors.Join(f.kill(victim), f.start(victim))
		f.network.heal(false)
		return fmt.Sprintf("%s cut off, then %s killed", leader, victim), err
	}},
	{"all-cut", 1, func(f *Field) (string, error) {
		f.network.separate(f.Index, f.Registries)
		for n, name := range f.Index {
			f.network.separate([]string{name}, f.Index[n+1:])
		}
		f.hold()
		late := f.random.IntN(2) == 0
		f.network.heal(late)
		return fate(late), nil
	}},
}

// partition separates two sides for a while.
func (f *Field) partition(one, other []string) (string, error) {
	f.network.separate(one, other)
	f.hold()
	late := f.random.IntN(2) == 0
	f.network.heal(late)
	return fmt.Sprintf("%s | %s, %s", strings.Join(one, " "), strings.Join(other, " "), fate(late)), nil
}

func fate(late bool) string {
	if late {
		return "what was held arrived late"
	}
	return "what was held was lost"
}

func shuffled(f *Field, names []string) []string {
	f.random.Shuffle(len(names), func(a, b int) { names[a], names[b] = names[b], names[a] })
	return names
}
