// etcd, which has no registry but agrees on writes as our index does, and clients that write to it.
//
//	etcd serve FLAG…                                    a member, with etcd's own flags
//	etcd load --endpoints A,B,C --clients N --seconds S writes of 600 bytes under new keys; one line of JSON
//	etcd leader --endpoints A,B,C                       the endpoint that leads
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/version"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
)

// A write as long as a small manifest.
const size = 600

type figures struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_micros"`
	P99       float64 `json:"p99_micros"`
	// The longest time in which no write of anybody ended well.
	Gap    float64 `json:"gap_millis"`
	Failed int     `json:"failed"`
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("etcd serve|load|leader"))
	}
	verb, rest := os.Args[1], os.Args[2:]
	if verb == "--version" {
		fmt.Println("etcd", version.Version)
		return
	}
	if verb == "serve" {
		etcdmain.Main(append([]string{"etcd"}, rest...))
		return
	}
	flags := flag.NewFlagSet(verb, flag.ExitOnError)
	endpoints := flags.String("endpoints", "", "addresses of members, with commas between them")
	clients := flags.Int("clients", 1, "clients at once")
	seconds := flags.Float64("seconds", 5, "how long")
	_ = flags.Parse(rest)
	all := strings.Split(*endpoints, ",")
	if verb == "leader" {
		leader, err := leads(all)
		if err != nil {
			fail(err)
		}
		fmt.Println(leader)
		return
	}
	measured, err := load(all, *clients, time.Duration(*seconds*float64(time.Second)))
	if err != nil {
		fail(err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(measured)
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "etcd:", err)
	os.Exit(1)
}

func dial(endpoints []string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
}

func leads(endpoints []string) (string, error) {
	client, err := dial(endpoints)
	if err != nil {
		return "", err
	}
	defer client.Close()
	for _, endpoint := range endpoints {
		limited, done := context.WithTimeout(context.Background(), 2*time.Second)
		status, err := client.Status(limited, endpoint)
		done()
		if err == nil && status.Leader == status.Header.MemberId {
			return endpoint, nil
		}
	}
	return "", fmt.Errorf("nobody leads")
}

func load(endpoints []string, clients int, lasts time.Duration) (figures, error) {
	var mutex sync.Mutex
	var each []time.Duration
	var ends []time.Time
	failed, value := 0, strings.Repeat("x", size)
	var group sync.WaitGroup
	began := time.Now()
	for number := range clients {
		// A connection for each, as clients of a registry have.
		client, err := dial(endpoints)
		if err != nil {
			return figures{}, err
		}
		group.Add(1)
		go func() {
			defer group.Done()
			defer client.Close()
			for turn := 0; time.Since(began) < lasts; turn++ {
				asked := time.Now()
				limited, done := context.WithTimeout(context.Background(), time.Second)
				_, err := client.Put(limited, fmt.Sprintf("bench/%d-%d-%d", began.UnixNano(), number, turn), value)
				done()
				mutex.Lock()
				if err == nil {
					each = append(each, time.Since(asked))
					ends = append(ends, time.Now())
				} else {
					failed++
				}
				mutex.Unlock()
			}
		}()
	}
	group.Wait()
	took := time.Since(began)
	if len(each) == 0 {
		return figures{}, fmt.Errorf("no write ended well")
	}
	gap := time.Duration(0)
	for at := 1; at < len(ends); at++ {
		gap = max(gap, ends[at].Sub(ends[at-1]))
	}
	sort.Slice(each, func(a, b int) bool { return each[a] < each[b] })
	micros := func(share float64) float64 {
		return float64(each[min(len(each)-1, int(share*float64(len(each))))].Microseconds())
	}
	return figures{
		PerSecond: float64(len(each)) / took.Seconds(), P50: micros(0.5), P99: micros(0.99),
		Gap: float64(gap.Microseconds()) / 1000, Failed: failed,
	}, nil
}
