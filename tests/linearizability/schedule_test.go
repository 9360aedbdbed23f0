package main

import (
	"context"
	"testing"
	"time"
)

func TestACalmLastsUntilClientsHaveDoneEnoughAndNotForever(t *testing.T) {
	schedule := Schedule{Calm: time.Millisecond, Floor: 2000} // two operations in each calm
	for _, it := range []struct {
		name   string
		seen   []int64 // operations in all, each time that somebody looks
		looks  int
		enough bool
	}{
		{"they work", []int64{7, 9}, 2, true},
		{"a bad moment is made up for", []int64{7, 7, 8, 9}, 4, true},
		{"they do nothing", []int64{7, 7, 7, 7, 7, 8}, 6, false},
	} {
		looks := 0
		useful := func() int64 {
			looks++
			return it.seen[looks-1]
		}
		rate, enough := schedule.calm(context.Background(), useful)
		if enough != it.enough || looks != it.looks || rate <= 0 {
			t.Errorf("%s: enough %v after %d looks, at %f a second", it.name, enough, looks, rate)
		}
	}
}

func TestACalmEndsWithTheRun(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, enough := (Schedule{Calm: time.Hour}).calm(ctx, func() int64 { return 0 }); enough {
		t.Error("nothing was waited for")
	}
}
