package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// Passwords is the mode that looks for histories of passwords that are not linearizable, and for accounts that are lost.
type Passwords struct {
	run  *Run
	load *PasswordLoad
	stop context.CancelFunc // of the whole run, on the first violation
}

func runPasswords(r *Run) error {
	cluster, err := r.begin("access.anonymous=nothing", "cluster.snapshot_entries=20")
	if err != nil {
		return err
	}
	defer r.down()
	if err := cluster.appoint(); err != nil {
		return err
	}
	if err := cluster.prepare(); err != nil {
		return err
	}
	paths, err := cluster.doors()
	if err != nil {
		return err
	}
	p := &Passwords{run: r, load: newPasswordLoad(cluster.Clients, r.form.accounts, paths)}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	defer p.stop()
	if _, err := p.load.nextEpoch(ctx); err != nil {
		return err
	}
	p.load.last(p.load.all, r.random(5)) // so that not everything that is asked first needs to be hashed
	var background sync.WaitGroup
	background.Add(2)
	var broken error // of the epochs
	go func() { defer background.Done(); p.load.run(ctx, r.seed) }()
	go func() { defer background.Done(); broken = p.epochs(ctx) }()
	record, nemeses, err := r.maltreat(ctx, cluster, r.form.passwords, p.load.answered.Load)
	if err != nil {
		return err
	}
	wait(ctx, time.Second)
	p.stop()
	background.Wait()
	return p.judge(cluster, record, nemeses, broken)
}

// doors are paths at which a password is judged, each in its own way: by who asks, by what he may have a token for, and
// by what he reads.
func (c *Cluster) doors() ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	content := smallManifest(0)
	read := manifestPath(repositories[0], digestOf(content))
	got, err := c.Clients[0].again(ctx, http.MethodPut, read, map[string]string{"Content-Type": manifestType}, content)
	if err == nil && got.status != http.StatusCreated {
		err = fmt.Errorf("PUT %s was answered %v", read, got)
	}
	return []string{"/v2/", "/v2/", "/token", read}, err
}

// epochs changes the accounts now and then and checks what was, so that a violation ends the run early.
func (p *Passwords) epochs(ctx context.Context) error {
	var checks sync.WaitGroup
	defer checks.Wait()
	for number := uint64(0); ; number++ {
		wait(ctx, p.run.form.epoch)
		if ctx.Err() != nil {
			return nil
		}
		old, err := p.load.nextEpoch(ctx)
		if err != nil && ctx.Err() == nil {
			p.stop()
			return err
		}
		checks.Add(1)
		go func() {
			defer checks.Done()
			p.load.last(old, p.run.random(number<<8|3))
			history := p.load.history.of(names(old))
			if verdict := check(password, history, checkPatience, filepath.Join(p.run.scratch, "early")); len(verdict.Violations) > 0 {
				p.stop()
			}
		}()
	}
}

func names(accounts []*Account) []string {
	var names []string
	for _, account := range accounts {
		names = append(names, account.Name)
	}
	return names
}

// judge looks at all accounts once more: what an epoch left must hold at the end, after all faults.
func (p *Passwords) judge(cluster *Cluster, record *Record, nemeses []Nemesis, broken error) error {
	r, load := p.run, p.load
	load.last(load.all, r.random(4))
	accounts := names(load.all)
	history := load.history.of(accounts)
	if err := writeHistory(filepath.Join(r.results, "history-passwords.jsonl"), history); err != nil {
		fmt.Fprintf(r.out, "the history is not written: %v\n", err)
	}
	verdict := check(password, history, checkPatience, r.results)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var lost []string
	for _, client := range cluster.Clients {
		missing, err := missingAccounts(ctx, client, accounts)
		if err != nil {
			missing = []string{err.Error()}
		}
		lost = append(lost, missing...)
	}
	fmt.Fprintf(r.out, "operations: %v\n%v", &load.counts, record)
	fmt.Fprintf(r.out, "checked: %d operations on %d accounts, from %d addresses\n", verdict.Operations, verdict.Keys, load.sources.Load())
	wrong := cluster.wrongVolumes()
	r.result.found += len(verdict.Violations) + len(lost) + len(wrong)
	r.result.check("no node finds that its own volume is wrong", wrong)
	r.result.check("the history of each password is linearizable", verdict.Violations)
	r.result.check("no account is lost", lost)
	r.result.check("every answer is one that a registry may give", load.strange)
	failed := record.failed
	if broken != nil {
		failed = append(failed, broken.Error())
	}
	r.result.check("the cluster recovers from each fault", failed)
	if r.result.found > 0 {
		return nil // a run that was cut short by what it found has done its work
	}
	invalid := append(record.judge(nemeses, r.form.passwords.Firings), p.tooFew(record, len(nemeses))...)
	for _, account := range verdict.Undecided {
		invalid = append(invalid, "the checker ran out of time on "+account)
	}
	r.result.valid(invalid)
	return nil
}

// tooFew says which of what shows anything happened too seldom. Of 200 operations are asked for ten acknowledged
// changes, fifty right and thirty wrong passwords, and ten old ones right after a change; of a run with faults, four.
func (p *Passwords) tooFew(record *Record, nemeses int) []string {
	var reasons []string
	useful := int(p.run.form.passwords.Useful)
	for name, least := range map[string]int{
		"change ok": useful / 20, "try ok": useful / 4, "try wrong": useful * 3 / 20, staleTry: useful / 20,
	} {
		if got := p.load.counts.of(name); got < least {
			reasons = append(reasons, fmt.Sprintf("%d times %s, %d are asked for", got, name, least))
		}
	}
	if got := record.fired.total(); nemeses > 0 && got < 4 {
		reasons = append(reasons, fmt.Sprintf("%d faults, 4 are asked for", got))
	}
	return reasons
}
