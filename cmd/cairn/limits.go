package main

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// newLimits is the table of commands about rate limits.
func newLimits() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limits",
		Short: "Show rate limits, change them for one subject, unpause names",
		Long: `Which rate limits there are is said to "cairn up", with --limits or in the
configuration file. These commands show what was used of them and change a limit
for one account, domain or address. docs/limits.md explains each limit.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLimitsList(), newLimitsShow(), newLimitsSet(), newLimitsUnset(), newLimitsReset(), newLimitsPaused(), newLimitsUnpause())
	for _, sub := range cmd.Commands() {
		if sub.Args == nil {
			sub.Args = noArguments
		}
	}
	return cmd
}

// takes makes a check of how many words a command takes.
func takes(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return withHint(usageError{fmt.Errorf("%s takes %s", cmd.CommandPath(), what)}, "%s --help lists what can be said", cmd.CommandPath())
	}
}

// when is a time for people, or a word for none.
func when(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format(time.RFC3339)
}

func newLimitsList() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the limits that are on, and what was set for single subjects",
		RunE: func(cmd *cobra.Command, _ []string) error {
			shown, err := operate(cmd, data, ops.ListLimits, struct{}{})
			if err != nil {
				return err
			}
			return writeLimits(cmd.OutOrStdout(), shown)
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func writeLimits(w io.Writer, shown ops.LimitsShown) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	if !shown.Known {
		fmt.Fprintln(table, "The CA does not run: the limits are known while it does.")
	}
	for _, l := range shown.Limits {
		fmt.Fprintf(table, "%s\tall\t%s\t\t\n", l.Limit, l.Rule)
	}
	for _, o := range shown.Overrides {
		state := ""
		switch {
		case o.Expired:
			state = "(over)"
		case o.Idle:
			state = "(the limit is off)"
		case !o.Expires.IsZero():
			state = "until " + when(o.Expires, "")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", o.Limit, o.Subject, o.Rule, state, o.Note)
	}
	return table.Flush()
}

func newLimitsShow() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "show ACCOUNT|DOMAIN|ADDRESS ...",
		Short: "Show what some accounts, domains or addresses have left",
		Args:  takes(1, 100, "accounts, domains or addresses"),
		RunE: func(cmd *cobra.Command, args []string) error {
			shown, err := operate(cmd, data, ops.ShowLimits, args)
			if err != nil {
				return err
			}
			noteNone(cmd.ErrOrStderr(), len(shown), "no limit that is on is for this, and nothing was used: `cairn limits list` shows the limits")
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, b := range shown {
				left := "no limit"
				switch b.Rule {
				case "":
				case ops.UnknownRule:
					left = "the CA does not run"
				default:
					left = fmt.Sprintf("%d of %d left", b.Left, b.Allowed)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\tfull again %s\n", b.Limit, b.Subject, left, b.Rule, when(b.FullAgain, "now"))
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newLimitsSet() *cobra.Command {
	var data, until string
	var r ops.OverrideRequest
	cmd := &cobra.Command{
		Use:   "set LIMIT SUBJECT COUNT/PERIOD|unlimited",
		Short: "Set another limit for one account, domain, address or set of names",
		Example: `  cairn limits set certificates-per-domain corp.example 500/7d --note "asked for by mail"
  cairn limits set orders-per-account ACCOUNT unlimited --until 2027-01-31
  cairn limits set failed-authorizations ACCOUNT "1/10m burst 100"`,
		Args: takes(3, 3, "a limit, a subject and COUNT/PERIOD"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			r.Limit, r.Subject, r.Rule = args[0], args[1], args[2]
			if r.Until, err = parseUntil(until, time.Now()); err != nil {
				return usageError{err}
			}
			set, err := operate(cmd, data, ops.SetLimit, r)
			if err != nil {
				return err
			}
			if set.Idle {
				fmt.Fprintf(cmd.ErrOrStderr(), "cairn: note: the limit %s is off: this counts once it is on\n", set.Limit)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s %s, until %s\n", set.Limit, set.Subject, set.Rule, when(set.Expires, "it is unset"))
			return err
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&until, "until", "", "when the usual limit is back: a `DAY` (2027-01-31), a time (RFC 3339), or how long from now (30d)")
	cmd.Flags().StringVar(&r.Note, "note", "", "`TEXT` that tells you why")
	return cmd
}

// parseUntil reads a day (its end, UTC), a time or a period from now; "" is the zero time.
func parseUntil(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if period, err := rules.ParsePeriod(text); err == nil {
		return now.Add(period), nil
	}
	return time.Time{}, fmt.Errorf("--until %q: it is a day such as 2027-01-31, a time such as 2027-01-31T12:00:00Z, or a period such as 30d", text)
}

func newLimitsUnset() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "unset LIMIT SUBJECT",
		Short: "Take back what was set for a subject",
		Args:  takes(2, 2, "a limit and a subject"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := operate(cmd, data, ops.UnsetLimit, ops.LimitRequest{Limit: args[0], Subject: args[1]})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s is as for all others\n", o.Limit, o.Subject)
			return err
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newLimitsReset() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "reset LIMIT SUBJECT",
		Short: "Forget what a subject has used of a limit",
		Args:  takes(2, 2, "a limit and a subject"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := operate(cmd, data, ops.ResetLimit, ops.LimitRequest{Limit: args[0], Subject: args[1]})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s is unused\n", r.Limit, r.Subject)
			return err
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newLimitsPaused() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "paused",
		Short: "List the names that accounts may not order, since they never proved them",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := operate(cmd, data, ops.ListPaused, struct{}{})
			if err != nil {
				return err
			}
			noteNone(cmd.ErrOrStderr(), len(list), "no name is paused")
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, p := range list {
				fmt.Fprintf(table, "%s\t%s\tsince %s\t%s\n", p.Account, p.Identifier, when(p.Since, ""), cmp.Or(p.Reason, "for an unknown reason"))
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newLimitsUnpause() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "unpause ACCOUNT [NAME]",
		Short: "Let an account order a paused name, or all of them, again",
		Args:  takes(1, 2, "an account, and a name if only that is meant"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := ops.UnpauseRequest{Account: args[0]}
			if len(args) == 2 {
				r.Identifier = args[1]
			}
			count, err := operate(cmd, data, ops.UnpauseName, r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d unpaused\n", count)
			return err
		},
	}
	dataFlag(cmd, &data)
	return cmd
}
