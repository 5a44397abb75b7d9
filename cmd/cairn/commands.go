package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newRoot is the table of sub-commands.
func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "cairn",
		Short: "A certificate authority that speaks ACME",
		Long: `Cairn is a certificate authority of your own that speaks ACME, the protocol of
Let's Encrypt, so that certbot, lego, acme.sh, Caddy and cairnbot get their
certificates from it.

Start with:  cairn up`,
		Version:       version,
		SilenceErrors: true, // complain says them
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("cairn {{.Version}}\n")
	root.SetUsageFunc(showUsage)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(usageError{err}, "%s --help lists what can be said", cmd.CommandPath())
	})
	root.AddCommand(
		newUp(), newServe(), newTrust(),
		newConfig(), newMigrate(),
		newProfiles(), newRenewals(),
		newEAB(),
		newBench(),
		newLimits(),
		newEvidence(), newPebble(), newAudit(),
		newToken(), newJoin(), newNodes(), newValidator(),
	)
	for _, cmd := range append(root.Commands(), root) {
		if cmd.Args == nil || cmd == root {
			cmd.Args = noArguments
		}
	}
	return root
}

// noArguments refuses words that are neither commands nor flags.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if args[0] == "true" || args[0] == "false" {
		return withHint(usageError{fmt.Errorf("%q belongs to no flag", args[0])}, "write it with =, as in --FLAG=%s", args[0])
	}
	return withHint(usageError{fmt.Errorf("%q is not a command of %s", args[0], cmd.CommandPath())},
		"%s --help lists what can be said", cmd.CommandPath())
}
