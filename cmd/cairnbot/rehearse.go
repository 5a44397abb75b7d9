package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/atomicfile"
	"github.com/cairn-ca/cairn/internal/bot/dns"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/ca/rehearsal"
)

// rehearsable are the verbs that can be rehearsed.
var rehearsable = []string{"run", "certonly", "renew"}

// rehearseIn puts copies of all certificates into a temporary directory, starts a CA in this process, and points the
// run at both. What it returns undoes that. Only what the run itself starts can reach beyond the directory: its methods and its
// pre- and post-hooks, since they are what is rehearsed.
func (a *app) rehearseIn(ctx context.Context) (end func(), err error) {
	directory, err := os.MkdirTemp("", "cairnbot-rehearsal-") // 0700: there are private keys in it
	if err != nil {
		return nil, fmt.Errorf("making a directory to rehearse in: %w", err)
	}
	clean := func() {
		if err := os.RemoveAll(directory); err != nil {
			a.log.Warn("the copies of a rehearsal stay behind: remove them", "path", directory, "error", err)
		}
	}
	stage := &stage{dirs: lineage.Dirs{Config: filepath.Join(directory, "config"), Work: filepath.Join(directory, "work"), Logs: filepath.Join(directory, "logs")},
		ports: make(map[acme.Identifier]int), tlsPorts: make(map[acme.Identifier]int)}
	for _, profile := range []string{a.preferredProfile, a.requiredProfile} {
		stage.offer(profile)
	}
	stage.ask(a.dns.resolvers...)
	if err := a.copyTo(ctx, stage); err != nil {
		clean()
		return nil, fmt.Errorf("copying the certificates to rehearse with: %w", err)
	}
	server, err := a.startRehearsal(ctx, stage, filepath.Join(directory, "root.pem"))
	if err != nil {
		clean()
		return nil, err
	}
	a.actOn(stage, server, filepath.Join(directory, "root.pem"))
	return func() {
		if err := server.Close(); err != nil {
			a.log.Debug("the CA of the rehearsal did not end well", "error", err)
		}
		clean()
	}, nil
}

// stage is what a rehearsal is played on.
type stage struct {
	dirs     lineage.Dirs
	ports    map[acme.Identifier]int // where the CA looks at http-01 challenges, if not at port 80
	tlsPorts map[acme.Identifier]int // and at tls-alpn-01 challenges, if not at port 443
	profiles []string                // that certificates ask for
	asked    []string                // DNS servers, ADDRESS:PORT each; none for those of this machine
}

// ask adds DNS servers, as --dns-resolver has them.
func (s *stage) ask(servers ...string) {
	for _, text := range servers {
		if server, err := dns.ParseServer(text); err == nil && !slices.Contains(s.asked, server.String()) {
			s.asked = append(s.asked, server.String())
		}
	}
}

func (s *stage) offer(profile string) {
	if profile != "" && !slices.Contains(s.profiles, profile) {
		s.profiles = append(s.profiles, profile)
	}
}

