package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// migrateFlags is what can be said to `cairn migrate`.
type migrateFlags struct {
	config, database string
	users            []string
}

func newMigrate() *cobra.Command {
	var f migrateFlags
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the schema of a PostgreSQL database up to date, while others work with it",
		Long: `Makes the tables in an empty PostgreSQL database, or brings them up to what this
version of the program needs. Processes of the version before go on working meanwhile.
What was interrupted is taken up by the next run.

Run it as a user of the database who may change its schema. Those that the roles use
need less: --grant gives them what they need, and takes everything else from them.`,
		Example: `  cairn migrate --database postgres://owner@db.lan/cairn
  cairn migrate -c cairn.yaml --database postgres://owner@db.lan/cairn --grant front=cairn_front --grant work=cairn_work`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.migrate(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&f.config, "config", "c", "", "configuration `FILE` that names the database")
	flags.StringVar(&f.database, "database", "", "`URL` (postgres://…) of the database; goes before what the file says")
	flags.StringArrayVar(&f.users, "grant", nil, "`ROLE=USER`: the user of the database that a role has; can be repeated")
	return cmd
}

func (f migrateFlags) migrate(ctx context.Context, out, errs io.Writer) error {
	users, err := grantees(f.users)
	if err != nil {
		return err
	}
	if f.config != "" && f.database == "" {
		config, wrong := checkedConfig(f.config, errs)
		if len(wrong) > 0 {
			return wrong[0]
		}
		f.database = config.Database
	}
	switch {
	case f.database == "":
		return withHint(usageError{errors.New("--database: name the PostgreSQL database, here or in the file of --config")},
			"a SQLite database needs no command: the CA brings it up to date when it starts")
	case !isDatabase(f.database):
		return usageError{fmt.Errorf("--database %q: it is not of the form postgres://USER@HOST[:PORT]/DATABASE", redacted(f.database))}
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	if err := store.Migrate(ctx, store.MigrateConfig{URL: f.database, Log: log, Roles: users}); err != nil {
		return explain(err)
	}
	_, err = fmt.Fprintf(out, "%s is up to date.\n", redacted(f.database))
	return err
}

// grantees reads --grant: users by roles.
func grantees(list []string) (map[string]string, error) {
	users := make(map[string]string)
	for _, one := range list {
		role, user, _ := strings.Cut(one, "=")
		known := slices.Contains(ca.AllRoles(), ca.Role(role)) && ca.Role(role) != ca.RoleValidator // which has no database
		if !known || user == "" {
			return nil, usageError{fmt.Errorf("--grant %q: it takes ROLE=USER, with the role front, work, signer, crl or ops", one)}
		}
		if users[role] != "" {
			return nil, usageError{fmt.Errorf("--grant: the role %s is there twice", role)}
		}
		users[role] = user
	}
	return users, nil
}
