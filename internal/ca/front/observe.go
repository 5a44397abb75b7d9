package front

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/trace"
)

// trace begins the span of a request. A client's own trace is none of ours.
func (f *Front) trace(v *visit) {
	if !f.Trace.On() || v.resource == nil {
		return
	}
	var ctx context.Context
	ctx, v.span = f.Trace.Start(v.Context(), v.Method+" "+v.resource.path)
	v.Request = v.WithContext(ctx)
}

// endTrace ends the span of a request, with what is known by now.
func (f *Front) endTrace(v *visit, answer reply, problem *acme.Problem) {
	if !f.Trace.On() || v.resource == nil {
		return
	}
	v.span.Tell(trace.Request, f.requestID(v))
	v.span.Tell(trace.Account, v.account)
	if key, ok := map[string]trace.Key{"order": trace.Order, "authorization": trace.Authorization}[f.nameOf(v.resource.path)]; ok && len(v.ids) > 0 {
		v.span.Tell(key, v.ids[0])
	}
	if v.resource.path == f.Paths.NewOrder {
		v.span.Tell(trace.Order, path.Base(answer.location))
	}
	if problem != nil {
		v.span.Tell(trace.Problem, problem.Type.Name())
	}
	v.span.Status(answer.status)
	v.span.End(nil)
}

// count counts a request that was answered, and ends its span.
func (f *Front) count(v *visit, answer reply, problem *acme.Problem, took time.Duration) {
	counted := f.unknown
	if v.resource != nil {
		counted = v.resource.counted
	}
	counted.Answered(v.Method, answer.status, took)
	f.endTrace(v, answer, problem)
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
