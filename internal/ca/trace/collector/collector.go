// Package collector sends spans to an OpenTelemetry collector, over OTLP/HTTP.
package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/cairn-ca/cairn/internal/ca/trace"
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

// Bounds of what waits for the collector: a slow one costs memory up to that, and then spans.
const (
	maxQueue      = 4096
	maxBatch      = 512
	exportTimeout = 10 * time.Second
)

// New makes a tracer. It does not wait for the collector.
func New(ctx context.Context, c Config) (*trace.Tracer, error) {
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
	return trace.New(provider), nil
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
