package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
)

// Image is a small complete image that nobody else has.
type Image struct {
	Repository, Tag string
	Config          []byte
	Layers          [][]byte
	Manifest        []byte
	Digest          string
}

// descriptor is how a manifest refers to content.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func describe(mediaType string, content []byte) descriptor {
	return descriptor{mediaType, digestOf(content), len(content)}
}

// newImage makes an image with one or two layers. Some layers are larger than what the index keeps in itself, so that
// the store is read too.
func newImage(repository, tag string, number int64, random *rand.Rand) Image {
	image := Image{Repository: repository, Tag: tag, Config: []byte(fmt.Sprintf(`{"image":%d,"salt":%d}`, number, random.Uint64()))}
	for range 1 + random.IntN(2) {
		size := 200 + random.IntN(2000)
		if random.IntN(4) == 0 {
			size = 40_000
		}
		image.Layers = append(image.Layers, randomBytes(random, size))
	}
	image.seal("")
	return image
}

func randomBytes(random *rand.Rand, size int) []byte {
	content := make([]byte, size)
	for n := range content {
		content[n] = byte(random.Uint32())
	}
	return content
}

// seal writes the manifest, attached to a subject if there is one.
func (i *Image) seal(subject string) {
	layers := []descriptor{}
	for _, layer := range i.Layers {
		layers = append(layers, describe("application/vnd.oci.image.layer.v1.tar", layer))
	}
	manifest := map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        describe("application/vnd.oci.image.config.v1+json", i.Config),
		"layers":        layers,
	}
	if subject != "" {
		manifest["artifactType"] = "application/x-proof"
		manifest["subject"] = descriptor{manifestType, subject, 2}
	}
	// A map is written with its keys in order: the same image always has the same bytes.
	i.Manifest, _ = json.Marshal(manifest)
	i.Digest = digestOf(i.Manifest)
}

// blobs are all that the manifest refers to.
func (i *Image) blobs() [][]byte { return append([][]byte{i.Config}, i.Layers...) }

// push pushes blobs and manifest, repeating what gets no answer, and returns the answer to the manifest.
func (i *Image) push(ctx context.Context, client *Client) (answer, error) {
	for _, blob := range i.blobs() {
		if err := client.pushBlob(ctx, i.Repository, blob); err != nil {
			return answer{}, err
		}
	}
	return i.pushManifest(ctx, client)
}

func (i *Image) pushManifest(ctx context.Context, client *Client) (answer, error) {
	reference := i.Tag
	if reference == "" {
		reference = i.Digest
	}
	header := map[string]string{"Content-Type": manifestType}
	return client.again(ctx, http.MethodPut, manifestPath(i.Repository, reference), header, i.Manifest)
}

// verify reads the image back from one process, byte for byte. An error is a miss.
func (i *Image) verify(ctx context.Context, client *Client) error {
	parts := map[string][]byte{manifestPath(i.Repository, i.Digest): i.Manifest}
	if i.Tag != "" {
		parts[manifestPath(i.Repository, i.Tag)] = i.Manifest
	}
	for _, blob := range i.blobs() {
		parts[blobPath(i.Repository, digestOf(blob))] = blob
	}
	for path, content := range parts {
		got, err := client.again(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			return err
		}
		if got.status != http.StatusOK {
			return fmt.Errorf("GET %s at %s: %v", path, client.Name, got)
		}
		if digestOf(got.body) != digestOf(content) {
			return fmt.Errorf("GET %s at %s: other bytes (%d of %d)", path, client.Name, len(got.body), len(content))
		}
	}
	return nil
}
