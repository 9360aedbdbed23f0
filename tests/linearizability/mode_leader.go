package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Writes must go on within the election timeout and a second after the death of the leader. The dead one is started
// again only afterwards.
const (
	election = 600 * time.Millisecond // cluster.election_milliseconds, which this mode sets
	granted  = election + time.Second
)

// runLeaderKill kills the leader again and again under a trickle of writes, measures how long no write is acknowledged,
// and reads everything that was acknowledged at the end.
func runLeaderKill(r *Run) error {
	if r.single {
		return fmt.Errorf("a single process has no followers")
	}
	cluster, err := r.cluster(fmt.Sprintf("cluster.election_milliseconds=%d", election.Milliseconds()))
	if err != nil {
		return err
	}
	defer r.down()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	trickle := &Trickle{acknowledged: map[Key]string{}}
	var writers sync.WaitGroup
	for writer := range 8 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			trickle.run(ctx, cluster.Clients[writer%len(cluster.Clients)], writer)
		}()
	}

	var gaps []time.Duration
	var slow []string
	for range r.form.kills {
		time.Sleep(1500 * time.Millisecond) // the killed one comes back and catches up
		leader, err := cluster.leader()
		if err != nil {
			return err
		}
		if _, err := trickle.next(time.Now(), 10*time.Second); err != nil {
			return err
		}
		killed := time.Now()
		if err := cluster.kill(leader); err != nil {
			return err
		}
		// A write that was on its way when the leader died may be acknowledged still: count what was begun later.
		first, err := trickle.next(killed.Add(5*time.Millisecond), time.Minute)
		if err != nil {
			slow = append(slow, fmt.Sprintf("%s killed: %v", leader, err))
			break
		}
		gap := first.Sub(killed)
		gaps = append(gaps, gap)
		if gap > granted {
			slow = append(slow, fmt.Sprintf("%v after %s was killed at %s", gap.Round(time.Millisecond), leader, killed.Format("15:04:05.000")))
		}
		if err := cluster.start(leader); err != nil {
			return err
		}
	}
	cancel()
	writers.Wait()
	fmt.Fprintf(r.out, "leader killed, first write acknowledged after: %s (granted: %v)\n", distribution(gaps), granted)
	r.result.check("writes go on soon after the leader was killed", slow)
	r.result.check("no acknowledged write is lost with the leader", trickle.lost(cluster.Clients))
	if len(gaps) < r.form.kills && len(slow) == 0 {
		r.result.valid([]string{"too few kills"})
	}
	return nil
}

// Trickle is a few writers that each write to tags of their own, and what was acknowledged to them.
type Trickle struct {
	mutex        sync.Mutex
	acknowledged map[Key]string // the digest of each tag; each is written once
	last         struct{ began, ended time.Time }
}

func (t *Trickle) run(ctx context.Context, client *Client, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		key := Key{repositories[writer%len(repositories)], fmt.Sprintf("w%d-%d", writer, n)}
		content := smallManifest(int64(writer)<<32 | int64(n))
		header := map[string]string{"Content-Type": manifestType}
		began := time.Now()
		got, err := client.call(context.Background(), http.MethodPut, manifestPath(key.Repository, key.Tag), header, content)
		if err == nil && got.status == http.StatusCreated {
			t.mutex.Lock()
			t.acknowledged[key] = digestOf(content)
			if began.After(t.last.began) {
				t.last.began, t.last.ended = began, time.Now()
			}
			t.mutex.Unlock()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// next waits for the acknowledgement of a write that was begun after a time.
func (t *Trickle) next(after time.Time, limit time.Duration) (time.Time, error) {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		t.mutex.Lock()
		began, ended := t.last.began, t.last.ended
		t.mutex.Unlock()
		if began.After(after) {
			return ended, nil
		}
	}
	return time.Time{}, fmt.Errorf("no write was acknowledged within %v", limit)
}

// lost are the acknowledged writes that some process does not find.
func (t *Trickle) lost(clients []*Client) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var lost []string
	number := 0
	for key, digest := range t.acknowledged {
		client := clients[number%len(clients)]
		number++
		got, err := client.again(ctx, http.MethodHead, manifestPath(key.Repository, key.Tag), nil, nil)
		if err != nil || got.status != http.StatusOK || got.header.Get(digestHeader) != digest {
			lost = append(lost, fmt.Sprintf("%v at %s: %v %v", key, client.Name, got, err))
		}
	}
	return lost
}
