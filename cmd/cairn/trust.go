package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/trust"
)

func newTrust() *cobra.Command {
	var data string
	var install, uninstall bool
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Say how to trust the CA's root certificate, or do it on this machine",
		Long: `Prints the root's fingerprint and how to trust it on every common system. With
--install it makes this machine trust the root, with --uninstall no longer.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			page, err := ca.PageOf(data)
			if err != nil {
				return err
			}
			if !install && !uninstall {
				return page.WriteText(cmd.OutOrStdout())
			}
			store := trust.NewStore(trust.StoreConfig{Command: command(data, install)})
			if install {
				done, err := store.Install(cmd.Context(), page.Root)
				return tell(cmd.OutOrStdout(), done, "now trusts the root", err)
			}
			done, err := store.Uninstall(cmd.Context(), page.Root)
			return tell(cmd.OutOrStdout(), done, "does not trust the root any more", err)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&data, "data", defaultData(), "`DIR` that `cairn up` uses")
	flags.BoolVar(&install, "install", false, "make this machine trust the root")
	flags.BoolVar(&uninstall, "uninstall", false, "undo --install")
	cmd.MarkFlagsMutuallyExclusive("install", "uninstall")
	return cmd
}

// command is what the person would run again with more rights.
func command(data string, install bool) string {
	action := "--uninstall"
	if install {
		action = "--install"
	}
	return fmt.Sprintf("cairn trust --data %s %s", data, action)
}

// tell says what was done to the machine's store.
func tell(w io.Writer, done trust.Change, what string, err error) error {
	if err != nil {
		return err
	}
	if !done.Changed {
		what += "; nothing had to be changed"
	}
	fmt.Fprintf(w, "This machine (%s) %s.\n", done.System, what)
	if done.File != "" {
		fmt.Fprintf(w, "The certificate's file is %s.\n", done.File)
	}
	for _, note := range done.Notes {
		fmt.Fprintf(w, "%s\n", note)
	}
	return nil
}
