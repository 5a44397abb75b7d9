package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bench"
)

// benchFlags is what can be said to `cairn bench`.
type benchFlags struct {
	config                     bench.Config
	bundle, challenge, keyType string
	accounts, renewBy          string
	http01, tlsALPN01, dns     string
	json                       bool
	count                      int // of --fill
	data, database             string
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load an ACME server and measure it",
		Long: `Obtains certificates from an ACME server as many clients would, and tells how long
each kind of request took and what the server used. It answers the challenges itself:
start the CA so that it looks for the proofs here, as in

  cairn up --http-01-port 5002
  cairn bench --directory https://localhost:8443/directory --ca-bundle DATA/root.pem

docs/performance.md says what is measured, and what is not.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("fill") {
				return f.fill(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			}
			if err := f.read(cmd); err != nil {
				return err
			}
			return f.bench(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.add(cmd)
	return cmd
}

// benchGroups are the headings under which `cairn bench --help` has its flags.
func benchGroups() []flagGroup {
	return []flagGroup{
		{"What is loaded", []string{"directory", "ca-bundle", "http2", "i-run-this-server"}},
		{"How much", []string{"parallel", "rate", "count", "duration", "warmup", "timeout", "poll"}},
		{"What is asked for", []string{"challenge", "names", "suffix", "wildcard", "key-type", "profile", "accounts", "account-count", "renewals", "renew-by", "revoke"}},
		{"Where challenges are answered", []string{"http-01-listen", "tls-alpn-01-listen", "dns-listen", "dns-answer"}},
		{"What is told", []string{"pid", "pid-tree", "json"}},
		{"A large database, in place of a load", []string{"fill", "data", "database"}},
	}
}

func (f *benchFlags) add(cmd *cobra.Command) {
	flags, c := cmd.Flags(), &f.config
	flags.SortFlags = false
	flags.StringVar(&c.Directory, "directory", "", "`URL` of the server's directory")
	flags.StringVar(&f.bundle, "ca-bundle", "", "`FILE` (PEM) with the roots to trust, in place of the machine's")
	flags.BoolVar(&c.HTTP2, "http2", false, "speak HTTP/2 in place of HTTP/1.1")
	flags.BoolVar(&c.Anywhere, "i-run-this-server", false, "load it although it is neither on this machine nor at a private address")
	flags.IntVar(&c.Parallel, "parallel", 0, "`N` certificates are obtained at once (default 1); with --rate, at most (default 64)")
	flags.Float64Var(&c.Rate, "rate", 0, "begin `R` in a second, whether or not earlier ones are done")
	flags.IntVar(&c.Count, "count", 0, "`N` certificates (default: 1000, if there is no --duration)")
	flags.DurationVar(&c.Duration, "duration", 0, "how long certificates are begun, such as `1m`")
	flags.IntVar(&c.Warmup, "warmup", 0, "`N` certificates before those that count")
	flags.DurationVar(&c.Timeout, "timeout", 0, "how long one certificate may take (default `1m`)")
	flags.DurationVar(&c.Poll, "poll", 0, "wait before the second look at what is not done, then twice as long each time (default `20ms`)")
	flags.StringVar(&f.challenge, "challenge", string(acme.HTTP01), "`TYPE` of the proofs: http-01, dns-01 or tls-alpn-01")
	flags.IntVar(&c.Names, "names", 1, "`N` names in each order")
	flags.StringVar(&c.Suffix, "suffix", "bench.localhost", "`DOMAIN` that the names are under")
	flags.BoolVar(&c.Wildcard, "wildcard", false, "ask for wildcards (needs dns-01)")
	flags.StringVar(&f.keyType, "key-type", string(acme.KeyP256), "`TYPE` of the certificates' keys: P-256, P-384, P-521, Ed25519, RSA-2048 …")
	flags.StringVar(&c.Profile, "profile", "", "`NAME` of a profile of the server's")
	flags.StringVar(&f.accounts, "accounts", "old", "`old`: accounts are made beforehand; new: one for each certificate")
	flags.IntVar(&c.Accounts, "account-count", 0, "`N` old accounts (default: as many as --parallel)")
	flags.Float64Var(&c.Renewals, "renewals", 0, "`SHARE` of orders, from 0 to 1, that are renewals")
	flags.StringVar(&f.renewBy, "renew-by", "replaces", "renewals `replaces`: name the old certificate (RFC 9773); names: only order for its names again")
	flags.Float64Var(&c.Revoke, "revoke", 0, "`SHARE` of certificates, from 0 to 1, that are revoked afterwards")
	flags.StringVar(&f.http01, "http-01-listen", "127.0.0.1:5002", "`ADDR` to answer http-01 on")
	flags.StringVar(&f.tlsALPN01, "tls-alpn-01-listen", "127.0.0.1:5001", "`ADDR` to answer tls-alpn-01 on")
	flags.StringVar(&f.dns, "dns-listen", "", "`ADDR` to answer DNS on, by UDP and TCP (default with dns-01: 127.0.0.1:8053)")
	flags.StringVar(&c.Answer, "dns-answer", "127.0.0.1", "`ADDRESS` of all names, in that DNS")
	flags.IntSliceVar(&c.PIDs, "pid", nil, "process `ID` of the server, to measure its CPU time and memory; can be repeated")
	flags.BoolVar(&c.Tree, "pid-tree", false, "measure the children of those processes as well")
	flags.BoolVar(&f.json, "json", false, "write the report as JSON")
	flags.IntVar(&f.count, "fill", 0, "put `N` certificates, with their orders and accounts, into the database of a CA that does not run, and end")
	flags.StringVar(&f.data, "data", defaultData(), "`DIR` of that CA")
	flags.StringVar(&f.database, "database", "", "`URL` (postgres://…) of that CA's database, if it has one")
}

// read checks the flags that bench.Config does not have as they are.
func (f *benchFlags) read(cmd *cobra.Command) (err error) {
	c := &f.config
	if c.Directory == "" {
		return withHint(usageError{errors.New("--directory is missing")}, "`cairn up` shows the URL of its directory when it is ready")
	}
	if c.KeyType, err = acme.ParseKeyType(f.keyType); err != nil {
		return usageError{fmt.Errorf("--key-type: %w", err)}
	}
	if f.accounts != "old" && f.accounts != "new" {
		return usageError{fmt.Errorf("--accounts %q: it is old or new", f.accounts)}
	}
	if f.renewBy != "replaces" && f.renewBy != "names" {
		return usageError{fmt.Errorf("--renew-by %q: it is replaces or names", f.renewBy)}
	}
	c.NewAccounts, c.Replaces = f.accounts == "new", f.renewBy == "replaces"
	c.Challenge = acme.ChallengeType(f.challenge)
	if c.Challenge == acme.DNS01 && f.dns == "" {
		f.dns = "127.0.0.1:8053"
	}
	c.HTTP01, c.TLSALPN01, c.DNS = f.http01, f.tlsALPN01, f.dns
	c.UserAgent = "cairn-bench/" + version
	if f.bundle != "" {
		text, err := os.ReadFile(f.bundle)
		if err != nil {
			return usageError{fmt.Errorf("--ca-bundle: %w", err)}
		}
		c.Roots = x509.NewCertPool()
		if !c.Roots.AppendCertsFromPEM(text) {
			return usageError{fmt.Errorf("--ca-bundle: %s: it does not hold certificates in PEM", f.bundle)}
		}
	}
	if err := c.Check(); err != nil {
		return usageError{err}
	}
	return nil
}

// bench loads the server and writes the report. That certificates could not be had is a failure of the program's.
func (f *benchFlags) bench(ctx context.Context, out, errs io.Writer) error {
	debug.SetGCPercent(400) // it has memory to spare, and shares its processors with what it measures
	var told atomic.Int64   // when progress was last told, in seconds
	f.config.Progress = func(issued int) {
		last, now := told.Load(), time.Now().Unix()
		if now-last >= progressPeriod && told.CompareAndSwap(last, now) && last > 0 {
			fmt.Fprintf(errs, "cairn: note: %d certificates so far\n", issued)
		}
	}
	report, err := bench.Run(ctx, f.config)
	if err != nil {
		return f.explain(err)
	}
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.WriteTable(out)
	}
	if err == nil && report.Failed > 0 {
		return fmt.Errorf("%d of %d certificates could not be had", report.Failed, report.Failed+report.Issued)
	}
	return err
}

// progressPeriod is how often a person hears that a run goes on, in seconds.
const progressPeriod = 10

// explain adds what to do about a run that could not begin.
func (f *benchFlags) explain(err error) error {
	var problem *acme.Problem
	var lookup *net.DNSError
	switch {
	case errors.Is(err, bench.ErrElsewhere):
		return withHint(err, "load on a server that is not yours is abuse; --i-run-this-server says that it is yours")
	case bench.Distrusted(err):
		return withHint(err, "name its root with --ca-bundle FILE: that of `cairn up` is root.pem in its data directory")
	case errors.Is(err, syscall.ECONNREFUSED):
		return withHint(err, "is the server running? `cairn up` shows the URL of its directory when it is ready")
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EACCES):
		return withHint(err, "choose another address with --http-01-listen, --tls-alpn-01-listen or --dns-listen, and tell the CA")
	case errors.As(err, &lookup):
		return withHint(err, "use the host that `cairn up` shows, or localhost")
	case errors.Is(err, bench.ErrNoDirectory):
		return withHint(err, "`cairn up` shows the URL of its directory when it is ready; it ends in /directory")
	case bench.Unproven(err):
		return withHint(err, "%s", f.whereProofsAre())
	case errors.As(err, &problem):
		return withHint(err, "%s", aboutProblem(problem.Type, f.config.Suffix))
	}
	return err
}

// whereProofsAre says how the CA must be started so that it finds what is answered here.
func (f *benchFlags) whereProofsAre() string {
	port := func(address string) string {
		_, port, _ := net.SplitHostPort(address)
		return port
	}
	var start string
	switch f.config.Challenge {
	case acme.HTTP01:
		start = "--http-01-port " + port(f.http01)
	case acme.TLSALPN01:
		start = "--tls-alpn-01-port " + port(f.tlsALPN01)
	}
	if f.dns != "" {
		start += " --resolver " + f.dns
		if addr, err := netip.ParseAddr(f.config.Answer); err == nil && addr.IsLoopback() && f.config.Challenge != acme.DNS01 {
			start += " --allow-target " + netip.PrefixFrom(addr, addr.BitLen()).String() // which are never connected to otherwise
		}
	}
	hint := "challenges are answered here, but the CA did not find that: start it as `cairn up " + strings.TrimSpace(start) + "`"
	if f.dns == "" {
		hint += "; names that it cannot resolve are answered by --dns-listen ADDR, which it then needs as --resolver"
	}
	return hint
}

// aboutProblem says what to do about the server's refusal of the first certificate.
func aboutProblem(kind acme.ProblemType, suffix string) string {
	switch kind {
	case acme.TypeRejectedIdentifier:
		return "the CA does not issue for " + suffix + ": choose another --suffix, or start it with --names " + suffix
	case acme.TypeRateLimited:
		return "the CA limits its clients: lift its limits for the time of the measurement (docs/limits.md)"
	case acme.TypeExternalAccountRequired:
		return "the CA wants accounts bound by external keys: measure one that is started without --eab required"
	case acme.TypeInvalidProfile:
		return "`cairn profiles` lists what the CA offers"
	}
	return "the log of the server may say more"
}
