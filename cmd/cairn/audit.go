package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/ops"
)

func newAudit() *cobra.Command {
	var data string
	q := ops.AuditQuery{}
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List what operators did to the CA with commands",
		RunE: func(cmd *cobra.Command, _ []string) error {
			events, err := operate(cmd, data, ops.AuditLog, q)
			if err != nil {
				return err
			}
			noteNone(cmd.ErrOrStderr(), len(events), "nothing was changed by a command yet")
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, e := range events {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", e.At.UTC().Format(time.RFC3339), e.Action, e.Subject, e.Detail)
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().IntVarP(&q.Limit, "limit", "n", 50, "how many (`N`) entries to show, the newest first")
	return cmd
}

// dataFlag adds --data to a command for the operator.
func dataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(data, "data", defaultData(), "`DIR` that `cairn up` uses")
}

// operate carries out an action on the authority of a data directory, whether it runs or not.
func operate[Request, Response any](cmd *cobra.Command, data string, a ops.Action[Request, Response], r Request) (Response, error) {
	response, err := ops.Run(cmd.Context(), ops.Caller{Dir: data, Log: quietLog(cmd.ErrOrStderr())}, a, r)
	if errors.Is(err, datadir.ErrNotMade) {
		err = withHint(err, "say with --data where the CA keeps its data: `cairn up` printed the path of root.pem, which is in that directory")
	}
	return response, err
}

// quietLog is the log of a command that does one thing.
func quietLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
