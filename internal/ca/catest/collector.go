package catest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes what OpenTelemetry sends over OTLP/HTTP.
type Collector struct {
	URL string

	t     testing.TB
	mu    sync.Mutex
	spans []Span
}

// Span is what arrived of a span.
type Span struct {
	*tracepb.Span
	Service map[string]string // what the process is called
}

// NewCollector makes a collector that ends with the test.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

// ServeHTTP takes one batch.
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
	var batch collectorpb.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &batch)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("not a batch of spans: %s %v: %v", r.URL, r.Header, err)
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, process := range batch.ResourceSpans {
		service := make(map[string]string)
		for _, a := range process.Resource.Attributes {
			service[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range process.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans = append(c.spans, Span{span, service})
			}
		}
	}
}

// Named lists the spans with a name that have arrived.
func (c *Collector) Named(name string) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s Span) bool { return s.Name != name })
}

// Within lists the spans that are directly inside of parent.
func (c *Collector) Within(parent Span) []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s Span) bool {
		return string(s.ParentSpanId) != string(parent.SpanId) || string(s.TraceId) != string(parent.TraceId)
	})
}

// Count is how many spans have arrived.
func (c *Collector) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans)
}

// Value is what a span says of key; "" for nothing.
func (s Span) Value(key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}
