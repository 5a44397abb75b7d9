// Package trace makes OpenTelemetry spans of what an authority does, and sends them to a collector
// over OTLP/HTTP. A nil *Tracer makes none and costs nothing.
//
// What an operator's collector gets is what the log has: identifiers of orders and accounts, names, and how
// long things took. No key and no token is in a span.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config says where spans go. Endpoint and Log are required.
type Config struct {
	Endpoint string  // of the collector, as CheckEndpoint wants it; spans go to /v1/traces below it
	Ratio    float64 // of traces that are kept, from 0 to 1
	Version  string  // of the program
	Node     string  // what this process is called; "" for nothing
	Log      *slog.Logger
}

// CheckEndpoint checks the URL of a collector.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it is not the URL of a collector, http://HOST:PORT or https://HOST:PORT")
	}
	return nil
}

// Tracer makes spans. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Bounds of what waits for the collector: a slow one costs memory up to that, and then spans.
const (
	maxQueue      = 4096
	maxBatch      = 512
	exportTimeout = 10 * time.Second
)

// New makes a tracer. It does not wait for the collector.
func New(ctx context.Context, c Config) (*Tracer, error) {
	target, err := url.JoinPath(c.Endpoint, "v1/traces")
	if err != nil {
		return nil, fmt.Errorf("the collector's URL: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(target), otlptracehttp.WithTimeout(exportTimeout))
	if err != nil {
		return nil, fmt.Errorf("preparing to send traces to %s: %w", target, err)
	}
	about := []attribute.KeyValue{attribute.String("service.name", "cairn"), attribute.String("service.version", c.Version)}
	if c.Node != "" {
		about = append(about, attribute.String("service.instance.id", c.Node))
	}
	provider := sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Ratio))),
		sdk.WithResource(resource.NewSchemaless(about...)),
		sdk.WithBatcher(&logged{SpanExporter: exporter, log: c.Log, began: time.Now()}, sdk.WithMaxQueueSize(maxQueue), sdk.WithMaxExportBatchSize(maxBatch), sdk.WithBatchTimeout(2*time.Second)),
	)
	return &Tracer{provider, provider.Tracer("github.com/cairn-ca/cairn")}, nil
}

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

// sayEvery is how often a collector that does not answer is mentioned in the log.
const sayEvery = time.Minute

// logged logs the faults of an exporter instead of handing them to the process's one handler of errors.
type logged struct {
	sdk.SpanExporter
	log   *slog.Logger
	began time.Time
	said  atomic.Int64 // when, since began; 0 for never
}

// ExportSpans implements sdk.SpanExporter.
func (l *logged) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := l.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	now, said := time.Since(l.began), l.said.Load()
	if (said == 0 || now-time.Duration(said) >= sayEvery) && l.said.CompareAndSwap(said, max(1, int64(now))) {
		l.log.Warn("traces could not be sent", "spans", len(spans), "error", err)
	}
	return nil
}
