package acme

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// typeBlank says that the HTTP status says it all (RFC 7807 §4.2).
const typeBlank ProblemType = "about:blank"

const (
	maxDetail      = 4096 // characters of a detail that are kept
	maxSubproblems = 200  // more than an order has names
)

// problem makes the *Problem that an answer of 4xx or 5xx stands for. Answers
// that are not problem documents, as proxies give, have the type "about:blank".
func (a *answer) problem(request *http.Request) *Problem {
	p := new(Problem)
	if a.expect(MediaProblem) != nil || json.Unmarshal(a.body, p) != nil {
		p = &Problem{Type: typeBlank, Detail: fmt.Sprintf("%s answered %d %s without saying why",
			request.URL, a.status, http.StatusText(a.status))}
	}
	if p.Type == "" {
		p.Type = typeBlank // RFC 7807 §3.1
	}
	p.clean()
	p.Status = a.status // what was sent counts, not what the document says
	p.Location = a.location()
	p.RetryAfter = a.retryAfter()
	return p
}

// clean bounds what a server wrote, and takes out what could control a terminal.
func (p *Problem) clean() {
	p.Type = ProblemType(printable(string(p.Type)))
	p.Detail, p.Instance = printable(p.Detail), printable(p.Instance)
	if p.Identifier != nil {
		p.Identifier.Type = IdentifierType(printable(string(p.Identifier.Type)))
		p.Identifier.Value = printable(p.Identifier.Value)
	}
	if len(p.Subproblems) > maxSubproblems {
		p.Subproblems = p.Subproblems[:maxSubproblems]
	}
	kept := p.Subproblems[:0]
	for _, sub := range p.Subproblems {
		if sub != nil {
			sub.Subproblems = nil // RFC 8555 §6.7.1 knows one level
			sub.clean()
			kept = append(kept, sub)
		}
	}
	p.Subproblems = kept
}

// printable replaces control characters, and shortens text that nobody would read.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	if runes := []rune(text); len(runes) > maxDetail {
		return string(runes[:maxDetail]) + "…"
	}
	return text
}

// maxRetryAfter keeps a date far in the future from overflowing; nobody waits that long.
const maxRetryAfter = 366 * 24 * time.Hour

// parseRetryAfter reads the two forms of a Retry-After header (RFC 9110 §10.2.3). What cannot be read is 0.
func parseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil || !date.After(now) {
		return 0
	}
	return min(date.Sub(now), maxRetryAfter)
}

// passing reports whether the same request may well succeed a little later.
func passing(err error) bool {
	var problem *Problem
	if errors.As(err, &problem) {
		return problem.Status >= 500 || problem.Status == http.StatusTooManyRequests
	}
	// A name that cannot be resolved, and a certificate that is not trusted, stay so.
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup.IsTemporary || lookup.IsTimeout
	}
	// Connections that are refused, reset or cut off, and answers that do not come, come and go.
	var network *net.OpError
	var slow net.Error
	return errors.As(err, &network) || errors.As(err, &slow) && slow.Timeout() ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

const (
	maxTries  = 3                // of a request that may be repeated without harm
	firstWait = time.Second      // before the second try; doubled for the third
	longWait  = 10 * time.Second // who is asked to wait longer had better be told
)

// retry runs a request that changes nothing until it succeeds, up to three times.
func (c *Client) retry(ctx context.Context, do func() error) error {
	wait := firstWait
	for try := 1; ; try++ {
		err := do()
		if err == nil || try >= c.config.Tries || !passing(err) {
			return err
		}
		var problem *Problem
		if errors.As(err, &problem) && problem.RetryAfter > 0 {
			wait = problem.RetryAfter
		}
		if wait > longWait || sleep(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
