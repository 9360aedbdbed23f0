package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ReclaimLoad is workers that push, mount, retag and delete images that share layers. Each worker deletes only images
// of its own repository, so that it knows what must be there.
type ReclaimLoad struct {
	clients []*Client
	counts  counts
	pool    [][]byte // layers that all use

	mutex   sync.Mutex
	created map[string]bool  // digests of all blobs that were ever pushed
	live    map[string]Image // by repository and digest
	unknown []string
	broken  []string
}

func newReclaimLoad(clients []*Client) *ReclaimLoad {
	l := &ReclaimLoad{clients: clients, created: map[string]bool{}, live: map[string]Image{}}
	for n := range 8 {
		l.pool = append(l.pool, bytes.Repeat([]byte(fmt.Sprintf("shared %d ", n)), 100))
	}
	return l
}

// rare tells the kinds of requests that were made too seldom so far.
func (l *ReclaimLoad) rare() []string {
	var rare []string
	for _, kind := range []string{"push", "mount", "retag", "delete", "found", "referrer"} {
		if got := l.counts.of(kind); got < kindLeast {
			rare = append(rare, fmt.Sprintf("%d times %s", got, kind))
		}
	}
	return rare
}

func (l *ReclaimLoad) breaks(list *[]string, format string, arguments ...any) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	*list = append(*list, fmt.Sprintf(format, arguments...))
}

// reclaimWorker works on one repository.
type reclaimWorker struct {
	*ReclaimLoad
	number int
	random *rand.Rand
	images []Image
	made   int64
}

func (l *ReclaimLoad) worker(number int, random *rand.Rand) *reclaimWorker {
	return &reclaimWorker{ReclaimLoad: l, number: number, random: random}
}

func (w *reclaimWorker) repository() string { return fmt.Sprintf("reclaim/r%d", w.number) }

func (w *reclaimWorker) client() *Client { return w.clients[w.random.IntN(len(w.clients))] }

// one does something.
func (w *reclaimWorker) one() {
	if len(w.images) < 2 {
		w.push("")
		return
	}
	image := w.images[w.random.IntN(len(w.images))]
	switch n := w.random.IntN(100); {
	case n < 40:
		w.push("")
	case n < 50:
		w.push(image.Digest)
	case n < 60:
		w.retag(image)
	case n < 70:
		w.read(image)
	default:
		w.remove(w.random.IntN(len(w.images)))
	}
}

// leave deletes most of what is there, so that there is much garbage at the end.
func (w *reclaimWorker) leave() {
	for len(w.images) > 3 {
		w.remove(len(w.images) - 1)
	}
}

// push makes an image out of a layer of its own and shared ones, each uploaded, mounted, or found to be there. With a
// subject it is attached to it.
func (w *reclaimWorker) push(subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.made++
	image := newImage(w.repository(), fmt.Sprintf("t%d", w.random.IntN(20)), w.made<<16|int64(w.number), w.random)
	image.Layers = [][]byte{image.Layers[0], w.pool[w.random.IntN(len(w.pool))]}
	if subject != "" {
		image.Tag = ""
	}
	image.seal(subject)

	// What is needed stays for the grace after it was pushed or mounted, and for half of it after it was found.
	allowed := time.Now().Add(grace)
	for _, blob := range image.blobs() {
		before := time.Now()
		limit, err := w.bring(ctx, image.Repository, blob)
		if err != nil {
			w.breaks(&w.broken, "%v", err)
			return
		}
		if until := before.Add(limit); until.Before(allowed) {
			allowed = until
		}
	}
	client := w.client()
	got, err := image.pushManifest(ctx, client)
	answered := time.Now()
	switch {
	case err != nil:
		w.breaks(&w.broken, "%v", err)
	case got.status == http.StatusCreated:
		w.add(image, subject)
	case bytes.Contains(got.body, []byte("MANIFEST_BLOB_UNKNOWN")):
		if answered.Before(allowed) {
			w.breaks(&w.unknown, "%s %s at %s, %v before the grace was over: %v", image.Repository, image.Digest, client.Name, allowed.Sub(answered), got)
		} else {
			w.counts.add("too slow for the grace")
		}
	default:
		w.breaks(&w.broken, "a push was answered %v", got)
	}
}

func (w *reclaimWorker) add(image Image, subject string) {
	w.images = append(w.images, image)
	w.counts.add("push")
	if subject != "" {
		w.counts.add("referrer")
	}
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.live[image.Repository+"@"+image.Digest] = image
}

