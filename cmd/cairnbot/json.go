package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/command"
)

// document is what --json prints. Members are added, and never taken away, within one format.
type document struct {
	Format    int        `json:"format"` // 1
	Verb      string     `json:"verb"`
	OK        bool       `json:"ok"`
	Rehearsal bool       `json:"rehearsal,omitempty"` // --rehearse: nothing of it is real
	Error     *jsonError `json:"error,omitempty"`
	Result    any        `json:"result,omitempty"` // of the verb; see its own type
}

// jsonError is what went wrong.
type jsonError struct {
	Message string        `json:"message"`
	Hint    string        `json:"hint,omitempty"`    // what to do about it
	Usage   bool          `json:"usage"`             // the command line was not understood
	Problem *acme.Problem `json:"problem,omitempty"` // what the CA said (RFC 8555 §6.7)
	LogFile string        `json:"log_file,omitempty"`
}

// printJSON ends a run with the one document that --json asks for.
func (a *app) printJSON(err error) {
	d := document{Format: 1, Verb: a.verb, OK: err == nil, Rehearsal: a.options != nil && a.rehearse, Result: a.result}
	if err != nil {
		d.Error = a.jsonError(err)
	}
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(d); err != nil {
		fmt.Fprintf(a.err, "%s: error: writing the outcome: %v\n", a.name, err)
	}
}

func (a *app) jsonError(err error) *jsonError {
	var usage *command.UsageError
	var problem *acme.Problem
	errors.As(err, &problem)
	return &jsonError{Message: describe(err), Hint: hintFor(err), Usage: errors.As(err, &usage), Problem: problem, LogFile: a.logFile}
}
