package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/command"
	"github.com/cairn-ca/cairn/internal/bot/dns/responder"
	"github.com/cairn-ca/cairn/internal/bot/renew"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// Exit codes, which are certbot's.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// usagef makes the error of a command line that cannot be understood.
func usagef(format string, args ...any) error { return command.Usagef(format, args...) }

// phrase is an error in certbot's spelling, because scripts look for it.
type phrase string

func (p phrase) Error() string { return string(p) }

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

// end reports the outcome of a run, and gives the exit code.
func (a *app) end(err error) int {
	if a.json {
		a.printJSON(err)
	}
	if err == nil {
		return exitOK
	}
	var usage *command.UsageError
	if errors.As(err, &usage) {
		fmt.Fprintf(a.err, "usage: %[1]s %[3]s\n%[1]s: error: %[2]s\n%[1]s: hint: %[4]s%[1]s --help shows the verbs and options\n",
			a.name, usage, helpUsage, strayWord(usage.Error()))
		return exitUsage
	}
	if isUnexpected(err) {
		fmt.Fprintln(a.err, "An unexpected error occurred:") // as scripts know it
	}
	fmt.Fprintf(a.err, "%s: error: %s\n", a.name, describe(err))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(a.err, "%s: hint: %s\n", a.name, hint)
	}
	if a.debug {
		trace(a.err, err)
	}
	var plain phrase
	if a.logFile != "" && !a.quiet && !errors.As(err, &plain) { // -q wants no advice, and what was said in one phrase needs none
		fmt.Fprintf(a.err, "See the logfile %s or re-run %s with -v for more details.\n", a.logFile, title(a.name))
	}
	return exitFailed
}

// strayWord says what a word that is no option may have been meant as.
func strayWord(usage string) string {
	word, ok := strings.CutPrefix(usage, "unrecognized arguments: ")
	if !ok || strings.HasPrefix(word, "-") {
		return ""
	}
	return fmt.Sprintf("%s is no verb; names for a certificate are given with -d, one that exists with --cert-name; ", word)
}

// isUnexpected reports whether something else than we, our files or the proof is at fault: the CA, or the way to it.
func isUnexpected(err error) bool {
	var challenge *challengeError
	var problem *acme.Problem
	var network net.Error
	var file *fs.PathError
	return !errors.As(err, &challenge) && (errors.As(err, &problem) || errors.As(err, &network) && !errors.As(err, &file)) // an Errno is a net.Error, also about files
}

// trace shows what an error is made of, for --debug: where one stands in another, it was met there.
func trace(w io.Writer, err error) {
	for depth := 1; err != nil && depth < 50; depth++ {
		fmt.Fprintf(w, "%*s%T: %s\n", 2*depth, "", err, oneLine(err.Error()))
		switch wrapped := err.(type) {
		case interface{ Unwrap() error }:
			err = wrapped.Unwrap()
		case interface{ Unwrap() []error }:
			for _, part := range wrapped.Unwrap() {
				trace(w, part)
			}
			return
		default:
			return
		}
	}
}

