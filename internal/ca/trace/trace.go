// Package trace makes OpenTelemetry spans of what an authority does. A nil *Tracer makes none and costs
// nothing. Package collector sends them: whoever only might be traced does without its dependencies.
//
// What an operator's collector gets is what the log has: identifiers of orders and accounts, names, and how
// long things took. No key and no token is in a span.
package trace

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	provider Provider
	tracer   trace.Tracer
}

// Provider makes spans, and sends them: package collector has it, which brings OpenTelemetry's SDK.
type Provider interface {
	trace.TracerProvider
	// Shutdown sends what is left, until ctx ends.
	Shutdown(ctx context.Context) error
}

// New makes a tracer of what makes its spans.
func New(p Provider) *Tracer { return &Tracer{p, p.Tracer("github.com/cairn-ca/cairn")} }

// Close sends what is left, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// On reports whether spans are made at all, for who would have to look something up for one.
func (t *Tracer) On() bool { return t != nil }

// Start begins a span, inside that of ctx if there is one. The context is for what happens in it.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, Span) {
	if t == nil {
		return ctx, Span{}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, Span{span}
}

// Past makes a span of what is over, if ctx is in one: what nobody asked for is no trace of its own.
func (t *Tracer) Past(ctx context.Context, name string, began time.Time, took time.Duration, err error) {
	if t == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(began))
	fail(span, err)
	span.End(trace.WithTimestamp(began.Add(took)))
}

// Span is a piece of work under way. The zero value is none.
type Span struct{ span trace.Span }

// Key names what a span tells.
type Key string

// The keys.
const (
	Order         Key = "cairn.order"
	Account       Key = "cairn.account"
	Authorization Key = "cairn.authorization"
	Request       Key = "cairn.request" // as in the log
	Identifier    Key = "cairn.identifier"
	Method        Key = "cairn.method"
	Perspective   Key = "cairn.perspective"
	Outcome       Key = "cairn.outcome"
	Profile       Key = "cairn.profile"
	Issuer        Key = "cairn.issuer"
	Problem       Key = "cairn.problem"
)

// Tell adds to a span what is known by now; an empty value is not.
func (s Span) Tell(key Key, value string) {
	if s.span != nil && value != "" {
		s.span.SetAttributes(attribute.String(string(key), value))
	}
}

// Status adds the status of the response to a request. One of our own fault is an error.
func (s Span) Status(status int) {
	if s.span == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		s.span.SetStatus(codes.Error, http.StatusText(status))
	}
}

// End ends a span, with err if it failed.
func (s Span) End(err error) {
	if s.span != nil {
		fail(s.span, err)
		s.span.End()
	}
}

func fail(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
}

// Inject adds the span of ctx to the header of a request to another process of the authority.
func Inject(ctx context.Context, h http.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// Extract takes up the span of a header. Only for callers that were authenticated: a stranger could have everything traced.
func Extract(ctx context.Context, h http.Header) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(h))
}
