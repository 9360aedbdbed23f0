package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Cluster is real processes with their files in one directory, as tests/local-cluster lays them out: NAME.toml,
// NAME.pid, NAME.log and NAME/.
type Cluster struct {
	Index      []string // names of the index nodes
	Registries []string
	Clients    []*Client // one for each registry process

	root      string // of the repository
	directory string
	binary    string
	single    bool
	peers     map[string]string // of each index node: the address by which others dial it
	listens   map[string]string // and where it really listens
	network   *Network          // what lies between the processes; none in a single process
}

// newCluster makes a cluster and starts it.
func newCluster(root, directory, binary string, nodes, registries int, settings []string) (*Cluster, error) {
	c := &Cluster{root: root, directory: directory, binary: binary, peers: map[string]string{}, listens: map[string]string{}}
	arguments := []string{"--nodes", strconv.Itoa(nodes), "--registries", strconv.Itoa(registries)}
	for _, setting := range settings {
		arguments = append(arguments, "--set", setting)
	}
	if err := c.script(nil, "make", arguments...); err != nil {
		return nil, err
	}
	if err := c.read(); err != nil {
		return nil, err
	}
	network, err := newNetwork(c)
	if err != nil {
		return nil, err
	}
	c.network = network
	if err := c.script(nil, "start", c.Index...); err != nil {
		return c, err
	}
	if err := until(20*time.Second, "the cluster begins", func() error { return c.script(nil, "init") }); err != nil {
		return c, err
	}
	return c, c.script(nil, "start", c.Registries...)
}

// read takes names and addresses from cluster.json.
func (c *Cluster) read() error {
	var known struct {
		Index    []struct{ Name, Peer, Listen string }
		Registry []struct{ Name, URL string }
	}
	content, err := os.ReadFile(filepath.Join(c.directory, "cluster.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, &known); err != nil {
		return err
	}
	for _, node := range known.Index {
		c.Index = append(c.Index, node.Name)
		c.peers[node.Name], c.listens[node.Name] = node.Peer, node.Listen
	}
	for _, registry := range known.Registry {
		c.Registries = append(c.Registries, registry.Name)
		c.Clients = append(c.Clients, newClient(registry.Name, registry.URL))
	}
	return nil
}

// script runs tests/local-cluster, with more variables in its environment if there are any.
func (c *Cluster) script(environment []string, verb string, arguments ...string) error {
	arguments = append([]string{verb, "--dir", c.directory}, arguments...)
	command := exec.Command(filepath.Join(c.root, "tests", "local-cluster"), arguments...)
	// The registry refuses variables of its own prefix that it does not know.
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ROADSTEAD_") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(append(command.Env, "BINARY="+c.binary), environment...)
	// Not our pipe: the processes that it starts would hold it open.
	output, err := os.CreateTemp(c.directory, "output-")
	if err != nil {
		return err
	}
	defer os.Remove(output.Name())
	defer output.Close()
	command.Stdout, command.Stderr = output, output
	if err := command.Run(); err != nil {
		said, _ := os.ReadFile(output.Name())
		return fmt.Errorf("local-cluster %s: %w: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(said))
	}
	return nil
}

// start starts a process again.
func (c *Cluster) start(name string, environment ...string) error {
	if c.single {
		return c.startSingle(environment)
	}
	return c.script(environment, "start", name)
}

// terminate ends a process by SIGTERM and waits for its end.
func (c *Cluster) terminate(name string) error {
	if err := c.signal(name, syscall.SIGTERM); err != nil {
		return err
	}
	return c.ended(name)
}

// kill ends a process at once.
func (c *Cluster) kill(name string) error {
	if err := c.signal(name, syscall.SIGKILL); err != nil {
		return err
	}
	return c.ended(name)
}

func (c *Cluster) signal(name string, signal syscall.Signal) error {
	pid, err := c.pid(name)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, signal)
}

func (c *Cluster) pid(name string) (int, error) {
	content, err := os.ReadFile(filepath.Join(c.directory, name+".pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

// ended waits until a process is gone, or waits for somebody to take note of its end.
func (c *Cluster) ended(name string) error {
	pid, err := c.pid(name)
	if err != nil {
		return err
	}
	return until(40*time.Second, name+" ends", func() error {
		if alive(pid) {
			return errors.New("it runs")
		}
		return nil
	})
}

// alive says whether a process holds anything yet. When its first thread has ended it looks ended, but its ports are
// held until the last one has.
func alive(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// "PID (name) STATE …": the name may hold anything.
	end := bytes.LastIndexByte(status, ')')
	if end < 0 || len(status) < end+3 || status[end+2] != 'Z' {
		return true
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err == nil && len(threads) > 1
}

// wipe removes everything that a node keeps.
func (c *Cluster) wipe(name string) error {
	data := filepath.Join(c.directory, name)
	if err := os.RemoveAll(data); err != nil {
		return err
	}
	return os.Mkdir(data, 0o755)
}

// admin runs `roadstead index …` as the administrator, and returns what it prints.
func (c *Cluster) admin(arguments ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	arguments = append(append([]string{"index"}, arguments...), "--config", filepath.Join(c.directory, "admin.toml"))
	command := exec.CommandContext(ctx, c.binary, arguments...)
	var said bytes.Buffer
	command.Stderr = &said
	output, err := command.Output()
	if err != nil {
		return output, fmt.Errorf("roadstead %s: %w: %s", strings.Join(arguments, " "), err, bytes.TrimSpace(said.Bytes()))
	}
	return output, nil
}

// Member is a line of `roadstead index status`.
type Member struct {
	ID      uint64
	Name    string
	Role    string
	Leads   bool
	Answers bool
	Applied *uint64
	End     *uint64
}

// node is the name of the process that the member is.
func (m Member) node() string { return strings.Split(m.Name, ":")[0] }

// members is the table of `roadstead index status`.
func (c *Cluster) members() ([]Member, error) {
	output, failed := c.admin("status", "--json") // it prints the table and fails when there is no leader
	var status struct{ Members []Member }
	if err := json.Unmarshal(output, &status); err != nil {
		return nil, errors.Join(failed, err)
	}
	return status.Members, nil
}

// leader is the name of the index node that leads.
func (c *Cluster) leader() (string, error) {
	if c.single {
		return c.Index[0], nil
	}
	found := ""
	err := until(20*time.Second, "somebody leads", func() error {
		members, err := c.members()
		for _, member := range members {
			if member.Leads {
				found = member.node()
				return nil
			}
		}
		return errors.Join(errors.New("nobody leads"), err)
	})
	return found, err
}

// wrongVolumes are the lines in which nodes say that their own volume is wrong: when they stop for it, and when they start.
func (c *Cluster) wrongVolumes() []string {
	var found []string
	for _, name := range c.Index {
		log, err := os.ReadFile(filepath.Join(c.directory, name+".log"))
		if err != nil {
			return []string{err.Error()}
		}
		for _, line := range strings.Split(string(log), "\n") {
			if strings.Contains(line, "volume must not be used any more") || strings.Contains(line, "volume was set aside") {
				found = append(found, name+": "+line)
			}
		}
	}
	return found
}

// down stops everything, paused or not.
func (c *Cluster) down() {
	for _, name := range append(append([]string{}, c.Registries...), c.Index...) {
		if pid, err := c.pid(name); err == nil && alive(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if c.network != nil {
		c.network.close()
	}
	if !c.single {
		_ = c.script(nil, "down")
	}
}

// until repeats a check until it passes.
func until(limit time.Duration, what string, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain until %s: %w", limit, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
