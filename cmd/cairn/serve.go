package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
)

// newServe is `cairn up` for several machines: the same program, whole or in part, from one configuration file.
func newServe() *cobra.Command {
	var f upFlags
	var roles, advertise string
	var calls []string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a CA from a configuration file: all of it, or some of its roles",
		Long: `Runs the roles of a certificate authority that --roles names, or all of them. All
machines have the same configuration file; each process reads the whole of it and uses
its part. docs/cluster.md sets up three machines step by step.

  front      answers ACME, and serves CRLs and issuers' certificates
  work       validates and issues
  signer     holds the keys
  crl        publishes CRLs
  ops        answers the commands of the operator; goes with signer
  validator  looks at the network from another place; stands alone there`,
		Example: `  cairn serve -c cairn.yaml
  cairn serve -c cairn.yaml --roles signer,crl,ops
  cairn serve -c cairn.yaml --roles front,work`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.configFile == "" {
				return withHint(usageError{errors.New("--config: name the configuration file")}, "`cairn up` runs a CA without one")
			}
			file, err := f.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			config, err := f.configWith(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if config.Roles, err = parseRoles(roles); err != nil {
				return err
			}
			if err := applyCalls(&config, calls, advertise); err != nil {
				return err
			}
			if slices.Equal(config.Roles, ca.Roles{ca.RoleValidator}) {
				return serveValidator(cmd.Context(), config, f.data, cmd.OutOrStdout())
			}
			return serve(cmd.Context(), withCalls(config), cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&roles, "roles", "", "`ROLES` of this process, such as front,work (default: all)")
	flags.StringArrayVar(&calls, "calls", nil, "`ROLE=ADDR` to answer the calls of other processes on, instead of what the file says; can be repeated")
	flags.StringVar(&advertise, "advertise", "", "`HOST`, a name or an address, at which other processes call this one (default: an address of this machine)")
	f.add(flags)
	return cmd
}

// applyCalls puts --calls and --advertise into c. Machines differ in them, so they are no keys of the file that all have in common.
func applyCalls(c *ca.Config, calls []string, advertise string) error {
	if advertise != "" {
		if _, problem := acme.IdentifierFor(advertise).Normalize(); problem != nil {
			return usageError{fmt.Errorf("--advertise %q: it is neither a name nor an address: %s", advertise, problem.Detail)}
		}
		c.Advertise = advertise
	}
	of := map[ca.Role]*ca.Calls{
		ca.RoleFront: &c.Front.Calls, ca.RoleWork: &c.Work.Calls, ca.RoleSigner: &c.Signer.Calls, ca.RoleValidator: &c.Validator.Calls,
	}
	for _, one := range calls {
		role, address, _ := strings.Cut(one, "=")
		into := of[ca.Role(role)]
		if into == nil {
			return usageError{fmt.Errorf("--calls %q: it takes ROLE=ADDR, with the role front, work, signer or validator", one)}
		}
		if err := checkCalls(address); err != nil {
			return usageError{fmt.Errorf("--calls %s: %w", role, err)}
		}
		into.Listen = address
	}
	return nil
}

// parseRoles reads --roles; "" is all of them.
func parseRoles(text string) (ca.Roles, error) {
	if text == "" {
		return nil, nil
	}
	roles, err := ca.ParseRoles(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("--roles: %w", err)}
	}
	return roles, nil
}

// The ports of roles for calls, where the file names none.
const (
	validatorCalls = ":9443"
	signerCalls    = ":9444"
	workCalls      = ":9445"
	frontCalls     = ":9446"
)

// withCalls has a process that shares a database answer the calls of others.
func withCalls(c ca.Config) ca.Config {
	if c.Database == "" {
		return c
	}
	for _, role := range []struct {
		calls    *ca.Calls
		standard string
	}{{&c.Signer.Calls, signerCalls}, {&c.Work.Calls, workCalls}, {&c.Front.Calls, frontCalls}} {
		if role.calls.Listen == "" {
			role.calls.Listen = role.standard
		}
	}
	return c
}

// serve runs an authority, or its part in this process, until ctx ends.
func serve(ctx context.Context, config ca.Config, out io.Writer) error {
	authority, err := ca.Open(ctx, config)
	if err != nil && ctx.Err() != nil {
		config.Log.Info("ended before it had started")
		return nil
	}
	if err != nil {
		return explain(err)
	}
	announced := make(chan error, 1)
	inner, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-inner.Done():
			announced <- nil
		case <-authority.Ready():
			announced <- announceAuthority(authority, config.Roles, out)
		}
	}()
	err = authority.Serve(ctx)
	cancel()
	if err := errors.Join(explain(err), <-announced); err != nil {
		return err
	}
	config.Log.Info("ended in good order")
	return nil
}

// announceAuthority says where a process that has become ready is to be found.
func announceAuthority(authority *ca.CA, roles ca.Roles, out io.Writer) error {
	if authority.New() {
		fmt.Fprintf(out, "A new root certificate was made. Whoever is to trust this CA must trust it: see %s or `cairn trust`.\n\n", authority.URL())
	}
	if err := authority.Page().WriteSummary(out); err != nil {
		return err
	}
	if len(roles) > 0 {
		fmt.Fprintf(out, "\nRoles here: %s\n", strings.Join(strings.Split(roles.String(), ","), ", "))
	}
	_, err := fmt.Fprintf(out, "\nReady. How to trust this CA: %s\n", authority.URL())
	return err
}

// serveValidator runs a remote perspective until ctx ends.
func serveValidator(ctx context.Context, c ca.Config, data string, out io.Writer) error {
	listen := c.Validator.Listen
	if listen == "" {
		listen = validatorCalls
	}
	v, err := ca.OpenValidator(ctx, ca.ValidatorConfig{
		Dir: data, Listen: listen, Version: version, Limit: c.Validator.Questions,
		Resolvers: c.Resolvers, ResolverRoots: c.DNS.Roots, HTTP01Port: c.HTTP01Port, TLSALPN01Port: c.TLSALPN01Port,
		AllowTargets: c.AllowTargets, HostsFile: c.HostsFile, ResolvConf: c.ResolvConf, Log: c.Log,
	})
	if err != nil {
		return explain(err)
	}
	return runValidator(ctx, v, c.Log, out)
}
