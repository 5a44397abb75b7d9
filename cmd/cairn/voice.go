package main

import (
	"errors"
	"fmt"
	"io"
)

// The program speaks as "cairn: error: what went wrong", and where there is
// something to do about it "cairn: hint: what to do". Data goes to stdout,
// everything else to stderr.

// hinted is an error with a remedy.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// withHint adds what to do about err; nil stays nil.
func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return hinted{err, fmt.Sprintf(format, args...)}
}

// noteNone says, where a list is empty, what it would have held: a program sees no line, a person why.
func noteNone(w io.Writer, count int, format string, args ...any) {
	if count == 0 {
		fmt.Fprintf(w, "cairn: note: "+format+"\n", args...)
	}
}

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// complain tells err to a person and returns the exit status that goes with it.
func complain(w io.Writer, err error) int {
	fmt.Fprintf(w, "cairn: error: %v\n", err)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "cairn: hint: %s\n", h.hint)
	}
	var u usageError
	if errors.As(err, &u) {
		return 2
	}
	return 1
}
