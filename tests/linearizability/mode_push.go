package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// imagePatience is how long one image may take to be pushed and read from everywhere, through whatever faults.
const imagePatience = 3 * time.Minute

// runReadYourPush pushes images and reads each from all registry processes as soon as its push is acknowledged.
func runReadYourPush(r *Run) error {
	cluster, err := r.cluster("cluster.snapshot_entries=500")
	if err != nil {
		return err
	}
	defer r.down()
	var images, refused atomic.Int64
	var mutex sync.Mutex
	var misses []string
	miss := func(err error) {
		mutex.Lock()
		defer mutex.Unlock()
		misses = append(misses, err.Error())
	}
	one := func(pusher int, number int64) {
		ctx, cancel := context.WithTimeout(context.Background(), imagePatience)
		defer cancel()
		random := r.random(uint64(number)<<8 | 2)
		image := newImage(fmt.Sprintf("push/p%d", pusher), fmt.Sprintf("i%d", number), number, random)
		got, err := image.push(ctx, cluster.Clients[random.IntN(len(cluster.Clients))])
		if err == nil && got.status != 201 {
			err = fmt.Errorf("the push of %s:%s was answered %v", image.Repository, image.Tag, got)
		}
		if err != nil {
			refused.Add(1)
			miss(err)
			return
		}
		for _, client := range cluster.Clients {
			if err := image.verify(ctx, client); err != nil {
				miss(err)
			}
		}
		images.Add(1)
	}

	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	var stop atomic.Bool
	var numbers atomic.Int64
	var working sync.WaitGroup
	began := time.Now()
	for pusher := range r.form.pushers {
		working.Add(1)
		go func() {
			defer working.Done()
			for !stop.Load() {
				one(pusher, numbers.Add(1))
				if refused.Load() > 100 {
					giveUp() // nothing works any more
					return
				}
			}
		}()
	}
	record, nemeses, err := r.maltreat(ctx, cluster, r.form.push, images.Load)
	stop.Store(true)
	working.Wait()
	if err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Fprintf(r.out, "%vimages: %d in %v (%.1f a second), each read from %d processes\n",
		record, images.Load(), took.Round(time.Second), float64(images.Load())/took.Seconds(), len(cluster.Clients))
	r.result.check("what a push was acknowledged for is read from every process", misses)
	r.result.check("no node finds that its own volume is wrong", cluster.wrongVolumes())
	r.result.check("the cluster recovers from each fault under pushes", record.failed)
	invalid := record.judge(nemeses, r.form.push.Firings)
	if images.Load() < r.form.push.Useful {
		invalid = append(invalid, fmt.Sprintf("%d images, %d were asked for", images.Load(), r.form.push.Useful))
	}
	r.result.valid(invalid)
	return nil
}
