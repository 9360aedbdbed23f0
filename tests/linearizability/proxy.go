package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Network is what lies between the processes: a proxy for each ordered pair of a process and an index node that it
// dials. Each process's file is rewritten so that it dials its own proxies.
type Network struct {
	proxies map[string]map[string]*Proxy // by who dials, then by who is dialed
}

func newNetwork(c *Cluster) (*Network, error) {
	n := &Network{proxies: map[string]map[string]*Proxy{}}
	for _, from := range append(append([]string{}, c.Index...), c.Registries...) {
		n.proxies[from] = map[string]*Proxy{}
		table := "[cluster.addresses]\n"
		for _, to := range c.Index {
			address := c.listens[to]
			if from != to {
				proxy, err := newProxy(address)
				if err != nil {
					return nil, err
				}
				n.proxies[from][to] = proxy
				address = proxy.listener.Addr().String()
			}
			table += fmt.Sprintf("%q = %q\n", c.peers[to], address)
		}
		file := filepath.Join(c.directory, from+".toml")
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		before, _, found := strings.Cut(string(content), "[cluster.addresses]")
		if !found {
			return nil, fmt.Errorf("%s has no [cluster.addresses]", file)
		}
		if err := os.WriteFile(file, []byte(before+table), 0o644); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// cut stops bytes from `from` to `to`, whoever dialed: requests on what `from` dialed, answers on what `to` dialed.
func (n *Network) cut(from, to string) {
	if proxy := n.proxies[from][to]; proxy != nil {
		proxy.hold(forward)
	}
	if proxy := n.proxies[to][from]; proxy != nil {
		proxy.hold(backward)
	}
}

// separate cuts both ways between each of one side and each of the other.
func (n *Network) separate(one, other []string) {
	for _, a := range one {
		for _, b := range other {
			n.cut(a, b)
			n.cut(b, a)
		}
	}
}

// heal lets everything through. With `late`, what was sent before arrives after all; else its connections break.
func (n *Network) heal(late bool) {
	for _, proxies := range n.proxies {
		for _, proxy := range proxies {
			proxy.heal(late)
		}
	}
}

func (n *Network) close() {
	for _, proxies := range n.proxies {
		for _, proxy := range proxies {
			proxy.listener.Close()
			proxy.heal(false)
		}
	}
}

// Directions of a proxy.
const (
	forward  = 0 // from who dialed
	backward = 1
)

// Proxy passes the bytes of TCP connections on, or holds them back.
type Proxy struct {
	listener net.Listener
	target   string

	mutex   sync.Mutex
	changed *sync.Cond
	held    [2]bool
	open    map[net.Conn]bool
}

func newProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, target: target, open: map[net.Conn]bool{}}
	p.changed = sync.NewCond(&p.mutex)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(connection)
		}
	}()
	return p, nil
}

// serve connects to the target. While anything is held, a new connection gets no further: its handshake is lost.
func (p *Proxy) serve(near net.Conn) {
	p.note(near)
	defer p.shut(near)
	p.pass(forward)
	p.pass(backward)
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	p.note(far)
	defer p.shut(far)
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); p.pump(near, far, forward) }()
	go func() { defer both.Done(); p.pump(far, near, backward) }()
	both.Wait()
}

func (p *Proxy) note(connection net.Conn) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.open[connection] = true
}

func (p *Proxy) shut(connection net.Conn) {
	connection.Close()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.open, connection)
}

// pump passes bytes on until either end is closed, which closes the other.
func (p *Proxy) pump(from, to net.Conn, direction int) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		count, err := from.Read(buffer)
		p.pass(direction)
		if count > 0 {
			if _, err := to.Write(buffer[:count]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits until bytes may go that way.
func (p *Proxy) pass(direction int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for p.held[direction] {
		p.changed.Wait()
	}
}

func (p *Proxy) hold(direction int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.held[direction] = true
}

func (p *Proxy) heal(late bool) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if (p.held[forward] || p.held[backward]) && !late {
		for connection := range p.open {
			connection.Close()
		}
	}
	p.held = [2]bool{}
	p.changed.Broadcast()
}
