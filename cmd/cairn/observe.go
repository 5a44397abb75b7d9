package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/trace/collector"
)

// observeFlags say how an operator watches the authority.
type observeFlags struct {
	ops        string
	drainDelay time.Duration
	logFormat  string
	collector  string
	traceRatio float64
}

func (f *observeFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.ops, "ops", "", "`ADDRESS:PORT` to serve /metrics, /healthz and /readyz on, over plain HTTP without authentication (default: nowhere)")
	flags.DurationVar(&f.drainDelay, "drain-delay", 0, "how `LONG` to go on, without being ready, once told to end, so that load balancers notice")
	flags.StringVar(&f.collector, "otlp", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), "`URL` of an OpenTelemetry collector to send traces to, over OTLP/HTTP (default: $OTEL_EXPORTER_OTLP_ENDPOINT, or none)")
	flags.Float64Var(&f.traceRatio, "trace-ratio", 1, "`PART` of traces that is sent, from 0 to 1")
	flags.StringVar(&f.logFormat, "log-format", "text", "`FORMAT` of the log: text, or json with one object a line")
}

// maxDrainDelay is more than any load balancer needs, and less than what hides a mistake.
const maxDrainDelay = 10 * time.Minute

// apply checks the flags and puts them into c.
func (f *observeFlags) apply(c *ca.Config) error {
	if f.ops != "" {
		if err := ca.CheckOps(f.ops); err != nil {
			return usageError{fmt.Errorf("--ops %q: %w", f.ops, err)}
		}
	}
	if f.drainDelay < 0 || f.drainDelay > maxDrainDelay {
		return usageError{fmt.Errorf("--drain-delay %s: it is not from 0s to %s", f.drainDelay, maxDrainDelay)}
	}
	if f.collector != "" {
		if err := collector.CheckEndpoint(f.collector); err != nil {
			return usageError{fmt.Errorf("--otlp %q: %w", f.collector, err)}
		}
	}
	if !(f.traceRatio >= 0 && f.traceRatio <= 1) { // a NaN is neither
		return usageError{fmt.Errorf("--trace-ratio %v: it is not from 0 to 1", f.traceRatio)}
	}
	c.Observe.Collector, c.Observe.TraceRatio = f.collector, f.traceRatio
	c.Observe.Listen, c.Observe.DrainDelay = f.ops, f.drainDelay
	return nil
}

// logger makes the log that logs are written to.
func (f *observeFlags) logger(to io.Writer, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(to, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(to, options)), nil
	}
	return nil, usageError{fmt.Errorf("--log-format %q: it is text or json", f.logFormat)}
}
