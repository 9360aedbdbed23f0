package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

func change(value string) Operation  { return Operation{Kind: Change, Value: value, Outcome: Done} }
func right(value string) Operation   { return Operation{Kind: Try, Value: value, Outcome: Done} }
func mistake(value string) Operation { return Operation{Kind: Try, Value: value, Outcome: Wrong} }

// own is a change by the user himself, with a password that he takes for his.
func own(with, value string) Operation {
	return Operation{Kind: Change, Expected: with, Value: value, Outcome: Done}
}
func denied(o Operation) Operation {
	o.Outcome = Wrong
	return o
}

func TestPasswordsThatCouldHaveBeenSoPass(t *testing.T) {
	for name, history := range map[string][]Operation{
		"one after another": {
			at(0, 0, 1, change("a")), at(1, 2, 3, right("a")), at(0, 4, 5, change("b")), at(1, 6, 7, mistake("a")), at(1, 8, 9, right("b")),
		},
		"before the account is made nothing is right": {at(0, 0, 1, mistake("a")), at(0, 2, 3, change("a"))},
		"beside a change either is right, the new one first as well": {
			at(0, 0, 1, change("a")), at(0, 2, 9, change("b")), at(1, 3, 4, right("a")), at(2, 5, 8, right("b")), at(3, 6, 7, mistake("b")),
		},
		"a try that began before the acknowledgement may be right with the old one": {
			at(0, 0, 1, change("a")), at(0, 2, 5, change("b")), at(1, 4, 9, right("a")), at(2, 7, 8, right("b")),
		},
		"and wrong with the new one": {
			at(0, 0, 1, change("a")), at(0, 2, 5, change("b")), at(1, 4, 9, mistake("b")),
		},
		"a change without an answer may have happened": {
			at(0, 0, 1, change("a")), at(0, 2, 3, unanswered(change("b"))), at(1, 4, 5, right("b")), at(1, 6, 7, mistake("a")),
		},
		"or not": {at(0, 0, 1, change("a")), at(0, 2, 3, unanswered(change("b"))), at(1, 4, 5, right("a")), at(1, 6, 7, mistake("b"))},
		"or later, over one that was acknowledged meanwhile": {
			at(0, 0, 1, unanswered(change("b"))), at(0, 2, 3, change("c")), at(1, 4, 5, right("c")), at(1, 6, 7, right("b")), at(1, 8, 9, mistake("c")),
		},
		"a lost answer to a try says nothing": {at(0, 0, 1, change("a")), at(1, 2, 3, unanswered(right("b")))},
		"an old one that was given again is right again": {
			at(0, 0, 1, change("a")), at(0, 2, 3, change("b")), at(0, 4, 5, change("a")), at(1, 6, 7, right("a")), at(1, 8, 9, mistake("b")),
		},
		"of two changes at once either stays": {
			at(0, 0, 5, change("a")), at(1, 0, 5, change("b")), at(2, 6, 7, right("a")), at(2, 8, 9, mistake("b")),
		},
		"a user changes his own": {
			at(0, 0, 1, change("a")), at(1, 2, 3, own("a", "b")), at(1, 4, 5, right("b")), at(2, 6, 7, denied(own("a", "c"))), at(1, 8, 9, right("b")),
		},
		"a user changes his own beside an administrator": {
			at(0, 0, 1, change("a")), at(1, 2, 9, own("a", "b")), at(0, 3, 8, change("c")), at(2, 10, 11, right("c")),
		},
		"a change of his own without an answer comes too late": {
			at(0, 0, 1, change("a")), at(1, 2, 3, unanswered(own("a", "b"))), at(0, 4, 5, change("c")), at(2, 6, 7, right("c")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if verdict := check(password, history, time.Minute, t.TempDir()); len(verdict.Violations)+len(verdict.Undecided) > 0 {
				t.Fatalf("refused: %+v", verdict)
			}
		})
	}
}

func TestPasswordsThatCannotHaveBeenSoAreRefused(t *testing.T) {
	for name, history := range map[string][]Operation{
		"the old one after an acknowledged change":      {at(0, 0, 1, change("a")), at(0, 2, 3, change("b")), at(1, 4, 5, right("a"))},
		"the new one refused after the acknowledgement": {at(0, 0, 1, change("a")), at(0, 2, 3, change("b")), at(1, 4, 5, mistake("b"))},
		"one that nobody set":                           {at(0, 0, 1, change("a")), at(1, 2, 3, right("b"))},
		"one that is right although nothing changes it, and then wrong": {
			at(0, 0, 1, change("a")), at(1, 2, 3, right("a")), at(2, 4, 5, mistake("a")),
		},
		"the old one after the new one was seen, beside the change": {
			at(0, 0, 1, change("a")), at(0, 2, 9, change("b")), at(1, 3, 4, right("b")), at(2, 5, 6, right("a")),
		},
		"the old one after it was refused beside the change": {
			at(0, 0, 1, change("a")), at(0, 2, 9, change("b")), at(1, 3, 4, mistake("a")), at(2, 5, 6, right("a")),
		},
		"a change without an answer that happens twice": {
			at(0, 0, 1, unanswered(change("b"))), at(1, 2, 3, right("b")), at(0, 4, 5, change("a")), at(1, 6, 7, right("b")),
		},
		"the same one set again is refused in between": {
			at(0, 0, 1, change("a")), at(0, 2, 9, change("a")), at(1, 3, 4, mistake("a")),
		},
		"a change of his own with an old one": {
			at(0, 0, 1, change("a")), at(0, 2, 3, change("b")), at(1, 4, 5, own("a", "c")),
		},
		"a change of his own with an old one that happens without an answer": {
			at(0, 0, 1, change("a")), at(0, 2, 3, change("b")), at(1, 4, 5, unanswered(own("a", "c"))), at(1, 6, 7, right("c")),
		},
		"a change of his own that is refused with the right one": {
			at(0, 0, 1, change("a")), at(1, 2, 3, denied(own("a", "b"))),
		},
		"both of two changes of his own with the same one": {
			at(0, 0, 1, change("a")), at(1, 2, 9, own("a", "b")), at(2, 2, 9, own("a", "c")),
		},
		"an account that is lost": {
			at(0, 0, 1, change("a")), at(1, 2, 3, right("a")), at(1, 4, 5, mistake("a")), at(2, 6, 7, mistake("a")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if verdict := check(password, history, time.Minute, t.TempDir()); len(verdict.Violations) != 1 {
				t.Fatalf("not refused: %+v", verdict)
			}
		})
	}
}

func TestWhatNobodyHeardOfIsFoundOut(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	account := &Account{Name: "a", begun: []string{"first", "lost"}, known: "first"}
	for tries := 0; account.now() != "lost"; tries++ {
		if tries == 100 {
			t.Fatal("it is never believed in")
		}
		account.learn(mistake(account.now()), random)
	}
	account.learn(mistake("first"), random)
	if account.now() != "lost" {
		t.Fatal("a wrong try of another password says nothing of this one")
	}
}
