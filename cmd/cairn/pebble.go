package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/pebble"
)

// calledPebble reports whether the program was started under the name of Pebble, and then is it.
func calledPebble(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == "pebble"
}

func newPebble() *cobra.Command {
	return &cobra.Command{
		Use:   "pebble",
		Short: "Be Pebble: a CA for tests, which certifies any name and forgets everything",
		Long: `Starts a CA for tests that takes the place of Let's Encrypt's Pebble: the same flags,
configuration file, environment variables, ports and paths. docs/pebble.md says what is more.`,
		Args:               cobra.ArbitraryArgs,
		DisableFlagParsing: true, // flags are those of Pebble: -config as well as --config
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPebble(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// pebbleFlags is what can be said to `cairn pebble`.
type pebbleFlags struct {
	config, dnsServer, keep string
	strict, version         bool
}

// parse reads the command line as Go's flag package does, which Pebble uses.
func (f *pebbleFlags) parse(args []string, out, errs io.Writer) error {
	flags := flag.NewFlagSet("pebble", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&f.config, "config", "test/config/pebble-config.json", "`FILE` (JSON) with the configuration")
	flags.BoolVar(&f.strict, "strict", false, "refuse what clients should not do any more")
	flags.StringVar(&f.dnsServer, "dnsserver", "", "`HOST:PORT` of the DNS server to ask about everything, such as 10.0.0.53:5053")
	flags.BoolVar(&f.version, "version", false, "print the version and end")
	flags.StringVar(&f.keep, "keep", "", "`DIR` that keeps the roots, the keys and the database, for the next start")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(out, "invalid command line arguments: %s\n", strings.Join(flags.Args(), " "))
		flags.Usage()
		return errSilent
	}
	if f.config == "" && !f.version {
		flags.Usage()
		return errSilent
	}
	return nil
}

// errSilent is a failure that has been told already.
var errSilent = errors.New("the command line cannot be understood")

// noConfig is what Pebble says of a file that it cannot read, and scripts may look for.
const noConfig = "Reading JSON config file into config structure"

// runPebble is `cairn pebble`.
func runPebble(ctx context.Context, args []string, out, errs io.Writer) error {
	ctx, last := mourn(ctx)
	defer last()
	var f pebbleFlags
	switch err := f.parse(args, out, errs); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case f.version:
		fmt.Fprintf(out, "Pebble version: %s (Cairn)\n", version)
		return nil
	}
	if f.strict {
		fmt.Fprintln(out, "Running in strict mode")
	}
	logger := log.New(out, "Pebble ", log.LstdFlags)
	logger.Print("Starting Pebble ACME server")
	file, err := readPebbleConfig(f.config)
	if err != nil {
		return fmt.Errorf("%s: %w", noConfig, err)
	}
	config, err := file.config()
	if err != nil {
		return err
	}
	config.Strict = f.strict
	config.Dir = f.keep
	config.Log = slog.New(slog.NewTextHandler(out, nil))
	pebbleEnvironment(&config, os.Getenv, logger)
	if len(config.CAAIdentities) == 0 {
		logger.Print("No CAA identities configured, using default [pebble.letsencrypt.org]")
	}
	if f.dnsServer != "" {
		if config.DNSServer, err = dnsAddress(ctx, f.dnsServer); err != nil {
			return fmt.Errorf("-dnsserver %q: %w", f.dnsServer, err)
		}
		logger.Printf("Using custom DNS resolver for ACME challenges: %s", f.dnsServer)
	} else {
		logger.Print("Using system DNS resolver for ACME challenges")
	}
	server, err := pebble.Open(ctx, config)
	if err != nil {
		return err
	}
	announce(config, logger)
	return server.Serve(ctx)
}

// announce writes the lines that scripts wait for.
func announce(c pebble.Config, logger *log.Logger) {
	if c.Management == "" {
		logger.Print("Management interface is disabled")
	} else {
		logger.Printf("Management interface listening on: %s", c.Management)
		logger.Printf("Root CA certificate available at: https://%s/roots/0", c.Management)
		for i := range c.AlternateRoots {
			logger.Printf("Alternate (%d) root CA certificate available at: https://%s/roots/%d", i+1, c.Management, i+1)
		}
	}
	logger.Printf("Listening on: %s", c.Listen)
	logger.Printf("ACME directory available at: https://%s/dir", c.Listen)
}

// dnsAddress turns HOST:PORT into ADDRESS:PORT: the name is that of a container, as a rule, which
// may not have its address yet. Without a host, it is this machine.
func dnsAddress(ctx context.Context, server string) (string, error) {
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		return "", err
	}
	if host == "" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	retry := time.NewTicker(500 * time.Millisecond)
	defer retry.Stop()
	for {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err == nil && len(addrs) > 0 {
			return net.JoinHostPort(addrs[0].Unmap().String(), port), nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return "", err
		}
	}
}
