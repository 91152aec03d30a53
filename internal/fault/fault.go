// Package fault is the one error type of Waybill: what was being done, to what, why it
// failed, what to do next, and which class the failure is of. The class alone decides
// whether a run is tried again, waits, or stops for a person; main maps it to an exit code.
package fault

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Class says what the person or program that ran the command has to do about a failure.
type Class int

const (
	// Transient failures go away by themselves: run again.
	Transient Class = iota + 1
	// NotYet means that the other side has not delivered yet: wait, then check.
	NotYet
	// Poison stops a party until a person has acted; running again gives the same result.
	Poison
	// Held means that a bound on effects was reached: a person has to approve.
	Held
	// Usage is a wrong command line or configuration; nothing was attempted.
	Usage
)

// String returns the class as it appears everywhere: in logs, metrics, JSON output and on terminals.
func (c Class) String() string {
	switch c {
	case NotYet:
		return "not yet"
	case Poison:
		return "poison"
	case Held:
		return "held"
	case Usage:
		return "usage"
	default:
		return "transient"
	}
}

// MarshalText makes JSON hold the class as its name; "" if nothing is wrong.
func (c Class) MarshalText() ([]byte, error) {
	if c == 0 {
		return nil, nil
	}
	return []byte(c.String()), nil
}

// UnmarshalText reads what [Class.MarshalText] made.
func (c *Class) UnmarshalText(text []byte) error {
	if *c = 0; len(text) > 0 {
		*c = ParseClass(string(text))
	}
	return nil
}

// Error is a failure of one operation on one subject.
type Error struct {
	Op      string // what was being done: "publish", "load"
	Subject string // to what: "batch 42", a file's name; never patient data
	Class   Class
	Cause   error
	Hint    string // the next step, as an imperative; may be empty
}

// Error renders "op subject: cause". The hint is for people and is rendered by main.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		b.WriteString(" " + e.Subject)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New returns a failure of the given class. The cause may be nil if op and subject say enough.
func New(class Class, op, subject string, cause error, hint string) *Error {
	return &Error{Op: op, Subject: subject, Class: class, Cause: cause, Hint: hint}
}

// ClassOf returns the class of the outermost [Error] in err's chain. Anything unclassified,
// cancellation included, is [Transient]: every operation may safely be run again.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Transient
}

// HintOf returns the first hint in err's chain, or "".
func HintOf(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Cause
	}
	return ""
}

// ParseClass returns the class of that name: what [Class.String] made.
func ParseClass(name string) Class {
	for c := Transient; c <= Usage; c++ {
		if c.String() == name {
			return c
		}
	}
	return Transient
}

// Bare strips what the os package says about the operation and path: an [Error] says it better.
func Bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
