package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/ops"
	"github.com/cairn-ca/cairn/internal/ca/roles"
	"github.com/cairn-ca/cairn/internal/ca/rpc"
	"github.com/cairn-ca/cairn/internal/ca/trust"
)

func newToken() *cobra.Command {
	var data, list string
	var r ops.NodeTokenRequest
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token by which another machine joins this CA's cluster",
		Long: `Prints the command to run on the other machine. The token in it is good for one
machine, for one hour. Run this where the signer runs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if list == "" {
				return usageError{errors.New("--roles: name the roles that the machine is to have: some of " + strings.Join(roles.ClusterRoles(), ", "))}
			}
			r.Roles = strings.Split(list, ",")
			if err := roles.CheckRoles(r.Roles); err != nil {
				return usageError{fmt.Errorf("--roles: %w", err)}
			}
			if err := rpc.CheckNode(r.Node); err != nil {
				return usageError{fmt.Errorf("--name: %w", err)}
			}
			made, err := operate(cmd, data, ops.CreateNodeToken, r)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "cairn join %s --ca %s\n", made.Token, trust.Quote(made.URL))
			fmt.Fprintf(cmd.ErrOrStderr(), "Run this on the other machine, until %s. It will be called %s.\n",
				made.Expires.Local().Format("15:04 MST"), made.Node)
			return nil
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&list, "roles", "", "`ROLES` that the machine is to have, such as front,work: some of "+strings.Join(roles.ClusterRoles(), ", "))
	cmd.Flags().StringVar(&r.Node, "name", "", "`NODE` that the machine is to be called")
	return cmd
}

func newJoin() *cobra.Command {
	var data, address string
	cmd := &cobra.Command{
		Use:   "join TOKEN",
		Short: "Make this machine one of a CA's cluster",
		Long: `Makes a key for this machine, has it certified for the roles of the token, and keeps
both in the data directory. Afterwards, "cairn serve" can have those roles here.
The command to run is what "cairn token" prints where the signer runs.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return withHint(usageError{errors.New("it takes one token")}, "`cairn token` makes it where the signer runs")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := roles.ParseToken(args[0])
			if err != nil {
				return usageError{fmt.Errorf("the token: %w", err)}
			}
			if address == "" {
				return withHint(usageError{errors.New("--ca: name the signer's machine, https://HOST[:PORT]")},
					"`cairn token` prints the whole command")
			}
			url, err := ca.ParseURL(address)
			if err != nil {
				return usageError{fmt.Errorf("--ca %w", err)}
			}
			machine, err := roles.OpenMachine(data)
			if err != nil {
				return err
			}
			if err := machine.Join(cmd.Context(), url, token); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Node   %s\nRoles  %s\n", machine.Node(), strings.Join(machine.Roles(), ", "))
			return nil
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&address, "ca", "", "`https://HOST[:PORT]` of the signer's machine")
	cmd.Flags().StringVar(&data, "data", defaultData(), "`DIR` that holds who this machine is to the others")
	return cmd
}

// newNodes is the table of commands about the machines of a cluster.
func newNodes() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List and remove the machines of this CA's cluster",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNodesList(), newNodesRemove())
	for _, sub := range cmd.Commands() {
		if sub.Args == nil {
			sub.Args = noArguments
		}
	}
	return cmd
}

func newNodesList() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the machines of the cluster, their roles, and when they were last seen",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := operate(cmd, data, ops.ListNodes, struct{}{})
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(table, "NODE\tROLE\tADDRESS\tVERSION\tLAST SEEN")
			for _, n := range list {
				seen := "never"
				if !n.Seen.IsZero() {
					seen = n.Seen.UTC().Format(time.RFC3339)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%q\t%s\n", n.Node, n.Role, orDash(n.Address), n.Version, seen)
			}
			return table.Flush()
		},
	}
	dataFlag(cmd, &data)
	return cmd
}

func newNodesRemove() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "remove NODE",
		Short: "Have no machine of the cluster talk to one of them any more",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return withHint(usageError{errors.New("it takes the name of one node")}, "`cairn nodes list` lists them")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := operate(cmd, data, ops.RemoveNode, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The node %s does not belong to the cluster any more. Take its access to the database away, too.\n", args[0])
			return nil
		},
	}
	dataFlag(cmd, &data)
	return cmd
}
