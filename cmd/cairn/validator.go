package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/trust"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// validatorFlags is what can be said to `cairn validator`.
type validatorFlags struct {
	data, join, ca, name, rir, listen, advertise, resolverCA string
	resolvers, targets                                       []string
	http01Port, tlsALPN01Port                                int
	verbose                                                  bool
}

func newValidator() *cobra.Command {
	var f validatorFlags
	cmd := &cobra.Command{
		Use:   "validator",
		Short: "Look at the network from here for a CA elsewhere, or manage those that do",
		Long: `Runs a remote perspective: it checks challenges for a CA on another host, from where
this host is on the network, so that nobody gets a certificate by deceiving the CA
alone. It has no database and no keys of a CA.

Two commands make one:
  on the CA's host    cairn validator token
  on this host        what that prints: cairn validator --join TOKEN --ca URL
Later starts need neither --join nor --ca.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.join, "join", "", "`TOKEN` from \"cairn validator token\", for the first start")
	flags.StringVar(&f.ca, "ca", "", "`https://HOST[:PORT]` of the CA to join")
	flags.StringVar(&f.data, "data", defaultValidatorData(), "`DIR` that holds who this host is to the CA")
	flags.StringVar(&f.name, "name", "", "`NODE` to be called (default: what the token says)")
	flags.StringVar(&f.rir, "rir", "", "Regional Internet `REGISTRY` in whose region this host is: "+strings.Join(validate.RIRs(), ", "))
	flags.StringVar(&f.listen, "listen", ":9443", "`ADDR` to answer the CA's calls on")
	flags.StringVar(&f.advertise, "advertise", "", "`HOST:PORT` at which the CA is to call (default: the address from which the CA sees this host join)")
	flags.StringArrayVar(&f.resolvers, "resolver", nil, "DNS `SERVER` to ask instead of the machine's, as of \"cairn up\"; can be repeated")
	flags.StringVar(&f.resolverCA, "resolver-ca", "", "`FILE` (PEM) with root certificates to trust for those servers, beside the machine's")
	flags.IntVar(&f.http01Port, "http-01-port", 80, "`PORT` at which http-01 challenges are checked")
	flags.IntVar(&f.tlsALPN01Port, "tls-alpn-01-port", 443, "`PORT` at which tls-alpn-01 challenges are checked")
	flags.StringArrayVar(&f.targets, "allow-target", nil, "address range (`CIDR`) to check challenges at although it is refused by default; can be repeated")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	cmd.AddCommand(newValidatorToken(), newValidatorList(), newValidatorRemove())
	for _, sub := range cmd.Commands() {
		if sub.Args == nil {
			sub.Args = noArguments
		}
	}
	return cmd
}

// run looks at the network for the CA until ctx ends.
func (f validatorFlags) run(ctx context.Context, out, errs io.Writer) error {
	config, err := f.config(errs)
	if err != nil {
		return err
	}
	v, err := ca.OpenValidator(ctx, config)
	if err != nil {
		return explain(err)
	}
	return runValidator(ctx, v, config.Log, out)
}

// runValidator has a perspective answer until ctx ends.
func runValidator(ctx context.Context, v *ca.Validator, log *slog.Logger, out io.Writer) error {
	node, rir, address := v.Name()
	if rir == "" {
		rir = "unknown (--rir)"
	}
	fmt.Fprintf(out, "Perspective %s\nRegion      %s\nCalled at   %s\n\nReady.\n", node, rir, address)
	if err := v.Serve(ctx); err != nil {
		return err
	}
	log.Info("ended in good order")
	return nil
}

// config checks the flags; an error names the flag and what it takes.
func (f validatorFlags) config(logs io.Writer) (ca.ValidatorConfig, error) {
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	if f.data == "" {
		return ca.ValidatorConfig{}, usageError{errors.New("--data: neither it nor $HOME or $XDG_DATA_HOME says where data belongs")}
	}
	allow, err := checkNetwork(f.resolvers, f.targets, map[string]int{"http-01-port": f.http01Port, "tls-alpn-01-port": f.tlsALPN01Port})
	if err != nil {
		return ca.ValidatorConfig{}, err
	}
	url := ""
	if f.ca != "" {
		if url, err = ca.ParseURL(f.ca); err != nil {
			return ca.ValidatorConfig{}, usageError{fmt.Errorf("--ca %w", err)}
		}
	}
	c := ca.ValidatorConfig{
		Dir: f.data, Listen: f.listen, Version: version, Join: f.join, URL: url, Node: f.name, RIR: f.rir, Advertise: f.advertise,
		Resolvers: f.resolvers, HTTP01Port: f.http01Port, TLSALPN01Port: f.tlsALPN01Port, AllowTargets: allow,
		Log: slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: level})),
	}
	if f.resolverCA != "" {
		if c.ResolverRoots, err = rootsAnd(f.resolverCA); err != nil {
			return c, usageError{fmt.Errorf("--resolver-ca: %w", err)}
		}
	}
	return c, f.check()
}

