package front

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// count counts a request that was answered.
func (f *Front) count(v *visit, answer reply, problem *acme.Problem, took time.Duration) {
	counted := f.unknown
	if v.resource != nil {
		counted = v.resource.counted
	}
	counted.Answered(v.Method, answer.status, took)
	if problem != nil {
		f.Metrics.Problem(problem.Type)
	}
}

// countLimited counts a request that l refused, for each limit that did.
func (f *Front) countLimited(l limited) {
	refused := []rules.LimitName{rules.ConsecutiveFailures} // which refuses by name, without a bucket
	if l.quotas != nil {
		refused = nil
	}
	for _, q := range l.quotas {
		if q.Wait > 0 && !slices.Contains(refused, q.Limit) {
			refused = append(refused, q.Limit)
		}
	}
	for _, name := range refused {
		f.Metrics.Limited(name)
	}
}

// NoncesIssued is how many nonces were given out.
func (f *Front) NoncesIssued() uint64 {
	f.nonces.mu.Lock()
	defer f.nonces.mu.Unlock()
	return f.nonces.issued
}

// requestID names a request in the log: no other one of this process or another has the same.
func (f *Front) requestID(v *visit) string { return fmt.Sprintf("%s-%d", f.instance, v.number) }

// subject is what a line of the log about v always has, as far as it is known: the request, the account, and the order or
// authorization.
func (f *Front) subject(v *visit) []slog.Attr {
	attributes := []slog.Attr{slog.String("request", f.requestID(v))}
	if v.resource != nil {
		attributes = append(attributes, slog.String("resource", v.resource.path))
		if len(v.ids) > 0 {
			attributes = append(attributes, slog.String(f.nameOf(v.resource.path), v.ids[0]))
		}
	}
	if v.account != "" {
		attributes = append(attributes, slog.String("account", v.account))
	}
	return attributes
}

// nameOf says what the first identifier in a path is.
func (f *Front) nameOf(path string) string {
	switch at := f.Paths; {
	case path == at.Order, path == at.Finalize, path == at.Certificate && !f.Manners.BySerial, strings.HasPrefix(path, at.Alternate) && !f.Manners.BySerial:
		return "order"
	case path == at.Authz, path == at.Challenge:
		return "authorization"
	case path == at.Certificate, strings.HasPrefix(path, at.Alternate):
		return "serial"
	case path == at.Account, path == at.Orders, path == at.Limits:
		return "asked"
	}
	return "id"
}
