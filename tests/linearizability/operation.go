package main

import "fmt"

// Kind is what a client asked for.
type Kind string

const (
	Get     Kind = "get"
	Head    Kind = "head"
	Put     Kind = "put"
	Delete  Kind = "delete"
	Replace Kind = "put-if-match" // PUT with If-Match: "<Expected>"
	Create  Kind = "put-if-none"  // PUT with If-None-Match: *
)

// Outcome is what the client learned.
type Outcome string

const (
	Done    Outcome = "ok"      // done; for a read, Found is the digest
	Absent  Outcome = "absent"  // 404
	Refused Outcome = "refused" // 412; Found is the current digest, or empty when there is none
	Unknown Outcome = "unknown" // 503, no answer: it may have happened, now or later
)

// Operation is one line of a history. Times are nanoseconds of the driver's monotonic clock.
type Operation struct {
	Client   int     `json:"client"`
	Process  string  `json:"process"`
	Key      string  `json:"key"`
	Kind     Kind    `json:"kind"`
	Value    string  `json:"value,omitempty"`    // the digest that a PUT writes
	Expected string  `json:"expected,omitempty"` // the digest of If-Match
	Outcome  Outcome `json:"outcome"`
	Found    string  `json:"found,omitempty"`
	Call     int64   `json:"call"`
	Return   int64   `json:"return"`
	Note     string  `json:"note,omitempty"` // why the outcome is unknown
}

// Writes says whether the operation may change the tag.
func (o Operation) Writes() bool { return o.Kind != Get && o.Kind != Head }

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

// short makes a digest readable in a picture.
func short(digest string) string {
	const prefix = len("sha256:")
	if len(digest) > prefix+8 {
		return digest[prefix : prefix+8]
	}
	return digest
}
