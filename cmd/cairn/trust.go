package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
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
			if errors.Is(err, datadir.ErrNotMade) {
				return withHint(err, "say with --data where the CA keeps its data: root.pem is in that directory, and `cairn up` printed its path")
			}
			if err != nil {
				return err
			}
			if !install && !uninstall {
				return page.WriteText(cmd.OutOrStdout())
			}
			store := trust.NewStore(trust.StoreConfig{Command: command(data, install)})
			if install {
				fmt.Fprintf(cmd.OutOrStdout(), "Root fingerprint %s\nIt vouches only for %s.\n", page.Colons(), strings.Join(page.Names, ", "))
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
	program, err := os.Executable() // sudo may look for programs elsewhere
	if err != nil {
		program = "cairn"
	}
	return fmt.Sprintf("%s trust --data %s %s", trust.Quote(program), trust.Quote(data), action)
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
