// A program for Pods of tests: from scratch, so that it builds and runs wherever Go does, with what a test asks a Pod to do.
//
//	probe wait                     listens on :8080, answers every request, ends when it is told to
//	probe mkdir DIR…               makes directories
//	probe write FILE TEXT          writes, and has it on disk
//	probe read FILE
//	probe resolve NAME             the addresses, one a line, sorted
//	probe get URL
//	probe s3 put|get URL [TEXT]    a signed request; the keys are those of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	command, rest := "", []string(nil)
	if len(arguments) > 0 {
		command, rest = arguments[0], arguments[1:]
	}
	switch {
	case command == "wait":
		return wait()
	case command == "mkdir":
		for _, dir := range rest {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
		}
		return nil
	case command == "write" && len(rest) == 2:
		return write(rest[0], rest[1])
	case command == "read" && len(rest) == 1:
		content, err := os.ReadFile(rest[0])
		if err == nil {
			_, err = os.Stdout.Write(content)
		}
		return err
	case command == "resolve" && len(rest) == 1:
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		addresses, err := net.DefaultResolver.LookupHost(ctx, rest[0])
		slices.Sort(addresses)
		fmt.Println(strings.Join(addresses, "\n"))
		return err
	case command == "get" && len(rest) == 1:
		request, err := http.NewRequest(http.MethodGet, rest[0], nil)
		if err != nil {
			return err
		}
		return send(request)
	case command == "s3" && len(rest) == 2 && rest[0] == "get":
		return s3(http.MethodGet, rest[1], "")
	case command == "s3" && len(rest) == 3 && rest[0] == "put":
		return s3(http.MethodPut, rest[1], rest[2])
	}
	return errors.New("wait, mkdir, write, read, resolve, get or s3, each with what it needs")
}

func wait() error {
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: 5 * time.Second}
	server.Handler = http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprintln(out, name)
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func write(name, text string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err = file.WriteString(text); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

func send(request *http.Request) error {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", answer.Status, body)
	}
	_, err = os.Stdout.Write(body)
	return err
}

// Signature version 4 of a request without a query.
func s3(method, url, text string) error {
	request, err := http.NewRequest(method, url, strings.NewReader(text))
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	stamp, day := now.Format("20060102T150405Z"), now.Format("20060102")
	sum := sha256.Sum256([]byte(text))
	payload := hex.EncodeToString(sum[:])
	request.Header.Set("x-amz-date", stamp)
	request.Header.Set("x-amz-content-sha256", payload)

	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{
		method, request.URL.EscapedPath(), "",
		"host:" + request.URL.Host, "x-amz-content-sha256:" + payload, "x-amz-date:" + stamp, "",
		signed, payload,
	}, "\n")
	scope := day + "/us-east-1/s3/aws4_request"
	sum = sha256.Sum256([]byte(canonical))
	key := []byte("AWS4" + os.Getenv("AWS_SECRET_ACCESS_KEY"))
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	signature := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, hex.EncodeToString(sum[:])}, "\n"))
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		os.Getenv("AWS_ACCESS_KEY_ID"), scope, signed, signature))
	return send(request)
}

func mac(key []byte, text string) []byte {
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte(text))
	return sum.Sum(nil)
}
