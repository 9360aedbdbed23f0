package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// at is an operation of a client on the key "k" that took from call to end.
func at(client int, call, end int64, o Operation) Operation {
	o.Client, o.Key, o.Call, o.Return = client, "k", call, end
	return o
}

func put(value string) Operation  { return Operation{Kind: Put, Value: value, Outcome: Done} }
func read(value string) Operation { return Operation{Kind: Get, Outcome: Done, Found: value} }
func gone() Operation             { return Operation{Kind: Get, Outcome: Absent} }
func remove() Operation           { return Operation{Kind: Delete, Outcome: Done} }
func create(value string) Operation {
	return Operation{Kind: Create, Value: value, Outcome: Done}
}
func replace(old, value string) Operation {
	return Operation{Kind: Replace, Expected: old, Value: value, Outcome: Done}
}
func unanswered(o Operation) Operation {
	o.Outcome, o.Found = Unknown, ""
	return o
}
func refused(o Operation, current string) Operation {
	o.Outcome, o.Found = Refused, current
	return o
}

func TestHistoriesThatCouldHaveHappenedPass(t *testing.T) {
	for name, history := range map[string][]Operation{
		"nothing": nil,
		"one after another": {
			at(0, 0, 1, gone()), at(0, 2, 3, put("a")), at(1, 4, 5, read("a")), at(1, 6, 7, remove()), at(0, 8, 9, gone()),
		},
		"a read beside a write sees either": {
			at(0, 0, 10, put("a")), at(1, 1, 2, gone()), at(1, 3, 4, read("a")), at(2, 5, 6, read("a")),
		},
		"a write without an answer may have happened": {
			at(0, 0, 1, put("a")), at(0, 2, 3, unanswered(put("b"))), at(1, 4, 5, read("b")),
		},
		"or not":             {at(0, 0, 1, put("a")), at(0, 2, 3, unanswered(put("b"))), at(1, 4, 5, read("a"))},
		"or later":           {at(0, 0, 1, unanswered(put("b"))), at(1, 4, 5, gone()), at(1, 6, 7, read("b"))},
		"a lost answer read": {at(0, 0, 1, put("a")), at(1, 2, 3, unanswered(read("")))},
		"one of two creates wins": {
			at(0, 0, 5, create("a")), at(1, 0, 5, refused(create("b"), "a")), at(0, 6, 7, read("a")),
		},
		"a replacement whose condition no longer holds is refused": {
			at(0, 0, 1, put("a")), at(0, 2, 3, replace("a", "b")), at(1, 4, 5, refused(replace("a", "c"), "b")),
		},
		"a delete without an answer, then a create": {
			at(0, 0, 1, put("a")), at(0, 2, 3, unanswered(remove())), at(1, 4, 5, create("b")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			if verdict := check(tag, history, time.Minute, t.TempDir()); len(verdict.Violations)+len(verdict.Undecided) > 0 {
				t.Fatalf("refused: %+v", verdict)
			}
		})
	}
}

func TestHistoriesThatCannotHaveHappenedAreRefused(t *testing.T) {
	for name, history := range map[string][]Operation{
		"a stale read":                   {at(0, 0, 1, put("a")), at(0, 2, 3, put("b")), at(1, 4, 5, read("a"))},
		"a write that nobody finds":      {at(0, 0, 1, put("a")), at(1, 2, 3, gone())},
		"a value that nobody wrote":      {at(0, 0, 1, put("a")), at(1, 2, 3, read("b"))},
		"a deleted tag that stays":       {at(0, 0, 1, put("a")), at(0, 2, 3, remove()), at(1, 4, 5, read("a"))},
		"a delete of what was not there": {at(0, 0, 1, remove())},
		"a lost update": {
			at(0, 0, 1, put("a")), at(0, 2, 5, replace("a", "b")), at(1, 6, 7, replace("a", "c")), at(0, 8, 9, read("c")),
		},
		"both of two creates win":      {at(0, 0, 5, create("a")), at(1, 0, 5, create("b"))},
		"both of two replacements win": {at(2, 0, 1, put("x")), at(0, 2, 5, replace("x", "a")), at(1, 2, 5, replace("x", "b"))},
		"a write that was lost comes back": {
			at(0, 0, 1, put("a")), at(0, 2, 3, put("b")), at(1, 4, 5, read("a")), at(1, 6, 7, read("b")),
		},
		"reads go back in time": {
			at(0, 0, 20, put("a")), at(1, 1, 2, read("a")), at(2, 3, 4, gone()),
		},
		"a refused create that happened": {at(0, 0, 1, refused(create("a"), "a"))},
		"a refusal that names an old digest": {
			at(0, 0, 1, put("a")), at(0, 2, 3, put("b")), at(1, 4, 5, refused(create("c"), "a")),
		},
		"a refusal although the condition holds": {at(0, 0, 1, put("a")), at(0, 2, 3, refused(replace("a", "b"), "a"))},
		"a write without an answer happens twice": {
			at(0, 0, 1, unanswered(put("b"))), at(1, 2, 3, read("b")), at(1, 4, 5, put("a")), at(1, 6, 7, read("b")),
		},
		"a delete done twice by one request": {
			at(0, 0, 1, put("a")), at(0, 2, 3, Operation{Kind: Delete, Outcome: Absent}), at(1, 4, 5, gone()),
		},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			verdict := check(tag, history, time.Minute, directory)
			if len(verdict.Violations) != 1 {
				t.Fatalf("not refused: %+v", verdict)
			}
			if picture, err := os.Stat(filepath.Join(directory, "violation-k.html")); err != nil || picture.Size() == 0 {
				t.Fatalf("no picture: %v", err)
			}
			again, err := readHistory(filepath.Join(directory, "violation-k.jsonl"))
			if err != nil || len(check(tag, again, time.Minute, t.TempDir()).Violations) != 1 {
				t.Fatalf("the written history is not the same: %v", err)
			}
		})
	}
}

func TestOneWrongKeyAmongManyIsFound(t *testing.T) {
	var history []Operation
	for key := 0; key < 20; key++ {
		for n := int64(0); n < 50; n++ {
			value := string(rune('a' + n%20))
			write, look := at(0, n*10, n*10+3, put(value)), at(1, n*10+4, n*10+6, read(value))
			if key == 7 && n == 49 {
				look.Found = "z"
			}
			for _, operation := range []Operation{write, look} {
				operation.Key = string(rune('A' + key))
				history = append(history, operation)
			}
		}
	}
	verdict := check(tag, history, time.Minute, t.TempDir())
	if len(verdict.Violations) != 1 || verdict.Keys != 20 || verdict.Operations != 2000 {
		t.Fatalf("%+v", verdict)
	}
}

func TestAnAnswerThatSaysNotNowIsOfUnknownOutcomeAndAnyOtherFailureIsAFault(t *testing.T) {
	for _, status := range []int{429, 503, 507} {
		o := Operation{Kind: Put}
		if err := o.learn(answer{status: status}); err != nil || o.Outcome != Unknown {
			t.Errorf("%d: %v, outcome %q", status, err, o.Outcome)
		}
	}
	for _, status := range []int{500, 501, 502, 504} {
		o := Operation{Kind: Put}
		if err := o.learn(answer{status: status}); err == nil {
			t.Errorf("%d is taken for an answer", status)
		}
	}
}