// title is the name of a program in a sentence: scripts look for "re-run Certbot with -v".
func title(name string) string {
	if name == ownName {
		return name
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// describe shows err with all that the CA said, each subproblem on its own lines.
func describe(err error) string {
	var challenge *challengeError
	if errors.As(err, &challenge) {
		return challenge.Error()
	}
	var unasked *ask.MissingError
	if errors.As(err, &unasked) {
		return unasked.Error() // several lines, as scripts know them
	}
	var plain phrase
	if errors.As(err, &plain) && err.Error() == plain.Error() {
		return plain.Error() // lines and all, as scripts know it
	}
	var problem *acme.Problem
	if !errors.As(err, &problem) || len(problem.Subproblems) == 0 {
		return oneLine(err.Error())
	}
	var b strings.Builder
	first := acme.Problem{Type: problem.Type, Detail: problem.Detail}
	head := first.Error()
	if len(problem.Subproblems) == 1 && problem.Subproblems[0].Detail == problem.Detail {
		head = problem.Type.Name() // the detail is about to be shown
	}
	b.WriteString(strings.Replace(oneLine(err.Error()), problem.Error(), head, 1))
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
		// The word was the first until certbot 5.2, and is the second since. Scripts look for either, as in certificates.
		fmt.Fprintf(w, "  Domain: %[1]s\n  Identifier: %[1]s\n", p.Identifier.Value)
	}
	fmt.Fprintf(w, "  Type:   %s\n  Detail: %s\n", p.Type.Name(), p.Detail)
}

// explainServer adds what can be done about errors of the CA, and of the way to it.
func (a *app) explainServer(err error, s *settings) error {
	var authorization *renew.AuthorizationError
	var problem *acme.Problem
	var unanswered *renew.NoChallengeError
	var untrusted *tls.CertificateVerificationError
	var lookup *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &authorization):
		return &challengeError{authorization, s.method(), a.name}
	case errors.As(err, &unanswered) && unanswered.Wildcard:
		return withHint(err, "names with a \"*\" are proven by the DNS alone: use --dns PROVIDER (see --help dns), or --manual --preferred-challenges dns")
	case errors.As(err, &unanswered):
		return withHint(err, "choose another method: --standalone and --webroot -w DIR prove control by HTTP, --dns PROVIDER by the DNS")
	case errors.As(err, &problem) && !errors.Is(err, acme.ErrNoDirectory):
		return withHint(err, "%s", problemHint(problem, s))
	case errors.As(err, &untrusted):
		return withHint(err, "if %s is a CA of your own, give its root certificate with --ca-bundle FILE", s.params.Server)
	case errors.Is(err, acme.ErrNotHTTPS) && strings.HasPrefix(s.params.Server, "http://"):
		return withHint(err, "is it https://%s? Where the server really has no TLS, as some for tests, --no-verify-ssl says that this is all right", strings.TrimPrefix(s.params.Server, "http://"))
	case !strings.Contains(s.params.Server, "://"), errors.Is(err, acme.ErrNotHTTPS), errors.Is(err, acme.ErrNoDirectory):
		return withHint(err, "--server takes the URL of the CA's directory, such as https://ca.internal:8443/directory")
	case errors.Is(err, http.ErrSchemeMismatch):
		return withHint(err, "what listens there does not speak TLS: is the port of --server %s right?", s.params.Server)
	case errors.As(err, &lookup), errors.Is(err, syscall.ECONNREFUSED):
		return withHint(err, "is --server %s right, and can this machine reach it?", s.params.Server)
	case errors.Is(err, solve.ErrPortTaken):
		return withHint(err, "stop that program and try again, or let it answer for us with --webroot -w DIR")
	case errors.Is(err, responder.ErrPortTaken):
		return withHint(err, "let our name server listen on another address of this machine, with --dns-responder-address ADDRESS")
	case errors.Is(err, responder.ErrPortForbidden):
		return withHint(err, "run it as root")
	case errors.Is(err, solve.ErrPortForbidden):
		return withHint(err, "run it as root, or use --webroot -w DIR")
	}
	return a.explainDNS(err)
}

// problemHint says what to do about an error of the CA, or nothing.
func problemHint(p *acme.Problem, s *settings) string {
	switch {
	case p.RetryAfter > 0:
		return fmt.Sprintf("the CA says to try again in %s", p.RetryAfter)
	case p.Type == acme.TypeUserActionRequired && p.Instance != "":
		return "visit " + p.Instance + " and follow what it says"
	case p.Type == acme.TypeAccountDoesNotExist:
		return fmt.Sprintf("%s does not know the account %s; if the CA was set up anew, remove that account's directory below accounts/",
			s.params.Server, s.params.Account)
	}
	return ""
}

// challengeError is an AuthorizationError, with how control was to be proven.
type challengeError struct {
	*renew.AuthorizationError
	method method
	who    string // what the program was called as
}

func (e *challengeError) Unwrap() error { return e.AuthorizationError }

// Error has one block for each name, the way scripts look for it.
func (e *challengeError) Error() string {
	var b strings.Builder
	if e.who != ownName {
		b.WriteString(title(e.who) + " ") // as scripts know it
	}
	fmt.Fprintf(&b, "failed to authenticate some domains (authenticator: %s). The Certificate Authority reported these problems:\n", e.method.name)
	for _, failure := range e.Failures {
		problem := failure.Problem.About(failure.Identifier)
		block(&b, problem)
		for _, sub := range problem.Subproblems {
			block(&b, sub)
		}
		b.WriteString("\n")
	}
	b.WriteString("Some challenges have failed.")
	return b.String()
}

// hint says what the CA must be able to do.
func (e *challengeError) hint() string {
	if isDNS(e.method.name) {
		return "the CA must find the TXT records at the servers of the zone: is it the provider's servers that the domain is delegated to, and do they need longer than was waited (--dns-propagation-seconds)?"
	}
	if e.method.name == "manual" {
		return "the CA must be able to see, from outside, what the --manual-auth-hook or you have set up: --debug-challenges -v waits and shows what it looks for"
	}
	if e.method.name == "webroot" {
		return "the CA must be able to fetch the files that were put below .well-known/acme-challenge in the webroot: is -w the directory that these names serve?"
	}
	return fmt.Sprintf("the CA must be able to reach port %d of this machine under these names: look at DNS, firewall and port forwarding", e.method.port)
}

// hintFor gives the hint that belongs to err, or "".
func hintFor(err error) string {
	var with *hinted
	var challenge *challengeError
	switch {
	case errors.As(err, &challenge):
		return challenge.hint()
	case errors.As(err, &with):
		return with.hint
	}
	return ""
}