// check says what is wrong with the flags that only a validator has.
func (f validatorFlags) check() error {
	bad := func(flag string, err error) error { return usageError{fmt.Errorf("--%s: %w", flag, err)} }
	if (f.join == "") != (f.ca == "") {
		return withHint(usageError{errors.New("--join and --ca go together")}, "`cairn validator token` on the CA's host prints both")
	}
	if f.join == "" && (f.name != "" || f.advertise != "") {
		return usageError{errors.New("--name and --advertise say as what to join, and need --join")}
	}
	if f.join != "" {
		if _, err := roles.ParseToken(f.join); err != nil {
			return bad("join", err)
		}
	}
	if f.name != "" {
		if err := rpc.CheckNode(f.name); err != nil {
			return bad("name", err)
		}
	}
	if err := validate.CheckRIR(f.rir); err != nil {
		return bad("rir", err)
	}
	if f.advertise != "" {
		host, port, err := net.SplitHostPort(f.advertise)
		if n, portErr := strconv.Atoi(port); err != nil || host == "" || portErr != nil || n < 1 || n > 65535 {
			return bad("advertise", fmt.Errorf("%q is not HOST:PORT", f.advertise))
		}
	}
	return nil
}

// defaultValidatorData is beside where `cairn up` keeps its data.
func defaultValidatorData() string {
	dir, err := datadir.Default(os.Geteuid(), os.Getenv("HOME"), os.Getenv("XDG_DATA_HOME"))
	if err != nil {
		return ""
	}
	return filepath.Join(filepath.Dir(dir), "cairn-validator")
}

func newValidatorToken() *cobra.Command {
	var data string
	var r ops.ValidatorTokenRequest
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token by which another host becomes a remote perspective of this CA",
		Long: `Prints the command to run on the other host. The token in it is good for one host,
for one hour. The first one turns several perspectives on.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			made, err := operate(cmd, data, ops.CreateValidatorToken, r)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cairn validator --join %s --ca %s\n", made.Token, trust.Quote(made.URL))
			fmt.Fprintf(cmd.ErrOrStderr(), "Run this on the other host, until %s. It will be called %s; the CA must reach its port 9443.\n",
				made.Expires.Local().Format("15:04 MST"), made.Node)
			return nil
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&r.Node, "name", "", "`NODE` that the host is to be called (default: a random one)")
	cmd.Flags().StringVar(&r.RIR, "rir", "", "Regional Internet `REGISTRY` in whose region it is (default: what it says itself)")
	return cmd
}

func newValidatorList() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the remote perspectives of this CA, and whether they answer",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := operate(cmd, data, ops.ListValidators, struct{}{})
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "NODE\tREGION\tADDRESS\tVERSION\tLAST SEEN\tSTATE")
			for _, v := range list {
				seen := "never"
				if !v.Seen.IsZero() {
					seen = v.Seen.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%q\t%s\t%s\n", v.Node, orDash(v.RIR), v.Address, v.Version, seen, v.State)
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func newValidatorRemove() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Never ask a remote perspective again",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return withHint(usageError{errors.New("it takes the name of one validator")}, "`cairn validator list` lists them")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := operate(cmd, data, ops.RemoveValidator, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The validator %s is not asked any more.\n", args[0])
			return nil
		},
	}
	dataFlag(cmd, &data)
	return cmd
}