// bring sees to it that a repository has a blob, and says for how long that is promised.
func (w *reclaimWorker) bring(ctx context.Context, repository string, blob []byte) (time.Duration, error) {
	digest, client := digestOf(blob), w.client()
	got, err := client.again(ctx, http.MethodHead, blobPath(repository, digest), nil, nil)
	if err != nil {
		return 0, err
	}
	if got.status == http.StatusOK {
		w.counts.add("found")
		return grace / 2, nil
	}
	if w.random.IntN(2) == 0 {
		from := fmt.Sprintf("reclaim/r%d", w.random.IntN(10))
		path := fmt.Sprintf("/v2/%s/blobs/uploads/?mount=%s&from=%s", repository, url.QueryEscape(digest), url.QueryEscape(from))
		if got, err = client.again(ctx, http.MethodPost, path, nil, nil); err != nil {
			return 0, err
		}
		if got.status == http.StatusCreated {
			w.counts.add("mount")
			return grace, nil
		}
	}
	w.mutex.Lock()
	w.created[digest] = true
	w.mutex.Unlock()
	return grace, client.pushBlob(ctx, repository, blob)
}

// retag gives an image another tag.
func (w *reclaimWorker) retag(image Image) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	image.Tag = fmt.Sprintf("t%d", w.random.IntN(20))
	got, err := image.pushManifest(ctx, w.client())
	if err != nil || got.status != http.StatusCreated {
		w.breaks(&w.unknown, "%s: a new tag for an image that is there was answered %v %v", image.Repository, got, err)
		return
	}
	w.counts.add("retag")
}

// read reads an image and what is attached to it. Its tag may have moved on.
func (w *reclaimWorker) read(image Image) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	image.Tag = ""
	if err := image.verify(ctx, w.client()); err != nil {
		w.breaks(&w.broken, "%v", err)
	}
	w.counts.add("read")
}

// remove deletes an image by its digest.
func (w *reclaimWorker) remove(number int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	image := w.images[number]
	w.images = append(w.images[:number], w.images[number+1:]...)
	w.mutex.Lock()
	delete(w.live, image.Repository+"@"+image.Digest)
	w.mutex.Unlock()
	// A repeated request may find it deleted.
	got, err := w.client().again(ctx, http.MethodDelete, manifestPath(image.Repository, image.Digest), nil, nil)
	if err != nil || got.status != http.StatusAccepted && got.status != http.StatusNotFound {
		w.breaks(&w.broken, "a delete was answered %v %v", got, err)
		return
	}
	w.counts.add("delete")
}

// audit reads everything that must be there, and everything that lists name, and returns what is not.
func (l *ReclaimLoad) audit() (int, []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	var dangling []string
	seen := map[string]bool{}
	number := 0
	for _, image := range l.live {
		number++
		client := l.clients[number%len(l.clients)]
		image.Tag = ""
		if err := image.verify(ctx, client); err != nil {
			dangling = append(dangling, err.Error())
		}
		if !seen[image.Repository] {
			seen[image.Repository] = true
			tags, err := tagsOf(ctx, client, image.Repository)
			if err != nil {
				dangling = append(dangling, err.Error())
			}
			for tag := range tags {
				dangling = append(dangling, l.follow(ctx, client, image.Repository, tag)...)
			}
		}
		dangling = append(dangling, l.referrers(ctx, client, image)...)
	}
	return number, dangling
}

// follow reads a manifest and asks for all that it refers to.
func (l *ReclaimLoad) follow(ctx context.Context, client *Client, repository, reference string) []string {
	got, err := client.again(ctx, http.MethodGet, manifestPath(repository, reference), nil, nil)
	if err != nil || got.status != http.StatusOK {
		return []string{fmt.Sprintf("%s:%s is listed: %v %v", repository, reference, got, err)}
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := json.Unmarshal(got.body, &manifest); err != nil {
		return []string{err.Error()}
	}
	var dangling []string
	for _, part := range append(manifest.Layers, manifest.Config) {
		got, err := client.again(ctx, http.MethodGet, blobPath(repository, part.Digest), nil, nil)
		if err != nil || got.status != http.StatusOK || digestOf(got.body) != part.Digest {
			dangling = append(dangling, fmt.Sprintf("%s:%s needs %s: %v %v", repository, reference, part.Digest, got.status, err))
		}
	}
	return dangling
}

// referrers follows what is attached to an image.
func (l *ReclaimLoad) referrers(ctx context.Context, client *Client, image Image) []string {
	got, err := client.again(ctx, http.MethodGet, "/v2/"+image.Repository+"/referrers/"+image.Digest, nil, nil)
	if err != nil || got.status != http.StatusOK {
		return []string{fmt.Sprintf("referrers of %s: %v %v", image.Digest, got, err)}
	}
	var list struct{ Manifests []descriptor }
	if err := json.Unmarshal(got.body, &list); err != nil {
		return []string{err.Error()}
	}
	var dangling []string
	for _, attached := range list.Manifests {
		dangling = append(dangling, l.follow(ctx, client, image.Repository, attached.Digest)...)
	}
	return dangling
}

// needed are the digests of all blobs that live images refer to.
func (l *ReclaimLoad) needed() map[string]bool {
	needed := map[string]bool{}
	for _, image := range l.live {
		for _, blob := range image.blobs() {
			needed[digestOf(blob)] = true
		}
	}
	return needed
}
