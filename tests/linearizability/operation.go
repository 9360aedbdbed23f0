package main

import (
	"fmt"
	"strings"
)

// Kind is what a client asked for.
type Kind string

const (
	Get     Kind = "get"
	Head    Kind = "head"
	Put     Kind = "put"
	Delete  Kind = "delete"
	Replace Kind = "put-if-match" // PUT with If-Match: "<Expected>"
	Create  Kind = "put-if-none"  // PUT with If-None-Match: *
	Change  Kind = "change"       // of the password of an account, to Value
	Try     Kind = "try"          // to log in to an account with the password Value
)

// Outcome is what the client learned.
type Outcome string

const (
	Done    Outcome = "ok"      // done; for a read, Found is the digest
	Absent  Outcome = "absent"  // 404
	Refused Outcome = "refused" // 412; Found is the current digest, or empty when there is none
	Wrong   Outcome = "wrong"   // 401: that is not the password
	Unknown Outcome = "unknown" // 503, no answer: it may have happened, now or later
)

// Operation is one line of a history. Times are nanoseconds of the driver's monotonic clock.
type Operation struct {
	Client   int     `json:"client"`
	Process  string  `json:"process"`
	Key      string  `json:"key"`
	Kind     Kind    `json:"kind"`
	Value    string  `json:"value,omitempty"`    // the digest that a PUT writes, or a password
	Expected string  `json:"expected,omitempty"` // the digest of If-Match, or the password of who changes his own
	Outcome  Outcome `json:"outcome"`
	Found    string  `json:"found,omitempty"`
	Call     int64   `json:"call"`
	Return   int64   `json:"return"`
	Path     string  `json:"path,omitempty"` // where a password was tried
	Note     string  `json:"note,omitempty"` // why the outcome is unknown
}

// Writes says whether the operation may change the tag or the password.
func (o Operation) Writes() bool { return o.Kind != Get && o.Kind != Head && o.Kind != Try }

func (o Operation) String() string {
	text := string(o.Kind)
	if o.Value != "" {
		text += " " + short(o.Value)
	}
	if o.Expected != "" {
		text += " over " + short(o.Expected)
	}
	text += fmt.Sprintf(" -> %s", o.Outcome)
	if o.Found != "" {
		text += " " + short(o.Found)
	}
	return text
}

// short makes a digest readable in a picture; a password is shown as it is.
func short(value string) string {
	if digest, is := strings.CutPrefix(value, "sha256:"); is && len(digest) > 8 {
		return digest[:8]
	}
	return value
}
