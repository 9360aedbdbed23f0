package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Of the mode reclaim: as short as a registry can be told, so that reclaiming is always close behind the clients.
const (
	grace        = 2 * time.Second
	reclaimFor   = 90 * time.Second // how long garbage may take to vanish after the load
	leftoverMost = 0.01             // of all garbage
	kindLeast    = 10               // of each kind of request: fewer prove nothing
	longerMost   = 3                // times as long as usual on a machine that is slow to do those
)

// runReclaim pushes, mounts, retags and deletes while blobs are reclaimed seconds after nobody needs them.
func runReclaim(r *Run) error {
	cluster, err := r.cluster("reclaim.grace_seconds=2", "reclaim.reader_pause_seconds=1", "reclaim.interval_seconds=1",
		"blobs.inline_limit=0", "cluster.snapshot_entries=500")
	if err != nil {
		return err
	}
	defer r.down()
	load := newReclaimLoad(cluster.Clients)
	began := time.Now()
	goesOn := func() bool {
		took := time.Since(began)
		return took < r.form.reclaim || (took < longerMost*r.form.reclaim && len(load.rare()) > 0)
	}
	var workers sync.WaitGroup
	for number := range r.form.workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			worker := load.worker(number, r.random(uint64(number)+100))
			for goesOn() {
				worker.one()
			}
			worker.leave()
		}()
	}
	workers.Wait()
	ended := time.Now()
	audited, dangling := load.audit()
	fmt.Fprintf(r.out, "requests: %v\naudit: %d images, %d dangling\n", &load.counts, audited, len(dangling))
	r.result.check("no blob is unknown to a live push", load.unknown)
	r.result.check("what is pushed, mounted or found stays readable", load.broken)
	r.result.check("nothing refers to what is gone", dangling)

	needed := load.needed()
	garbage := len(load.created) - len(needed)
	most := len(needed) + int(float64(garbage)*leftoverMost)
	left := 0
	gone := until(reclaimFor, "the garbage is gone", func() error {
		left = objects(cluster)
		if left > most {
			return fmt.Errorf("%d objects, %d are needed, %d were garbage", left, len(needed), garbage)
		}
		return nil
	})
	fmt.Fprintf(r.out, "garbage: %d of %d objects; %d are left for %d needed, %v after the load\n",
		garbage, len(load.created), left, len(needed), since(ended))
	reasons := []string{}
	if gone != nil {
		reasons = append(reasons, gone.Error())
	}
	if left < len(needed) {
		reasons = append(reasons, fmt.Sprintf("%d objects for %d that are needed", left, len(needed)))
	}
	r.result.check("at least 99 % of the garbage is gone", reasons)
	if _, dangling := load.audit(); len(dangling) > 0 {
		r.result.check("nothing refers to what is gone, after reclaiming", dangling)
	}
	invalid := load.rare()
	if garbage < 20 {
		invalid = append(invalid, fmt.Sprintf("%d objects were garbage", garbage))
	}
	r.result.valid(invalid)
	return nil
}

// objects counts the files of the store.
func objects(c *Cluster) int {
	count := 0
	directory := filepath.Join(c.directory, "store")
	if c.single {
		directory = filepath.Join(c.directory, theOne, "blobs")
	}
	_ = filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && isObject(path) {
			count++
		}
		return nil // what vanishes while we look is not counted
	})
	return count
}

// isObject tells the objects of blobs from what else the store keeps, such as the mark of its owner.
func isObject(path string) bool {
	return strings.Contains(path, "/blobs/") && filepath.Base(path) != "OWNER"
}
