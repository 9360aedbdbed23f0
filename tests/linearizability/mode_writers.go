package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// runTwoWriters pushes tags to one repository through all registry processes at once: every one of them must be there
// afterwards, by itself and in the list of each process.
func runTwoWriters(r *Run) error {
	cluster, err := r.cluster()
	if err != nil {
		return err
	}
	defer r.down()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	repository := repositories[0]
	var mutex sync.Mutex
	var failures []string
	pushed := map[string]bool{}
	var writers sync.WaitGroup
	began := time.Now()
	for number := range r.form.writers {
		client := cluster.Clients[number%len(cluster.Clients)]
		for lane := range 4 { // requests on their way at once, of each writer
			writers.Add(1)
			go func() {
				defer writers.Done()
				for n := lane; n < r.form.perNode; n += 4 {
					tag := fmt.Sprintf("w%d-%d", number, n)
					content := smallManifest(int64(number)<<32 | int64(n))
					header := map[string]string{"Content-Type": manifestType}
					got, err := client.again(ctx, http.MethodPut, manifestPath(repository, tag), header, content)
					mutex.Lock()
					if err != nil || got.status != http.StatusCreated {
						failures = append(failures, fmt.Sprintf("%s at %s: %v %v", tag, client.Name, got, err))
					} else {
						pushed[tag] = true
					}
					mutex.Unlock()
				}
			}()
		}
	}
	writers.Wait()
	fmt.Fprintf(r.out, "%d tags by %d writers in %v\n", len(pushed), r.form.writers, since(began))
	for _, client := range cluster.Clients {
		listed, err := tagsOf(ctx, client, repository)
		if err != nil {
			return err
		}
		for tag := range pushed {
			if listed[tag] != 1 {
				failures = append(failures, fmt.Sprintf("%s is %d times in the list of %s", tag, listed[tag], client.Name))
			}
			if got, err := client.again(ctx, http.MethodHead, manifestPath(repository, tag), nil, nil); err != nil || got.status != http.StatusOK {
				failures = append(failures, fmt.Sprintf("%s at %s: %v %v", tag, client.Name, got, err))
			}
		}
	}
	r.result.check("tags pushed by several writers at once are all there", failures)
	if len(pushed) < r.form.writers*r.form.perNode && len(failures) == 0 {
		r.result.valid([]string{"too few tags"})
	}
	return nil
}

// tagsOf lists a repository page by page and counts how often each tag comes.
func tagsOf(ctx context.Context, client *Client, repository string) (map[string]int, error) {
	listed := map[string]int{}
	for path := "/v2/" + repository + "/tags/list?n=77"; path != ""; {
		got, err := client.again(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			return nil, err
		}
		if got.status == http.StatusNotFound {
			return listed, nil
		}
		var page struct{ Tags []string }
		if err := json.Unmarshal(got.body, &page); err != nil || got.status != http.StatusOK {
			return nil, fmt.Errorf("GET %s at %s: %v", path, client.Name, got)
		}
		for _, tag := range page.Tags {
			listed[tag]++
		}
		path = ""
		if link := got.header.Get("Link"); link != "" {
			path = strings.TrimPrefix(strings.Split(link, ">")[0], "<")
		}
	}
	return listed, nil
}
