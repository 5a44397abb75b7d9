package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/ops"
)

// newRenewals is the table of commands about when certificates are to be renewed.
func newRenewals() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "renewals",
		Short: "Tell clients to renew certificates early",
		Long: `Clients that ask for renewal information (RFC 9773), as newer ones do, learn within
hours that a certificate is to be renewed, for example because it will be revoked.
Nothing is revoked by it.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRenewalsSet(), newRenewalsClear())
	return cmd
}

// someSerials wants at least one.
func someSerials(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return withHint(usageError{errors.New("it takes serial numbers in hexadecimal")}, "`openssl x509 -noout -serial -in cert.pem` shows one")
}

func newRenewalsSet() *cobra.Command {
	var data, start, end string
	var r ops.RenewalRequest
	cmd := &cobra.Command{
		Use:   "set SERIAL...",
		Short: "Have certificates renewed at once, or between two times",
		Args:  someSerials,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.Serials = args
			for _, flag := range []struct {
				name, text string
				into       *time.Time
			}{{"start", start, &r.Start}, {"end", end, &r.End}} {
				if flag.text == "" {
					continue
				}
				if *flag.into, err = time.Parse(time.RFC3339, flag.text); err != nil {
					return usageError{fmt.Errorf("--%s %q: it is a time such as 2026-12-24T18:00:00Z", flag.name, flag.text)}
				}
			}
			count, err := operate(cmd, data, ops.SetRenewals, r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d to be renewed: clients learn of it within 8 hours\n", count)
			return err
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&r.Explanation, "explanation", "", "`URL` of a page that tells people why")
	cmd.Flags().StringVar(&start, "start", "", "`TIME` from which on to renew (default: at once)")
	cmd.Flags().StringVar(&end, "end", "", "`TIME` until which to renew")
	return cmd
}

func newRenewalsClear() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "clear SERIAL...",
		Short: "Leave the time of renewal to the certificates' age again",
		Args:  someSerials,
		RunE: func(cmd *cobra.Command, args []string) error {
			count, err := operate(cmd, data, ops.ClearRenewals, ops.RenewalRequest{Serials: args})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d as usual\n", count)
			return err
		},
	}
	dataFlag(cmd, &data)
	return cmd
}
