package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
)

// newConfig is the table of commands about the configuration file.
func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, show or modernize a configuration file",
		Long: `Looks at a configuration file as "cairn serve" and "cairn up --config" read it. No CA
needs to run, and none is asked.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigCheck(), newConfigShow(), newConfigMigrate())
	return cmd
}

func newConfigCheck() *cobra.Command {
	var roles string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong in a configuration file, and what would not work on this machine",
		Args:  takes(1, 1, "one configuration file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := parseRoles(roles)
			if err != nil {
				return err
			}
			config, wrong := checkedConfig(args[0], cmd.ErrOrStderr())
			if len(wrong) > 0 {
				for _, err := range wrong[:len(wrong)-1] {
					complain(cmd.ErrOrStderr(), err)
				}
				return wrong[len(wrong)-1] // which run complains of
			}
			config.Roles = wanted
			for _, warning := range warnings(config, args[0]) {
				fmt.Fprintf(cmd.ErrOrStderr(), "cairn: warning: %s\n", warning)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s can be used.\n", args[0])
			return err
		},
	}
	cmd.Flags().StringVar(&roles, "roles", "", "`ROLES` that are to run on this machine, as of \"cairn serve\" (default: all)")
	return cmd
}

// checkedConfig reads the file at path as if it alone said everything, and lists all that is wrong with it.
func checkedConfig(path string, errs io.Writer) (ca.Config, []error) {
	var f upFlags
	flags := pflag.NewFlagSet("file", pflag.ContinueOnError)
	f.add(flags)
	file, wrong := readWholeConfig(path, flags)
	for i, err := range wrong {
		wrong[i] = usageError{err}
	}
	config, err := f.config(errs)
	if err != nil {
		wrong = append(wrong, inFile(file, flags, err))
	}
	config.Log = quietLog(errs)
	return config, append(wrong, file.applyAll(&config)...)
}

// inFile says of an error about a flag in which line of the file that stands.
func inFile(file configFile, flags *pflag.FlagSet, err error) error {
	var found error
	flags.VisitAll(func(flag *pflag.Flag) {
		key := strings.ReplaceAll(flag.Name, "-", "_")
		rest, ok := strings.CutPrefix(err.Error(), "--"+flag.Name)
		if ok && file.lines[key] != 0 && strings.HasPrefix(strings.TrimLeft(rest, ":"), " ") {
			found = fmt.Errorf("%s: line %d: %s: %s", file.path, file.lines[key], key, strings.TrimLeft(rest, ": "))
		}
	})
	if found == nil {
		return usageError{fmt.Errorf("%s: %w", file.path, err)}
	}
	return usageError{found}
}

// warnings lists what would not work on this machine, or should not be so, with the roles of c.
func warnings(c ca.Config, path string) (list []string) {
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	alone := len(c.Roles) == 1 && c.Roles[0] == ca.RoleValidator
	if err := c.Roles.Check(c.Database != ""); err != nil && !alone {
		add("%v", err)
	}
	for _, port := range lowPorts(c) {
		add("%s: a port below %d is for root here: choose another, or start as root", port, firstFreePort())
	}
	if c.Database != "" && c.URL == "" {
		add("url is not set: processes on several machines need the one URL under which clients reach them, https://HOST[:PORT]")
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o044 != 0 && c.Database != redacted(c.Database) {
		add("database: its password can be read by others (mode %04o of %s): close the file with `chmod 640 %s`, or keep the password in ~/.pgpass", info.Mode().Perm(), path, path)
	}
	if c.Roles.Has(ca.RoleSigner) {
		if err := checkData(c.Dir); err != nil {
			add("data: %v", err)
		}
	}
	return list
}

// checkData says what keeps a data directory from being used. That there is none yet is fine.
func checkData(dir string) error {
	d, err := datadir.Open(datadir.Config{Dir: dir, ReadOnly: true})
	if err == nil {
		return d.Close()
	}
	if errors.Is(err, datadir.ErrNotMade) {
		return nil // the first start makes it
	}
	return err
}

// lowPorts lists what of c listens on a port that this user cannot have.
func lowPorts(c ca.Config) (list []string) {
	if os.Geteuid() == 0 {
		return nil
	}
	for _, l := range []struct {
		key, address string
		here         bool
	}{
		{"listen", c.Listen, c.Roles.Has(ca.RoleFront)}, {"http", c.HTTP, c.Roles.Has(ca.RoleFront)},
		{"front: calls", c.Front.Listen, c.Roles.Has(ca.RoleFront)}, {"work: calls", c.Work.Listen, c.Roles.Has(ca.RoleWork)},
		{"signer: calls", c.Signer.Listen, c.Roles.Has(ca.RoleSigner)}, {"validator: calls", c.Validator.Listen, c.Roles.Has(ca.RoleValidator)},
	} {
		_, port, err := net.SplitHostPort(l.address)
		if n, portErr := strconv.Atoi(port); l.here && err == nil && portErr == nil && n > 0 && n < firstFreePort() {
			list = append(list, l.key)
		}
	}
	return list
}

// firstFreePort is the first port that any user can listen on: 1024, where the system does not say otherwise.
func firstFreePort() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if n, numberErr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && numberErr == nil {
		return n
	}
	return 1024
}

// isDatabase reports whether text is the URL of a PostgreSQL database.
func isDatabase(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") && u.Fragment == ""
}

// redacted is the URL of a database without its password.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	if query := u.Query(); query.Has("password") {
		query.Set("password", "xxxxx")
		u.RawQuery = query.Encode()
	}
	return u.Redacted()
}
