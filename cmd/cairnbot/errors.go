package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// Exit codes, which are certbot's.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is a command line that cannot be understood.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }

func withHint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// missing says which option would have answered a question that nobody is there to answer.
func missing(option, question string) error {
	return withHint(fmt.Errorf("missing command line flag for this setting: %s", question), "give it with %s", option)
}

// report writes err to w, for a person: what failed, and what to do.
func report(w io.Writer, err error, logFile string) int {
	var usage *usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(w, "usage: cairnbot VERB [options]\ncairnbot: error: %s\ncairnbot: hint: cairnbot --help shows the verbs and options\n", usage)
		return exitUsage
	}
	fmt.Fprintf(w, "cairnbot: error: %s\n", describe(err))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(w, "cairnbot: hint: %s\n", hint)
	}
	if logFile != "" {
		fmt.Fprintf(w, "See the logfile %s or re-run with -v for more details.\n", logFile)
	}
	return exitFailed
}

// describe shows err with all that the CA said, each subproblem on its own lines.
func describe(err error) string {
	var problem *acme.Problem
	if !errors.As(err, &problem) || len(problem.Subproblems) == 0 {
		return oneLine(err.Error())
	}
	var b strings.Builder
	first := *problem
	first.Subproblems = nil
	b.WriteString(strings.Replace(oneLine(err.Error()), problem.Error(), first.Error(), 1))
	for _, sub := range problem.Subproblems {
		b.WriteString("\n")
		block(&b, sub)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// oneLine keeps a joined error from looking like several messages.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", "; ") }

// block writes one problem the way scripts look for it.
func block(w io.Writer, p *acme.Problem) {
	if p.Identifier != nil {
		fmt.Fprintf(w, "  Domain: %s\n", p.Identifier.Value)
	}
	fmt.Fprintf(w, "  Type:   %s\n  Detail: %s\n", p.Type.Name(), p.Detail)
}

// authorizationReport writes what the CA found wrong with each name, the way scripts look for it.
func authorizationReport(w io.Writer, e *renew.AuthorizationError, how method) {
	fmt.Fprintf(w, "\nCertbot failed to authenticate some domains (authenticator: %s). The Certificate Authority reported these problems:\n", how.name)
	for _, failure := range e.Failures {
		problem := failure.Problem.About(failure.Identifier)
		block(w, problem)
		for _, sub := range problem.Subproblems {
			block(w, sub)
		}
		fmt.Fprintln(w)
	}
}
