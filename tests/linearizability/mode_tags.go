package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// checkPatience is for one key; histories of an epoch are short.
const checkPatience = 60 * time.Second

// Tags is the mode that looks for histories of tags that are not linearizable.
type Tags struct {
	run     *Run
	load    *Load
	mutex   sync.Mutex
	verdict Verdict
	stop    context.CancelFunc // of the whole run, on the first violation
}

func runTags(r *Run) error {
	cluster, err := r.cluster("cluster.snapshot_entries=50")
	if err != nil {
		return err
	}
	defer r.down()
	t := &Tags{run: r, load: newLoad(cluster.Clients, r.form.workers, r.form.keys, r.form.rate)}
	// The load outlives the schedule a little, so that what the last fault broke is seen.
	var ctx context.Context
	ctx, t.stop = context.WithCancel(context.Background())
	defer t.stop()
	var background sync.WaitGroup
	background.Add(2)
	go func() { defer background.Done(); t.load.run(ctx, r.seed) }()
	go func() { defer background.Done(); t.epochs(ctx) }()
	record, nemeses, err := r.maltreat(ctx, cluster, r.form.tags, t.load.answered.Load)
	if err != nil {
		return err
	}
	wait(ctx, time.Second)
	t.stop()
	background.Wait()

	fmt.Fprintf(r.out, "operations: %v\n%v", &t.load.counts, record)
	fmt.Fprintf(r.out, "checked: %d operations on %d tags\n", t.verdict.Operations, t.verdict.Keys)
	r.result.found += len(t.verdict.Violations)
	wrong := cluster.wrongVolumes()
	r.result.found += len(wrong)
	r.result.check("no node finds that its own volume is wrong", wrong)
	r.result.check("the history of each tag is linearizable", t.verdict.Violations)
	r.result.check("every answer is one that a registry may give", t.load.strange)
	r.result.check("the cluster recovers from each fault", record.failed)
	if r.result.found > 0 {
		return nil // a run that was cut short by what it found has done its work
	}
	invalid := record.judge(nemeses, r.form.tags.Firings)
	for _, key := range t.verdict.Undecided {
		invalid = append(invalid, "the checker ran out of time on "+key)
	}
	r.result.valid(invalid)
	return nil
}

// epochs changes the keys now and then and checks what was.
func (t *Tags) epochs(ctx context.Context) {
	var checks sync.WaitGroup
	defer checks.Wait()
	for ctx.Err() == nil {
		wait(ctx, t.run.form.epoch)
		keys := t.load.nextEpoch()
		checks.Add(1)
		go func() {
			defer checks.Done()
			time.Sleep(patience + 500*time.Millisecond) // nobody works on the old keys any more
			t.load.last(keys)
			t.finish(keys)
		}()
	}
}

// finish checks the histories of some keys, which are complete.
func (t *Tags) finish(keys []Key) {
	names := make([]string, len(keys))
	for n, key := range keys {
		names[n] = key.String()
	}
	history := t.load.history.take(names)
	if err := writeHistory(filepath.Join(t.run.results, "history.jsonl"), history); err != nil {
		fmt.Fprintf(t.run.out, "the history is not written: %v\n", err)
	}
	verdict := check(tag, history, checkPatience, t.run.results)
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.verdict.add(verdict)
	if len(verdict.Violations) > 0 {
		t.stop()
	}
}

// wait sleeps, unless the context ends first.
func wait(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}
