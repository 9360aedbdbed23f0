package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// emptyConfig is the config of all manifests of the tag load; it is pushed before the load begins.
var emptyConfig = []byte("{}")

// smallManifest is a manifest without layers that no other number has.
func smallManifest(number int64) []byte {
	return []byte(fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[],"annotations":{"number":"%d"}}`,
		manifestType, configType, digestOf(emptyConfig), len(emptyConfig), number))
}

// prepare pushes what small manifests refer to.
func (c *Cluster) prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, repository := range repositories {
		if err := c.Clients[0].pushBlob(ctx, repository, emptyConfig); err != nil {
			return fmt.Errorf("the cluster takes no blobs: %w", err)
		}
	}
	return nil
}

// Key is a tag of a repository.
type Key struct{ Repository, Tag string }

func (k Key) String() string { return k.Repository + ":" + k.Tag }

// perform does one operation on a tag and fills in what came of it. It returns an error when the answer is none that a
// registry may give, and errNotSent when the operation cannot have happened and says nothing.
func (c *Client) perform(ctx context.Context, key Key, o *Operation, content []byte) error {
	header := map[string]string{}
	method := http.MethodPut
	switch o.Kind {
	case Get:
		method = http.MethodGet
	case Head:
		method = http.MethodHead
	case Delete:
		method = http.MethodDelete
	case Replace:
		header["If-Match"] = `"` + o.Expected + `"`
	case Create:
		header["If-None-Match"] = "*"
	}
	if method == http.MethodPut {
		header["Content-Type"] = manifestType
	}
	got, err := c.call(ctx, method, manifestPath(key.Repository, key.Tag), header, content)
	if errors.Is(err, errNotSent) {
		return err
	}
	if err != nil {
		o.Outcome, o.Note = Unknown, err.Error()
		return nil
	}
	return o.learn(got)
}

// learn takes the outcome from an answer.
func (o *Operation) learn(got answer) error {
	o.Found = got.header.Get(digestHeader)
	switch {
	case notNow(got.status):
		o.Outcome, o.Note, o.Found = Unknown, got.String(), ""
	case got.header.Get("Warning") != "":
		return fmt.Errorf("%s of a tag was answered without a quorum: %v", o.Kind, got)
	case o.Kind == Get && got.status == http.StatusOK:
		o.Outcome = Done
		if actual := digestOf(got.body); actual != o.Found {
			return fmt.Errorf("get: the bytes have digest %s, the header says %s", actual, o.Found)
		}
	case o.Kind == Head && got.status == http.StatusOK, o.Kind == Delete && got.status == http.StatusAccepted:
		o.Outcome = Done
	case (!o.Writes() || o.Kind == Delete) && got.status == http.StatusNotFound:
		o.Outcome = Absent
	case (o.Kind == Replace || o.Kind == Create) && got.status == http.StatusPreconditionFailed:
		o.Outcome = Refused
	case o.Writes() && got.status == http.StatusCreated:
		o.Outcome = Done
		if o.Found != o.Value {
			return fmt.Errorf("%s of %s is acknowledged as %s", o.Kind, o.Value, o.Found)
		}
	default:
		return fmt.Errorf("%s was answered %v", o.Kind, got)
	}
	return nil
}

// notNow says whether an answer means "not at the moment": it may have happened. Any other 5xx is a fault of the registry.
func notNow(status int) bool {
	switch status {
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage, http.StatusTooManyRequests:
		return true
	}
	return false
}
