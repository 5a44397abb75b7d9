package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/ops"
)

func newEvidence() *cobra.Command {
	var data string
	var asJSON bool
	q := ops.EvidenceQuery{}
	cmd := &cobra.Command{
		Use:   "evidence NAME|ID",
		Short: "Show what validations of a name saw, or those of one order or authorization",
		Long: `Shows what the CA saw when it checked control of a name: addresses, connections,
redirects, the first octets of pages, DNS answers, CAA records, and what the client
was told. The newest comes first. IDs of orders and authorizations are in the log.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(usageError{errors.New("evidence takes one name or ID")}, "for example: cairn evidence www.corp.lan")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Of = args[0]
			seen, err := operate(cmd, data, ops.Evidence, q)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(seen)
			}
			if len(seen) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "Nothing is known of validations of %s: none was made, or what it saw is no longer kept.\n", q.Of)
			}
			return writeEvidence(cmd.OutOrStdout(), seen)
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().IntVarP(&q.Limit, "limit", "n", 10, "how many (`N`) validations to show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func writeEvidence(w io.Writer, seen []ops.Seen) error {
	for _, s := range seen {
		verdict := "valid"
		if !s.Valid && s.Problem != nil {
			verdict = "failed: " + s.Problem.Error()
		} else if !s.Valid {
			verdict = "failed"
		}
		fmt.Fprintf(w, "%s  %s  authorization %s\n%s\n", s.At.UTC().Format(time.RFC3339), s.Method, s.Authz, verdict)
		var pretty bytes.Buffer
		if len(s.Evidence) > 0 {
			if err := json.Indent(&pretty, s.Evidence, "", "  "); err != nil {
				return fmt.Errorf("reading the evidence: %w", err)
			}
		}
		fmt.Fprintf(w, "%s\n\n", pretty.Bytes())
	}
	return nil
}
