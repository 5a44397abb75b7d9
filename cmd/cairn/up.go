package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/datadir"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// upFlags is what can be said to `cairn up`.
type upFlags struct {
	configFile                     string
	data, listen, http, url, terms string
	database                       string
	names, resolvers, targets      []string
	newRoot, verbose               bool
	http01Port, tlsALPN01Port      int
	accounts                       accountFlags
	challenges                     challengeFlags
	limits                         limitFlags
	resolver                       resolverFlags
	observe                        observeFlags
}

func newUp() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a certificate authority; nothing needs to be configured",
		Long: `Starts a certificate authority and runs it until it is told to end.

The first start makes a root certificate, an issuer, a database and the CA's own
HTTPS certificate in the data directory; later starts use what is there. The root
can only vouch for private names and addresses, and for those that --names adds.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := f.readConfig(cmd.Flags())
			if err != nil {
				return err
			}
			config, err := f.configWith(file, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), config, cmd.OutOrStdout())
		},
	}
	cmd.Flags().SortFlags = false
	f.add(cmd.Flags())
	return cmd
}

// add defines the flags, which are also the keys of the configuration file.
func (f *upFlags) add(flags *pflag.FlagSet) {
	flags.StringVarP(&f.configFile, "config", "c", "", "`FILE` (YAML) with more to configure; flags go before what it says")
	flags.StringVar(&f.data, "data", defaultData(), "`DIR` that holds the keys, the certificates and the database")
	flags.StringVar(&f.database, "database", "", "`URL` (postgres://…) of a database to use instead of SQLite in --data; several machines can share it")
	flags.StringVar(&f.listen, "listen", ":8443", "`ADDR` to answer ACME on, over HTTPS")
	flags.StringVar(&f.http, "http", ":8080", "`ADDR` to serve CRLs and issuers' certificates on, over plain HTTP")
	flags.StringVar(&f.url, "url", "", "`https://HOST[:PORT]` under which clients reach this CA (default: this machine's name)")
	flags.StringArrayVar(&f.names, "names", nil, "domain `SUFFIX`, address or range to issue for, beside private ones; can be repeated")
	flags.BoolVar(&f.newRoot, "new-root", false, "make another root beside the present one if that does not permit --names")
	flags.StringArrayVar(&f.resolvers, "resolver", nil, "DNS `SERVER` to ask instead of the machine's: ADDRESS:PORT, tcp://ADDRESS, tls://NAME@ADDRESS or https://NAME@ADDRESS/dns-query; can be repeated")
	flags.StringVar(&f.resolver.ca, "resolver-ca", "", "`FILE` (PEM) with root certificates to trust for those servers, beside the machine's")
	flags.BoolVar(&f.resolver.requireDNSSEC, "require-dnssec", false, "use only DNS servers that validate DNSSEC and can be believed, and do not start without")
	flags.StringArrayVar(&f.resolver.caaIdentities, "caa-identity", nil, "`DOMAIN` that means this CA in CAA records; can be repeated (default: the host of --url)")
	flags.BoolVar(&f.resolver.noCAA, "no-caa", false, "do not look for CAA records of public names")
	flags.IntVar(&f.http01Port, "http-01-port", 80, "`PORT` at which http-01 challenges are checked")
	flags.IntVar(&f.tlsALPN01Port, "tls-alpn-01-port", 443, "`PORT` at which tls-alpn-01 challenges are checked")
	flags.StringArrayVar(&f.targets, "allow-target", nil, "address range (`CIDR`) to check challenges at although it is refused by default; can be repeated")
	flags.StringVar(&f.terms, "terms", "", "`URL` of terms of service that clients must agree to")
	f.challenges.add(flags)
	f.accounts.add(flags)
	f.limits.add(flags)
	f.observe.add(flags)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every request")
}

// readConfig reads the configuration file, if one is named, into f and the sections.
func (f *upFlags) readConfig(flags *pflag.FlagSet) (configFile, error) {
	if f.configFile == "" {
		return configFile{}, nil
	}
	file, err := readConfig(f.configFile, flags)
	if err != nil {
		return file, usageError{err}
	}
	return file, nil
}

