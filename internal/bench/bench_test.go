package bench_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bench"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/catest"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// freeAddress is one of loopback that nobody listens on.
func freeAddress(t *testing.T) (address string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

// start starts an authority, and gives a Config to load it with.
func start(t *testing.T, change ...func(*ca.Config)) bench.Config {
	t.Helper()
	address, port := freeAddress(t)
	authority := catest.Start(t, "", append(change, func(c *ca.Config) { c.HTTP01Port = port })...)
	page := authority.Page()
	c := bench.Config{Directory: page.Directory, Roots: x509.NewCertPool(), HTTP01: address}
	c.Roots.AddCert(page.Root)
	return c
}

// A run that is interrupted reports what it had measured.
func TestInterrupted(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.Count, c.Parallel = 2000, 3
	c.PIDs = []int{os.Getpid()}
	c.Progress = func(issued int) {
		if issued >= 5 {
			cancel()
		}
	}
	report, err := bench.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if report.Stopped == "" || report.Issued < 5 || report.Failed != 0 {
		t.Errorf("%d issued, %d failed, stopped: %q", report.Issued, report.Failed, report.Stopped)
	}
	if report.Server == nil || report.Server.Processes != 1 || report.Server.PeakMemory < 1<<20 {
		t.Errorf("of this process: %+v", report.Server)
	}
}

// What is wrong with the whole setup is told before there is any load.
func TestUnproven(t *testing.T) {
	c := start(t)
	c.HTTP01 = "127.0.0.1:0" // where the authority does not look
	_, err := bench.Run(t.Context(), c)
	var problem *acme.Problem
	if !errors.As(err, &problem) || problem.Type != acme.TypeConnection || !bench.Unproven(err) {
		t.Fatalf("an authority that cannot see the proofs: %v", err)
	}
}

// Errors are counted by the type of their problem; a server that refuses everything is left alone.
func TestRefused(t *testing.T) {
	c := start(t, func(c *ca.Config) {
		c.Limits = rules.Limits{rules.OrdersPerAccount: {Count: 1, Period: time.Hour}}
	})
	c.Count = 10_000
	report, err := bench.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Errors["rateLimited"]; got.Count != report.Failed || got.Count < 100 || got.Count > 1000 || report.Stopped == "" {
		t.Errorf("%d issued, %d failed: %+v, stopped: %q", report.Issued, report.Failed, report.Errors, report.Stopped)
	}
}

func TestElsewhere(t *testing.T) {
	for _, host := range []string{"192.0.2.1", "[2001:db8::1]", "8.8.8.8"} {
		_, err := bench.Run(t.Context(), bench.Config{Directory: "https://" + host + "/directory", HTTP01: "127.0.0.1:0"})
		if !errors.Is(err, bench.ErrElsewhere) {
			t.Errorf("%s: %v", host, err)
		}
	}
}
