package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// patience is how long a client waits for an answer. It is less than the registry's own deadline on purpose: a client
// that has gone away is one more way for an answer to be lost.
const patience = 6 * time.Second

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.empty.v1+json"
	digestHeader = "Docker-Content-Digest"
)

// errNotSent says that a request cannot have had an effect: nobody took the connection.
var errNotSent = errors.New("the request was not sent")

// Client talks to one registry process.
type Client struct {
	Name          string
	url           string
	authorization string // of every request that brings none of its own
	http          *http.Client
}

func newClient(name, url string) *Client {
	return &Client{Name: name, url: url, http: newConnections(&net.Dialer{Timeout: 2 * time.Second})}
}

func newConnections(dialer *net.Dialer) *http.Client {
	transport := &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64, DisableCompression: true}
	return &http.Client{Transport: transport, Timeout: patience}
}

// from is a client of the same process that connects from another address, and is nobody until it says who it is.
func (c *Client) from(source net.IP) *Client {
	dialer := &net.Dialer{Timeout: 2 * time.Second, LocalAddr: &net.TCPAddr{IP: source}}
	return &Client{Name: c.Name, url: c.url, http: newConnections(dialer)}
}

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string { return fmt.Sprintf("%d %s", a.status, bytes.TrimSpace(a.body)) }

// call sends one request and reads the whole answer.
func (c *Client) call(ctx context.Context, method, path string, header map[string]string, body []byte) (answer, error) {
	target := path
	if len(path) > 0 && path[0] == '/' {
		target = c.url + path
	}
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if c.authorization != "" {
		request.Header.Set("Authorization", c.authorization)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		var network *net.OpError
		if errors.As(err, &network) && network.Op == "dial" {
			return answer{}, fmt.Errorf("%w: %w", errNotSent, err)
		}
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	return answer{status: response.StatusCode, header: response.Header, body: content}, nil
}

// again repeats a call until it is answered with anything but "later", or the deadline has passed. A registry that is full is an
// answer: no fault here fills a disk, and none goes by waiting.
func (c *Client) again(ctx context.Context, method, path string, header map[string]string, body []byte) (answer, error) {
	for {
		got, err := c.call(ctx, method, path, header, body)
		if err == nil && got.status != http.StatusServiceUnavailable && got.status != http.StatusTooManyRequests {
			return got, nil
		}
		select {
		case <-ctx.Done():
			return got, fmt.Errorf("%s %s at %s: no answer in time: %w (last: %v %v)", method, path, c.Name, ctx.Err(), got, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// pushBlob uploads a blob with one request and repeats it until it is acknowledged.
func (c *Client) pushBlob(ctx context.Context, repository string, content []byte) error {
	path := fmt.Sprintf("/v2/%s/blobs/uploads/?digest=%s", repository, url.QueryEscape(digestOf(content)))
	got, err := c.again(ctx, http.MethodPost, path, map[string]string{"Content-Type": "application/octet-stream"}, content)
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated {
		return fmt.Errorf("POST %s at %s: %v", path, c.Name, got)
	}
	return nil
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }

func manifestPath(repository, reference string) string {
	return "/v2/" + repository + "/manifests/" + reference
}

func blobPath(repository, digest string) string { return "/v2/" + repository + "/blobs/" + digest }
