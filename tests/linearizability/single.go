package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// theOne is the name of the process of a cluster that is a single registry.
const theOne = "single-1"

// newSingle starts a whole registry in one process: the baseline, with the same load and checker.
func newSingle(directory, binary string, settings []string) (*Cluster, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		Index: []string{theOne}, Registries: []string{theOne}, Clients: []*Client{newClient(theOne, "http://"+address)},
		directory: directory, binary: binary, single: true,
	}
	arguments := "--listen\n" + address + "\n--admin-listen\n127.0.0.1:0\n--data\n" + filepath.Join(directory, theOne)
	for _, setting := range settings {
		arguments += "\n--set\n" + setting
	}
	if err := os.WriteFile(filepath.Join(directory, "arguments"), []byte(arguments), 0o644); err != nil {
		return nil, err
	}
	return c, c.startSingle(nil)
}

// startSingle starts the process and leaves it to itself.
func (c *Cluster) startSingle(environment []string) error {
	arguments, err := os.ReadFile(filepath.Join(c.directory, "arguments"))
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.directory, theOne+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(c.binary, append([]string{"serve"}, strings.Split(string(arguments), "\n")...)...)
	command.Stdout, command.Stderr = log, log
	command.Env = append(os.Environ(), environment...)
	if err := command.Start(); err != nil {
		return err
	}
	go func() { _ = command.Wait() }() // take note of its end, whenever that is
	pid := fmt.Sprintln(command.Process.Pid)
	if err := os.WriteFile(filepath.Join(c.directory, theOne+".pid"), []byte(pid), 0o644); err != nil {
		return err
	}
	time.Sleep(50 * time.Millisecond)
	return nil
}

// freeAddress is one that stays free while the process is down: connections of others are made from ports above.
func freeAddress() (string, error) {
	for {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", err
		}
		return listener.Addr().String(), listener.Close()
	}
}
