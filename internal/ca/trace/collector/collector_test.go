package collector_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/trace"
	"github.com/cairn-ca/cairn/internal/ca/trace/collector"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func start(t *testing.T, c *catest.Collector, ratio float64, node string) *trace.Tracer {
	t.Helper()
	tracer, err := collector.New(t.Context(), collector.Config{Endpoint: c.URL, Ratio: ratio, Version: "v1", Node: node, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func finish(t *testing.T, tracer *trace.Tracer) {
	t.Helper()
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestSpans: what was told arrives, inside of what it happened in, with who told it.
func TestSpans(t *testing.T) {
	c := catest.NewCollector(t)
	tracer := start(t, c, 1, "front-1")
	ctx, request := tracer.Start(t.Context(), "POST new-order")
	request.Tell(trace.Order, "o1")
	request.Tell(trace.Account, "")
	began := time.Now().Add(-time.Second)
	tracer.Past(ctx, "database update", began, 100*time.Millisecond, errors.New("disk full"))
	tracer.Past(t.Context(), "by itself", began, time.Second, nil)
	request.Status(http.StatusServiceUnavailable)
	request.End(nil)
	finish(t, tracer)

	requests := c.Named("POST new-order")
	if len(requests) != 1 || c.Count() != 2 {
		t.Fatalf("%d spans arrived", c.Count())
	}
	got := requests[0]
	if got.Value("cairn.order") != "o1" || got.Service["service.name"] != "cairn" || got.Service["service.version"] != "v1" ||
		got.Service["service.instance.id"] != "front-1" || got.Status.Code != tracepb.Status_STATUS_CODE_ERROR || strings.Contains(got.String(), "cairn.account") {
		t.Errorf("the request is %v of %v", got, got.Service)
	}
	within := c.Within(got)
	if len(within) != 1 || within[0].Name != "database update" || within[0].Status.Message != "disk full" ||
		within[0].StartTimeUnixNano != uint64(began.UnixNano()) || within[0].EndTimeUnixNano-within[0].StartTimeUnixNano != 100_000_000 {
		t.Errorf("within it there is %v", within)
	}
}

// TestAcrossProcesses: a call to another process is inside of what calls, and what it does is inside of the call.
func TestAcrossProcesses(t *testing.T) {
	c := catest.NewCollector(t)
	here, there := start(t, c, 1, "work"), start(t, c, 0, "tokyo") // who is called does as the caller does
	server := &rpc.Server{Trace: there}
	rpc.Handle(server, "prove", func(ctx context.Context, ask string) (string, error) {
		_, span := there.Start(ctx, "look")
		span.End(nil)
		return "seen " + ask, nil
	})
	remote := httptest.NewServer(server)
	defer remote.Close()
	ctx, span := here.Start(t.Context(), "validation")
	if answer, err := rpc.Call[string, string](ctx, rpc.Client{URL: remote.URL, HTTP: remote.Client()}, "prove", "a.test"); err != nil || answer != "seen a.test" {
		t.Fatal(answer, err)
	}
	span.End(nil)
	finish(t, here)
	finish(t, there)
	validation := c.Named("validation")
	if len(validation) != 1 {
		t.Fatalf("%d spans arrived", c.Count())
	}
	call := c.Within(validation[0])
	if len(call) != 1 || call[0].Name != "call prove" || call[0].Service["service.instance.id"] != "tokyo" {
		t.Fatalf("within the validation there is %v", call)
	}
	if look := c.Within(call[0]); len(look) != 1 || look[0].Name != "look" {
		t.Errorf("within the call there is %v", look)
	}
}

// TestRatio: what is not sampled is not sent, with all that is in it.
func TestRatio(t *testing.T) {
	c := catest.NewCollector(t)
	tracer := start(t, c, 0, "")
	ctx, span := tracer.Start(t.Context(), "request")
	tracer.Past(ctx, "database view", time.Now(), time.Second, nil)
	span.End(nil)
	finish(t, tracer)
	if c.Count() != 0 {
		t.Errorf("%d spans arrived", c.Count())
	}
}

// TestCollectorIsDown: nobody waits for it for long, and the log says so once.
func TestCollectorIsDown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	var log bytes.Buffer
	tracer, err := collector.New(t.Context(), collector.Config{Endpoint: gone.URL, Ratio: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		_, span := tracer.Start(t.Context(), "request")
		span.End(nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Error(err)
	}
	if said := strings.Count(log.String(), "traces could not be sent"); said != 1 {
		t.Errorf("said %d times: %s", said, log.String())
	}
}

// TestOff: without a tracer there is nothing, not even an allocation.
func TestOff(t *testing.T) {
	var tracer *trace.Tracer
	ctx := t.Context()
	began := time.Now()
	if n := testing.AllocsPerRun(100, func() {
		inner, span := tracer.Start(ctx, "request")
		span.Tell(trace.Order, "o1")
		span.Status(500)
		tracer.Past(inner, "view", began, time.Second, nil)
		span.End(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	finish(t, tracer)
}

func TestEndpoints(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"http://127.0.0.1:4318": true, "https://otel.example/collect": true, "http://127.0.0.1:4318/": true,
		"127.0.0.1:4318": false, "": false, "grpc://x:1": false, "http://": false, "http://x?y": false,
	} {
		if err := collector.CheckEndpoint(endpoint); (err == nil) != ok {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}