// configWith is what the flags and the file say.
func (f upFlags) configWith(file configFile, logs io.Writer) (ca.Config, error) {
	config, err := f.config(logs)
	if err != nil {
		return config, err
	}
	config.Version = version
	return config, file.apply(&config)
}

// config checks the flags; an error names the flag and what it takes.
func (f upFlags) config(logs io.Writer) (ca.Config, error) {
	bad := func(flag, value string, why any) (ca.Config, error) {
		return ca.Config{}, usageError{fmt.Errorf("--%s %q: %v", flag, value, why)}
	}
	level := slog.LevelInfo
	if f.verbose {
		level = slog.LevelDebug
	}
	if f.data == "" {
		return bad("data", f.data, "neither it nor $HOME or $XDG_DATA_HOME says where data belongs")
	}
	log, err := f.observe.logger(logs, level)
	if err != nil {
		return ca.Config{}, err
	}
	c := ca.Config{
		Dir: f.data, Listen: f.listen, HTTP: f.http, URL: f.url, NewRoot: f.newRoot, Terms: f.terms,
		HTTP01Port: f.http01Port, TLSALPN01Port: f.tlsALPN01Port, Resolvers: f.resolvers,
		Log: log,
	}
	if f.database != "" && !isDatabase(f.database) {
		return bad("database", redacted(f.database), "it is not of the form postgres://USER@HOST[:PORT]/DATABASE")
	}
	c.Database = f.database
	names, err := acme.ParseSubtrees(f.names)
	if err != nil {
		return ca.Config{}, usageError{fmt.Errorf("--names: %w", err)}
	}
	c.Names = names
	if err := errors.Join(f.resolver.apply(&c), f.challenges.apply(&c)); err != nil {
		return ca.Config{}, err
	}
	c.AllowTargets, err = checkNetwork(f.resolvers, f.targets, map[string]int{"http-01-port": f.http01Port, "tls-alpn-01-port": f.tlsALPN01Port})
	if err != nil {
		return ca.Config{}, err
	}
	if f.url != "" {
		if c.URL, err = ca.ParseURL(f.url); err != nil {
			return ca.Config{}, usageError{fmt.Errorf("--url %w", err)}
		}
	}
	if u, err := url.Parse(f.terms); f.terms != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "") {
		return bad("terms", f.terms, "it is not the URL of a page")
	}
	return c, errors.Join(f.accounts.apply(&c), f.limits.apply(&c), f.observe.apply(&c))
}

// explain adds what to do about an error of starting, where its text does not say so.
func explain(err error) error {
	var network *net.OpError
	listening := errors.As(err, &network)
	switch {
	case errors.Is(err, store.ErrOutdated):
		return withHint(err, "`cairn migrate` brings it up to date")
	case errors.Is(err, ca.ErrCalls):
		return withHint(err, "choose another address with calls in the section of the role, or with --calls ROLE=ADDR")
	case errors.Is(err, syscall.EADDRINUSE):
		return withHint(err, "another program has the port: choose another with --listen or --http, or end that program")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return withHint(err, "--listen and --http take an address of this machine, or just :PORT")
	case listening && errors.Is(err, fs.ErrPermission):
		return withHint(err, "choose a port above 1023 with --listen and --http, or start as root")
	case errors.Is(err, syscall.EROFS):
		return withHint(err, "the file system can only be read: choose another directory with --data")
	case errors.Is(err, syscall.ENOSPC):
		return withHint(err, "the disk is full: make room, or choose another directory with --data")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "choose a directory of yours with --data, or start as the user whose it is")
	}
	return err
}

// defaultData is where data goes when --data is not given; "" if nothing says where.
func defaultData() string {
	dir, err := datadir.Default(os.Geteuid(), os.Getenv("HOME"), os.Getenv("XDG_DATA_HOME"))
	if err != nil {
		return ""
	}
	return dir
}