// copyTo copies the certificates. The locks are held meanwhile, and no longer.
func (a *app) copyTo(ctx context.Context, to *stage) (err error) {
	if _, err := os.Stat(filepath.Join(a.configDir, "renewal")); errors.Is(err, os.ErrNotExist) {
		return nil // there is nothing yet, and a rehearsal begins nothing
	}
	from, err := lineage.OpenWithin(ctx, lineage.Dirs{Config: a.configDir, Work: a.workDir, Logs: a.logsDir}, a.lockWait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	into, err := lineage.Open(to.dirs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	lineages, broken, err := from.List()
	if err != nil {
		return err
	}
	for _, b := range broken {
		a.log.Warn("a renewal configuration is invalid, and left out of the rehearsal", "path", b.Path, "error", b.Err)
	}
	for _, l := range lineages {
		if a.verb == "renew" && a.certName != "" && l.Name != a.certName {
			continue
		}
		if err := to.take(into, l); err != nil {
			a.log.Warn("a certificate is left out of the rehearsal", "name", l.Name, "error", err)
		}
	}
	return nil
}

// outward are the keys of our own section that would have a renewal write, or ask, beyond the stage.
func outward() []string {
	return []string{ownFallbacks, ownFirst, ownFirstID, ownPKCS12, ownPassword, ownCombined}
}

// take copies one lineage: its live version, and its configuration with other paths.
func (s *stage) take(into *lineage.Store, l *lineage.Lineage) error {
	params, err := l.Conf.Params()
	if err != nil {
		return err
	}
	material, err := l.Material(l.Version())
	if err != nil {
		return err
	}
	made, err := into.Create(l.Name, material, lineage.Setup{Params: params})
	if err != nil {
		return err
	}
	conf, err := lineage.ParseConf(l.Conf.Bytes())
	if err != nil {
		return err
	}
	root := conf.Document().Root()
	paths := map[string]string{"archive_dir": made.Archive()}
	for _, kind := range lineage.Kinds() {
		paths[string(kind)] = made.Path(kind)
	}
	for key, path := range paths {
		if err := root.Set(key, lineage.String(path)); err != nil {
			return err
		}
	}
	for _, key := range outward() {
		if err := conf.SetOwn(key, ""); err != nil {
			return err
		}
	}
	if err := atomicfile.Replace(made.ConfPath(), conf.Bytes(), 0o600); err != nil {
		return err
	}
	s.offer(params.PreferredProfile)
	s.offer(params.RequiredProfile)
	s.ask(strings.Fields(l.Conf.Own(ownDNSResolver))...)
	leaf, err := material.Leaf()
	if err != nil {
		return err
	}
	tlsPort, _ := strconv.Atoi(l.Conf.Own(ownTLSPort)) // what is no number is none
	for _, id := range acme.CertificateIdentifiers(leaf) {
		s.ports[id], s.tlsPorts[id] = params.HTTP01Port, tlsPort
	}
	return nil
}

// startRehearsal starts the CA, and puts its root where it can be trusted from.
func (a *app) startRehearsal(ctx context.Context, s *stage, root string) (*rehearsal.Server, error) {
	c := rehearsal.Config{Profiles: s.profiles, Resolvers: s.asked, Log: a.log}
	if a.rehearseAddress != "" {
		c.Address = netip.MustParseAddr(a.rehearseAddress) // the options have been checked
	}
	c.HTTPPort = func(id acme.Identifier) int {
		if a.given["http-01-port"] {
			return a.httpPort
		}
		return s.ports[id]
	}
	c.TLSPort = func(id acme.Identifier) int {
		if a.given["tls-alpn-01-port"] {
			return a.tlsPort
		}
		return s.tlsPorts[id]
	}
	server, err := rehearsal.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Replace(root, server.Root(), 0o600); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// actOn has the run take the stage for the world.
func (a *app) actOn(s *stage, server *rehearsal.Server, root string) {
	a.say("This is a rehearsal: the CA is inside of this program, and everything is done on copies in %s", filepath.Dir(root))
	a.hooksDir = filepath.Join(a.configDir, "renewal-hooks")
	a.configDir, a.workDir, a.logsDir = s.dirs.Config, s.dirs.Work, s.dirs.Logs
	a.server, a.caBundle, a.noVerifySSL, a.staging = server.Directory(), root, false, false
	a.set("server")
	a.set("ca-bundle")
	a.options.account, a.eabKeyID, a.eabKey = "", "", ""
	a.fallbackServers, a.pkcs12, a.pkcs12Password, a.combined = nil, "", "", ""
	for _, name := range []string{"account", "fallback-server", "pkcs12", "pkcs12-password-file", "combined"} {
		delete(a.given, name)
	}
	a.agreeTOS, a.noEmail, a.eff = true, a.email == "", ""
	a.force, a.breakMyCerts, a.noCheckServed, a.noRandomSleep = true, true, true, true
}

// afterRehearsal says what was shown, and what was not.
func (a *app) afterRehearsal() {
	a.say("\nThe rehearsal was successful. It has shown that the proofs are found on this machine, that the hooks run, and that the certificate can be put in its place.")
	a.say("It cannot show what only the real CA sees: whether your names lead here from outside, CAA records, accounts, and limits. For these: %s doctor NAME, or --dry-run.", a.name)
	if !a.runDeployHooks {
		a.say("Deploy hooks were left out: --run-deploy-hooks runs them, with the copy.")
	}
}
