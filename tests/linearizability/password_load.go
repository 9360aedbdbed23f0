package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	guessers = 8
	// guesses of each a second at most: a process hashes two passwords at once, and no right one twice.
	guessRate = 3
	// freeGuesses that are wrong cost nothing at one process and account; the next would be held up.
	freeGuesses = 3
	// A change in so many operations, and one by the user himself in so many changes.
	changeShare = 8
	ownShare    = 3
)

// ownChange is the count of changes by users themselves.
const ownChange = "own change"

// staleTry is the count of tries of the password before an acknowledged change, right after it and at another process.
const staleTry = "old one tried after an acknowledged change"

// PasswordLoad is clients that change and try passwords through random registry processes and record what they see.
//
// The accounts change with each epoch, as the keys of Load do. What was recorded of old ones stays: they are looked at
// once more at the end.
type PasswordLoad struct {
	administrators []*Client // one for each registry process
	perEpoch       int
	paths          []string // where a password is tried
	began          time.Time
	history        History
	answered       atomic.Int64
	counts         counts
	sources        atomic.Uint32

	mutex    sync.Mutex
	epoch    int
	accounts []*Account // of the epoch
	all      []*Account
	strange  []string
}

func newPasswordLoad(administrators []*Client, perEpoch int, paths []string) *PasswordLoad {
	return &PasswordLoad{administrators: administrators, perEpoch: perEpoch, paths: paths, began: time.Now()}
}

// nextEpoch makes new accounts, goes on with them, and returns the old ones once nobody works on them any more.
func (l *PasswordLoad) nextEpoch(ctx context.Context) ([]*Account, error) {
	l.epoch++
	var fresh []*Account
	for n := range l.perEpoch {
		account := &Account{Name: fmt.Sprintf("e%d-a%d", l.epoch, n)}
		first := account.Name + "-first"
		account.begun, account.known = []string{first}, first
		made := Operation{Client: guessers, Key: account.Name, Kind: Change, Value: first, Outcome: Done, Call: l.now()}
		if err := createAccount(ctx, l.administrators, account.Name, first); err != nil {
			return nil, err
		}
		made.Return = l.now()
		l.history.add(made)
		fresh = append(fresh, account)
	}
	l.mutex.Lock()
	old := l.accounts
	l.accounts = fresh
	l.all = append(l.all, fresh...)
	l.mutex.Unlock()
	for _, account := range old {
		account.busy.Wait()
	}
	return old, nil
}

func (l *PasswordLoad) now() int64 { return time.Since(l.began).Nanoseconds() }

// run works until the context ends.
func (l *PasswordLoad) run(ctx context.Context, seed uint64) {
	var working sync.WaitGroup
	for number := range guessers {
		working.Add(1)
		go func() {
			defer working.Done()
			g := l.guesser(number, rand.New(rand.NewPCG(seed, uint64(number))))
			for ctx.Err() == nil {
				began := time.Now()
				g.one()
				time.Sleep(time.Until(began.Add(time.Second / guessRate)))
			}
		}()
	}
	working.Wait()
}

// last tries each account's password at a process once more, until there is an answer.
func (l *PasswordLoad) last(accounts []*Account, random *rand.Rand) {
	g := l.guesser(guessers, random)
	deadline := time.Now().Add(20 * time.Second) // of all together: nobody may answer any more
	for _, account := range accounts {
		for time.Now().Before(deadline) && g.try(account, g.any(), account.now()) != Done {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// Guesser is a client that changes its address before it is taken for one who does not know the password.
type Guesser struct {
	*PasswordLoad
	number  int
	random  *rand.Rand
	clients []*Client
	wrong   counts // by process and account
}

func (l *PasswordLoad) guesser(number int, random *rand.Rand) *Guesser {
	g := &Guesser{PasswordLoad: l, number: number, random: random}
	g.move()
	return g
}

// move goes on from an address that nobody has come from yet: 127.0.1.1 and those after it.
func (g *Guesser) move() {
	for _, client := range g.clients {
		client.http.CloseIdleConnections()
	}
	n := 1<<8 + g.sources.Add(1)
	source := net.IPv4(127, byte(n>>16), byte(n>>8), byte(n))
	g.clients, g.wrong = nil, counts{}
	for _, administrator := range g.administrators {
		g.clients = append(g.clients, administrator.from(source))
	}
}

func (g *Guesser) any() int { return g.random.IntN(len(g.clients)) }

// one changes a password or tries one. It is never cut short by the end of the run: it would be of unknown outcome.
func (g *Guesser) one() {
	g.PasswordLoad.mutex.Lock()
	account := g.accounts[g.random.IntN(len(g.accounts))]
	account.busy.Add(1)
	g.PasswordLoad.mutex.Unlock()
	defer account.busy.Done()
	if g.random.IntN(changeShare) == 0 {
		g.change(account)
	} else {
		g.try(account, g.any(), account.guess(g.random))
	}
}

// change gives an account another password. Once that is acknowledged the old one is tried, where others were told.
func (g *Guesser) change(account *Account) {
	at, before := g.any(), account.now()
	client := g.administrators[at]
	o := Operation{Client: g.number, Process: client.Name, Key: account.Name, Kind: Change}
	if g.random.IntN(ownShare) == 0 {
		client, o.Expected = g.clients[at], account.guess(g.random)
	}
	o.Value = account.next(g.random)
	if g.record(account, &o, client.changePassword) != Done {
		return
	}
	for n := range min(2, len(g.clients)) {
		process := (at + 1 + n) % len(g.clients)
		if g.random.IntN(3) == 0 || before == o.Value {
			g.try(account, process, o.Value)
		} else if outcome := g.try(account, process, before); outcome == Done || outcome == Wrong {
			g.counts.add(staleTry)
		}
	}
}

// try tries a password at a process.
func (g *Guesser) try(account *Account, process int, password string) Outcome {
	client := g.clients[process]
	o := Operation{Client: g.number, Process: client.Name, Key: account.Name, Kind: Try, Value: password}
	o.Path = g.paths[g.random.IntN(len(g.paths))]
	return g.record(account, &o, client.tryPassword)
}

// record performs an operation and notes what came of it; nothing if it was not sent or answered as none may be.
func (g *Guesser) record(account *Account, o *Operation, perform func(context.Context, *Operation) error) Outcome {
	o.Call = g.now()
	err := perform(context.Background(), o)
	o.Return = g.now()
	if errors.Is(err, errNotSent) {
		g.counts.add("not sent")
		time.Sleep(20 * time.Millisecond) // the process is down: another one next time
		return ""
	}
	if err != nil {
		g.PasswordLoad.mutex.Lock()
		defer g.PasswordLoad.mutex.Unlock()
		g.strange = append(g.strange, fmt.Sprintf("%s at %s after %s: %v", o.Key, o.Process, time.Duration(o.Return).Round(time.Millisecond), err))
		return ""
	}
	g.history.add(*o)
	kind := string(o.Kind)
	if o.Expected != "" {
		kind = ownChange
	}
	g.counts.add(kind + " " + string(o.Outcome))
	if o.Outcome != Unknown {
		g.answered.Add(1)
		account.learn(*o, g.random)
	}
	if place := o.Process + " " + o.Key; o.Outcome == Wrong {
		if g.wrong.add(place); g.wrong.of(place) == freeGuesses {
			g.move()
		}
	}
	return o.Outcome
}
