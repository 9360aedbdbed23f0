package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

var jsonHeader = map[string]string{"Content-Type": "application/json"}

// In a hundred changes so many give an account the password that it has, or one that it had. What is remembered of an old
// password must not make it good again, and one that stays, or comes back, is right.
const (
	sameShare = 10
	backShare = 15
)

// Account is a user whose password is changed and tried, and what the clients know of it.
type Account struct {
	Name string
	busy sync.WaitGroup // who works on it

	mutex sync.Mutex
	begun []string // passwords that it was given, or may have been, in the order in which that was begun
	known string   // the newest that a client believes in
}

// next chooses the password of a change: mostly one that it never had.
func (a *Account) next(random *rand.Rand) string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	value := fmt.Sprintf("%s-%06d", a.Name, len(a.begun))
	switch n := random.IntN(100); {
	case n < sameShare && a.known != "":
		value = a.known
	case n < sameShare+backShare && len(a.begun) > 1:
		value = a.begun[random.IntN(len(a.begun)-1)]
	}
	a.begun = append(a.begun, value)
	return value
}

// guess chooses the password of a try: the newest that is known, one of those before it, or the one that somebody is
// just setting.
func (a *Account) guess(random *rand.Rand) string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	newest := a.begun[len(a.begun)-1]
	switch n := random.IntN(100); {
	case n < 15 && newest != a.known:
		return newest
	case n < 35 && len(a.begun) > 1:
		return a.begun[len(a.begun)-2-random.IntN(min(3, len(a.begun)-1))]
	default:
		return a.known
	}
}

// learn notes what an operation says of the password. When the one that was believed in is wrong, a change of which
// nobody heard has happened: another one is believed in.
func (a *Account) learn(o Operation, random *rand.Rand) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	tried := o.Value
	if o.Kind == Change {
		tried = o.Expected
	}
	switch {
	case o.Outcome == Done:
		a.known = o.Value
	case o.Outcome == Wrong && tried == a.known:
		a.known = a.begun[len(a.begun)-1-random.IntN(min(4, len(a.begun)))]
	}
}

func (a *Account) now() string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.known
}

// appoint makes the first administrator, as whoever keeps the machine does, lets the cluster's clients be him, and lets
// all users read.
func (c *Cluster) appoint() error {
	const password = "the administrator's"
	where := []string{"--config", filepath.Join(c.directory, "admin.toml")}
	if c.single {
		where = []string{"--data", filepath.Join(c.directory, theOne)}
	}
	name, attempt := "", 0
	err := until(30*time.Second, "an administrator is made", func() error {
		attempt++
		name = fmt.Sprintf("root-%d", attempt) // the one before may have been made without a word
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		command := exec.CommandContext(ctx, c.binary, append([]string{"user", "create", name, "--administrator"}, where...)...)
		command.Stdin = strings.NewReader(password + "\n")
		if said, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, client := range c.Clients {
		client.authorization = basic(name, password)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	policy := []byte(`{"rules":[{"subjects":["authenticated"],"repositories":["proof/**"],"role":"pull"}]}`)
	got, err := c.Clients[0].again(ctx, http.MethodPut, "/api/v1/policies/readers", jsonHeader, policy)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("the policy was answered %v", got)
	}
	return err
}

// createAccount makes a user, asking until one of the processes acknowledges it.
func createAccount(ctx context.Context, administrators []*Client, name, password string) error {
	body, err := json.Marshal(map[string]string{"name": name, "password": password})
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		client := administrators[attempt%len(administrators)]
		got, err := client.call(ctx, http.MethodPost, "/api/v1/users", jsonHeader, body)
		switch {
		case err == nil && got.status == http.StatusCreated, err == nil && got.status == http.StatusConflict && attempt > 0:
			return nil
		case err == nil && !notNow(got.status):
			return fmt.Errorf("a new account was answered %v", got)
		}
		wait(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return fmt.Errorf("the account %s was not made: %w (last: %v %v)", name, ctx.Err(), got, err)
		}
	}
}

// missingAccounts are those of some that a process does not list exactly once.
func missingAccounts(ctx context.Context, client *Client, names []string) ([]string, error) {
	var listed []string
	for more, path := true, "/api/v1/users"; more; {
		got, err := client.again(ctx, http.MethodGet, path, nil, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Users []struct{ Name string }
			More  bool
		}
		if err := json.Unmarshal(got.body, &page); err != nil || got.status != http.StatusOK {
			return nil, fmt.Errorf("GET %s at %s: %v", path, client.Name, got)
		}
		for _, user := range page.Users {
			listed = append(listed, user.Name)
		}
		if more = page.More && len(page.Users) > 0; more {
			path = "/api/v1/users?last=" + url.QueryEscape(listed[len(listed)-1])
		}
	}
	slices.Sort(listed)
	var missing []string
	for _, name := range names {
		from, found := slices.BinarySearch(listed, name)
		if !found || (from+1 < len(listed) && listed[from+1] == name) {
			missing = append(missing, fmt.Sprintf("%s is not once in the list of %s", name, client.Name))
		}
	}
	return missing, nil
}
