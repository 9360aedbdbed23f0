package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sort"
	"sync"
)

// History collects operations of many clients.
type History struct {
	mutex sync.Mutex
	byKey map[string][]Operation
}

func (h *History) add(o Operation) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.byKey == nil {
		h.byKey = map[string][]Operation{}
	}
	h.byKey[o.Key] = append(h.byKey[o.Key], o)
}

// of returns the operations of some keys in the order of their calls.
func (h *History) of(keys []string) []Operation {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	return h.sorted(keys)
}

// take removes the operations of some keys and returns them in the order of their calls.
func (h *History) take(keys []string) []Operation {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	taken := h.sorted(keys)
	for _, key := range keys {
		delete(h.byKey, key)
	}
	return taken
}

func (h *History) sorted(keys []string) []Operation {
	var found []Operation
	for _, key := range keys {
		found = append(found, h.byKey[key]...)
	}
	sort.Slice(found, func(a, b int) bool { return found[a].Call < found[b].Call })
	return found
}

// writeHistory appends operations to a file, one JSON object a line.
func writeHistory(path string, history []Operation) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	for _, operation := range history {
		if err := encoder.Encode(operation); err != nil {
			break
		}
	}
	if err := buffer.Flush(); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// readHistory reads what writeHistory wrote.
func readHistory(path string) ([]Operation, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var history []Operation
	decoder := json.NewDecoder(file)
	for decoder.More() {
		var operation Operation
		if err := decoder.Decode(&operation); err != nil {
			return nil, err
		}
		history = append(history, operation)
	}
	return history, nil
}
