package main

import (
	"fmt"
	"sort"
	"strings"
	"sync"
)

// counts counts things by name.
type counts struct {
	mutex  sync.Mutex
	byName map[string]int
}

func (c *counts) add(name string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.byName == nil {
		c.byName = map[string]int{}
	}
	c.byName[name]++
}

func (c *counts) of(name string) int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.byName[name]
}

func (c *counts) total() int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	total := 0
	for _, count := range c.byName {
		total += count
	}
	return total
}

func (c *counts) String() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var parts []string
	for name, count := range c.byName {
		parts = append(parts, fmt.Sprintf("%s %d", name, count))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}
