package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/ops"
)

// newEAB is the table of commands about external account binding.
func newEAB() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "eab",
		Short: "Give away keys for accounts (external account binding)",
		Long: `A client that has such a key proves with it, when it registers, who it is to the
operator (RFC 8555 §7.3.4). A key can be limited to some names: accounts that were
registered with it get certificates for those alone. "cairn up --eab required"
lets nobody register without one.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newEABCreate(), newEABList(), newEABRevoke())
	for _, sub := range cmd.Commands() {
		if sub.Args == nil {
			sub.Args = noArguments
		}
	}
	return cmd
}

func newEABCreate() *cobra.Command {
	var data, uses, expires string
	var r ops.ExternalKeyRequest
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a key, and show how clients take it",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if r.Uses, err = parseUses(uses); err != nil {
				return usageError{err}
			}
			if r.Valid, err = parseDays(expires); err != nil {
				return usageError{fmt.Errorf("--expires %w", err)}
			}
			made, err := operate(cmd, data, ops.CreateExternalKey, r)
			if err != nil {
				return err
			}
			return writeExternalKey(cmd.OutOrStdout(), made)
		},
	}
	dataFlag(cmd, &data)
	flags := cmd.Flags()
	flags.StringArrayVar(&r.Names, "names", nil, "domain `SUFFIX`, address or range that its accounts get certificates for (default: all that the CA issues for); can be repeated")
	flags.StringVar(&uses, "uses", "1", "`N` accounts can be registered with it, or \"unlimited\"")
	flags.StringVar(&expires, "expires", "", "how long it can be used, such as `30d` or 12h (default: for ever)")
	flags.StringVar(&r.Note, "note", "", "`TEXT` that tells you what it is for")
	return cmd
}

func parseUses(text string) (int, error) {
	if text == "unlimited" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 1_000_000 {
		return 0, fmt.Errorf("--uses %q: it is a number from 1 to 1000000, or \"unlimited\"", text)
	}
	return n, nil
}

// parseDays reads a time such as "30d" or "12h"; "" is 0.
func parseDays(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n < 36_500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q: it is a time such as 30d or 12h", text)
}

// writeExternalKey shows a new key, once and never again, and how clients take it.
func writeExternalKey(w io.Writer, made ops.ExternalKeyMade) error {
	_, err := fmt.Fprintf(w, `Key identifier (kid):  %[1]s
Key (HMAC, base64url): %[2]s

The key is shown this once. The client must trust this CA: %[4]s says how. To register with the key:

  certbot register --server %[3]s --eab-kid %[1]s --eab-hmac-key %[2]s
  lego --server %[3]s --eab --kid %[1]s --hmac %[2]s -m YOU@EXAMPLE -d NAME ... run
  acme.sh --register-account --server %[3]s --eab-kid %[1]s --eab-hmac-key %[2]s

For Caddy, in the Caddyfile:

  {
      acme_ca %[3]s
      acme_eab {
          key_id  %[1]s
          mac_key %[2]s
      }
  }
`, made.ID, made.Key, made.Directory, strings.TrimSuffix(made.Directory, "/directory"))
	return err
}

func newEABList() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the keys, newest first, without their secrets",
		RunE: func(cmd *cobra.Command, _ []string) error {
			keys, err := operate(cmd, data, ops.ListExternalKeys, struct{}{})
			if err != nil {
				return err
			}
			noteNone(cmd.ErrOrStderr(), len(keys), "there are no keys yet: `cairn eab create` makes one")
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, k := range keys {
				uses, expires := "unlimited", "never"
				if k.Uses > 0 {
					uses = strconv.Itoa(k.Uses)
				}
				if !k.Expires.IsZero() {
					expires = k.Expires.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(table, "%s\tused %d of %s\texpires %s\t%s\t%s\t%s\n", k.ID, k.Used, uses, expires,
					cmp.Or(strings.Join(k.Names, ","), "all names"), k.State, k.Note)
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newEABRevoke() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End a key: no more accounts are registered with it; those that were stay",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return withHint(usageError{errors.New("it takes the identifier of one key")}, "`cairn eab list` shows all")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := operate(cmd, data, ops.RevokeExternalKey, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", key.ID, key.State)
			return err
		},
	}
	dataFlag(cmd, &data)
	return cmd
}
