package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sort"
	"strings"
	"time"
)

// Schedule says how long a cluster is maltreated and what makes the run worth something.
type Schedule struct {
	Duration time.Duration
	Firings  int           // of each nemesis, at least
	Useful   int64         // operations in all, at least: faults go on until they are done
	Calm     time.Duration // between two faults
	Floor    float64       // useful operations a second that each calm must see
	Recovery time.Duration // after a fault is undone: until writes are accepted at all processes
	Pause    [2]time.Duration
	Down     time.Duration
}

// Record is what a schedule did.
type Record struct {
	fired    counts
	skipped  map[string]string // nemesis to reason
	floors   []float64         // operations a second of each calm
	recovery []time.Duration
	invalid  []string
	failed   []string
}

// nemesesFor are those that can work on the cluster, or the named ones.
func nemesesFor(c *Cluster, only []string) ([]Nemesis, error) {
	all := processNemeses
	if !c.single {
		all = append(append([]Nemesis{}, all...), partitionNemeses...)
	}
	if len(only) == 0 {
		return all, nil
	}
	var chosen []Nemesis
	for _, name := range only {
		found := false
		for _, nemesis := range all {
			if nemesis.Name == name {
				chosen, found = append(chosen, nemesis), true
			}
		}
		if !found && name != "none" {
			return nil, fmt.Errorf("there is no nemesis %s", name)
		}
	}
	return chosen, nil
}

// run fires nemeses until the time is over, each had its turns and enough was done: first so many rounds of all in random
// order, then by weight. It ends early with the context.
func (s Schedule) run(ctx context.Context, c *Cluster, nemeses []Nemesis, random *rand.Rand, useful func() int64, out io.Writer) *Record {
	record := &Record{skipped: map[string]string{}}
	field := &Field{Cluster: c, random: random, pause: s.Pause, spread: s.Down}
	began := time.Now()
	var due []Nemesis
	for range s.Firings {
		for _, n := range random.Perm(len(nemeses)) {
			due = append(due, nemeses[n])
		}
	}
	for ctx.Err() == nil && (len(due) > 0 || time.Since(began) < s.Duration || useful() < s.Useful) {
		before, calm := useful(), time.Now()
		select {
		case <-ctx.Done():
			return record
		case <-time.After(s.Calm):
		}
		rate := float64(useful()-before) / time.Since(calm).Seconds()
		record.floors = append(record.floors, rate)
		if rate < s.Floor {
			record.invalid = append(record.invalid, fmt.Sprintf("%.1f operations a second after %v, floor %.1f", rate, since(began), s.Floor))
		}
		if len(nemeses) == 0 {
			continue
		}
		var nemesis Nemesis
		if len(due) > 0 {
			nemesis, due = due[0], due[1:]
		} else {
			nemesis = weighted(nemeses, random)
		}
		if record.skipped[nemesis.Name] != "" {
			continue
		}
		fired := time.Now()
		said, err := nemesis.Fire(field)
		switch {
		case errors.Is(err, errSkipped):
			record.skipped[nemesis.Name] = err.Error()
			fmt.Fprintf(out, "%8v %s: %v\n", since(began), nemesis.Name, err)
			continue
		case err != nil:
			record.failed = append(record.failed, fmt.Sprintf("%s after %v: %v", nemesis.Name, since(began), err))
			fmt.Fprintf(out, "%8v %s: FAILED: %v\n", since(began), nemesis.Name, err)
			return record
		}
		record.fired.add(nemesis.Name)
		recovered, err := field.recover(s.Recovery)
		record.recovery = append(record.recovery, recovered)
		fmt.Fprintf(out, "%8v %s: %s (%v); writes again after %v; %.0f operations a second before\n",
			since(began), nemesis.Name, said, since(fired), recovered.Round(time.Millisecond), rate)
		if err != nil {
			record.failed = append(record.failed, fmt.Sprintf("no recovery within %v of %s (%s): %v", s.Recovery, nemesis.Name, said, err))
			return record
		}
	}
	return record
}

func since(began time.Time) time.Duration { return time.Since(began).Round(100 * time.Millisecond) }

func weighted(nemeses []Nemesis, random *rand.Rand) Nemesis {
	total := 0
	for _, nemesis := range nemeses {
		total += nemesis.Weight
	}
	at := random.IntN(total)
	for _, nemesis := range nemeses {
		if at -= nemesis.Weight; at < 0 {
			return nemesis
		}
	}
	return nemeses[0]
}

// judge says what makes the run invalid beyond what the record noted: nemeses that fired too little.
func (r *Record) judge(nemeses []Nemesis, firings int) []string {
	invalid := r.invalid
	for _, nemesis := range nemeses {
		if got := r.fired.of(nemesis.Name); got < firings && r.skipped[nemesis.Name] == "" {
			invalid = append(invalid, fmt.Sprintf("%s fired %d times, %d were asked for", nemesis.Name, got, firings))
		}
	}
	return invalid
}

func (r *Record) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "faults: %v\n", &r.fired)
	for name, reason := range r.skipped {
		fmt.Fprintf(&text, "skipped: %s: %s\n", name, reason)
	}
	sort.Float64s(r.floors)
	if len(r.floors) > 0 {
		fmt.Fprintf(&text, "operations a second in calm: min %.0f, median %.0f\n", r.floors[0], r.floors[len(r.floors)/2])
	}
	fmt.Fprintf(&text, "writes again after a fault: %s\n", distribution(r.recovery))
	return text.String()
}

// distribution is the shape of some durations in one line.
func distribution(durations []time.Duration) string {
	if len(durations) == 0 {
		return "none"
	}
	sorted := append([]time.Duration{}, durations...)
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	at := func(share float64) time.Duration {
		return sorted[int(share*float64(len(sorted)-1))].Round(time.Millisecond)
	}
	return fmt.Sprintf("%d times: min %v, p50 %v, p90 %v, max %v", len(sorted), at(0), at(0.5), at(0.9), at(1))
}
