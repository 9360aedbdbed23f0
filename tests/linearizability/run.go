package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Form is how much is done: short for every change, long for a night.
type Form struct {
	nodes, registries int
	workers, keys     int
	rate              int // operations a second of a worker at most
	epoch             time.Duration
	tags              Schedule
	push              Schedule
	passwords         Schedule
	accounts          int // of an epoch of passwords
	pushers           int // of read-your-push, at once
	kills             int // of leader-kill
	writers, perNode  int // of two-writers
	reclaim           time.Duration
}

var shortForm = Form{
	nodes: 3, registries: 2, workers: 10, keys: 10, rate: 20, epoch: 15 * time.Second,
	tags: Schedule{
		Duration: 45 * time.Second, Firings: 1, Calm: time.Second, Floor: 10, Recovery: 30 * time.Second,
		Pause: [2]time.Duration{time.Second, 4 * time.Second}, Down: time.Second,
	},
	push: Schedule{
		Duration: 20 * time.Second, Firings: 0, Useful: 300, Calm: time.Second, Floor: 1, Recovery: 30 * time.Second,
		Pause: [2]time.Duration{time.Second, 3 * time.Second}, Down: time.Second,
	},
	passwords: Schedule{
		Duration: 30 * time.Second, Firings: 0, Useful: 200, Calm: time.Second, Floor: 1, Recovery: 30 * time.Second,
		Pause: [2]time.Duration{time.Second, 3 * time.Second}, Down: time.Second,
	},
	accounts: 6,
	pushers:  6, kills: 5, writers: 2, perNode: 200, reclaim: 15 * time.Second,
}

var longForm = Form{
	nodes: 3, registries: 3, workers: 20, keys: 50, rate: 20, epoch: 60 * time.Second,
	tags: Schedule{
		Duration: time.Hour, Firings: 20, Calm: 2 * time.Second, Floor: 20, Recovery: time.Minute,
		Pause: [2]time.Duration{time.Second, 30 * time.Second}, Down: 5 * time.Second,
	},
	push: Schedule{
		Duration: 10 * time.Minute, Firings: 5, Useful: 100_000, Calm: 5 * time.Second, Floor: 1, Recovery: time.Minute,
		Pause: [2]time.Duration{time.Second, 30 * time.Second}, Down: 5 * time.Second,
	},
	passwords: Schedule{
		Duration: 20 * time.Minute, Firings: 5, Useful: 10_000, Calm: 5 * time.Second, Floor: 1, Recovery: time.Minute,
		Pause: [2]time.Duration{time.Second, 30 * time.Second}, Down: 5 * time.Second,
	},
	accounts: 20,
	pushers:  24, kills: 100, writers: 3, perNode: 1000, reclaim: 30 * time.Minute,
}

// Run is one run of one mode.
type Run struct {
	form    Form
	root    string // of the repository
	binary  string
	results string // histories and pictures, kept
	scratch string // the cluster's files
	seed    uint64
	single  bool
	only    []string // nemeses
	out     io.Writer
	result  *Result
	made    int
	mutex   sync.Mutex
	current *Cluster // to be stopped if the run is interrupted
}

// down stops the cluster of the mode that runs, if there is one.
func (r *Run) down() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.current != nil {
		r.current.down()
		r.current = nil
	}
}

// random is a generator of its own for a purpose, the same for the same seed.
func (r *Run) random(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, purpose)) }

// cluster makes and starts a new cluster, and waits until its repositories have what small manifests refer to.
// down stops it, whether it has started or not.
func (r *Run) cluster(settings ...string) (*Cluster, error) {
	cluster, err := r.begin(settings...)
	if err != nil {
		return nil, err
	}
	return cluster, cluster.prepare()
}

// begin makes and starts a new cluster in which nothing is yet.
func (r *Run) begin(settings ...string) (*Cluster, error) {
	r.made++
	directory := filepath.Join(r.scratch, fmt.Sprintf("cluster-%d", r.made))
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	var cluster *Cluster
	var err error
	if r.single {
		cluster, err = newSingle(directory, r.binary, settings)
	} else {
		cluster, err = newCluster(r.root, directory, r.binary, r.form.nodes, r.form.registries, settings)
	}
	r.mutex.Lock()
	r.current = cluster
	r.mutex.Unlock()
	return cluster, err
}

// maltreat runs a schedule against the cluster.
func (r *Run) maltreat(ctx context.Context, c *Cluster, s Schedule, useful func() int64) (*Record, []Nemesis, error) {
	nemeses, err := nemesesFor(c, r.only)
	if err != nil {
		return nil, nil, err
	}
	return s.run(ctx, c, nemeses, r.random(1), useful, r.out), nemeses, nil
}
