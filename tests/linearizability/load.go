package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Load is clients that read and write tags through random registry processes and record what they see.
//
// The keys change with each epoch: a history that ends can be checked while the next one grows, and operations of
// unknown outcome, which make checking costly, do not pile up.
type Load struct {
	clients      []*Client
	workers      int
	keysPerEpoch int
	began        time.Time
	rate         int // operations a second of each worker at most, so that long runs leave the machine some air

	history  History
	answered atomic.Int64 // operations with a known outcome
	counts   counts
	numbers  atomic.Int64

	mutex   sync.Mutex
	epoch   int
	keys    []Key
	lastOf  map[Key]string // a digest that somebody saw, for If-Match
	strange []string       // answers that no registry may give
}

// repositories over which keys are spread.
var repositories = []string{"proof/one", "proof/two", "proof/three"}

func newLoad(clients []*Client, workers, keys, rate int) *Load {
	l := &Load{clients: clients, workers: workers, keysPerEpoch: keys, rate: rate, began: time.Now()}
	l.nextEpoch()
	return l
}

// nextEpoch goes on with new keys and returns the old ones.
func (l *Load) nextEpoch() []Key {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	old := l.keys
	l.epoch++
	l.keys = nil
	l.lastOf = map[Key]string{}
	for n := range l.keysPerEpoch {
		l.keys = append(l.keys, Key{repositories[n%len(repositories)], fmt.Sprintf("e%d-t%d", l.epoch, n)})
	}
	return old
}

// run works until the context ends.
func (l *Load) run(ctx context.Context, seed uint64) {
	var workers sync.WaitGroup
	for number := range l.workers {
		workers.Add(1)
		go func() {
			defer workers.Done()
			random := rand.New(rand.NewPCG(seed, uint64(number)))
			for ctx.Err() == nil {
				began := time.Now()
				l.one(number, random)
				time.Sleep(time.Until(began.Add(time.Second / time.Duration(l.rate))))
			}
		}()
	}
	workers.Wait()
}

// one performs a random operation. It is never cut short by the end of the run: it would be of unknown outcome.
func (l *Load) one(worker int, random *rand.Rand) {
	client := l.clients[random.IntN(len(l.clients))]
	l.mutex.Lock()
	key := l.keys[random.IntN(len(l.keys))]
	seen := l.lastOf[key]
	l.mutex.Unlock()

	o := Operation{Client: worker, Process: client.Name, Key: key.String(), Kind: choose(random)}
	if o.Kind == Replace && seen == "" {
		o.Kind = Create
	}
	if o.Kind == Replace {
		o.Expected = seen
	}
	if !l.do(client, key, &o) {
		time.Sleep(20 * time.Millisecond) // the process is down: another one next time
	}
}

// do performs an operation and records it; false when it was not sent.
func (l *Load) do(client *Client, key Key, o *Operation) bool {
	var content []byte
	if o.Writes() && o.Kind != Delete {
		content = smallManifest(l.numbers.Add(1))
		o.Value = digestOf(content)
	}
	o.Call = time.Since(l.began).Nanoseconds()
	err := client.perform(context.Background(), key, o, content)
	o.Return = time.Since(l.began).Nanoseconds()
	if errors.Is(err, errNotSent) {
		l.counts.add("not sent")
		return false
	}
	if err != nil {
		l.mutex.Lock()
		l.strange = append(l.strange, fmt.Sprintf("%s at %s after %s: %v", o.Key, client.Name, time.Duration(o.Return).Round(time.Millisecond), err))
		l.mutex.Unlock()
		return true
	}
	l.history.add(*o)
	l.counts.add(string(o.Kind) + " " + string(o.Outcome))
	if o.Outcome != Unknown {
		l.answered.Add(1)
		l.note(key, o)
	}
	return true
}

// note remembers a digest that the tag had, for the next If-Match.
func (l *Load) note(key Key, o *Operation) {
	now := o.Found
	if o.Outcome == Absent || o.Kind == Delete {
		now = ""
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.lastOf[key] = now
}

// last reads each key once more, so that what an epoch lost at its end is missed. A read that gets no answer is
// repeated at another process.
func (l *Load) last(keys []Key) {
	deadline := time.Now().Add(20 * time.Second) // of all together: nobody may answer any more
	for number, key := range keys {
		for attempt := 0; time.Now().Before(deadline); attempt++ {
			o := Operation{Client: l.workers, Process: "", Key: key.String(), Kind: Get}
			client := l.clients[(number+attempt)%len(l.clients)]
			o.Process = client.Name
			if l.do(client, key, &o) && o.Outcome != Unknown {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// choose picks what to do, with many reads close to writes.
func choose(random *rand.Rand) Kind {
	switch n := random.IntN(100); {
	case n < 30:
		return Get
	case n < 45:
		return Head
	case n < 65:
		return Put
	case n < 77:
		return Delete
	case n < 90:
		return Replace
	default:
		return Create
	}
}
