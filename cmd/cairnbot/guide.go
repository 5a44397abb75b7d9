package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/command"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// bare reports whether a command line says nothing about certificates: at most where files are, and how to speak.
func bare(line command.Line) bool {
	says := []string{"config", "config-dir", "work-dir", "logs-dir", "verbose", "text", "force-interactive", "http-01-port", "http-01-address"}
	return line.Verb == "run" && !slices.ContainsFunc(line.Settings, func(s command.Setting) bool { return !slices.Contains(says, s.Name) })
}

// obtainAndInstall is the verb run. Without any option, on a terminal, it is the guide.
func (a *app) obtainAndInstall(ctx context.Context) error {
	if a.bare && a.ask.Interactive(false) {
		return a.guide(ctx)
	}
	if _, name, err := a.requested(); err != nil || name != "" {
		installer, err := a.chosenInstaller()
		if err != nil {
			return err
		}
		return a.runWith(ctx, installer)
	}
	s, err := a.settle(nil)
	if err != nil {
		return err
	}
	without := withHint(fmt.Errorf("%s is not able to configure a web server yet. It can get a certificate, and you configure the web server to use it", a.name),
		"use the verb certonly")
	if name := s.params.Authenticator; name != "" {
		without = phrase(fmt.Sprintf("With the %s plugin, you probably want to use the \"certonly\" command, eg:\n\n    %s certonly --%s", name, a.name, name))
	}
	if !a.ask.Interactive(false) {
		return without
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{
			Text: "No web server can be configured from here yet. Would you like to get the certificate alone, and configure your server to use it by hand?",
			Flag: "certonly",
		},
		Default: ask.No, Usual: ask.Yes,
	})
	switch {
	case err != nil:
		return err
	case !yes:
		return without
	}
	a.installByHand = true
	return a.certonly(ctx)
}

// guide leads somebody who has said nothing yet to a first certificate, or to the next one.
func (a *app) guide(ctx context.Context) error {
	a.say("\nThis leads you to a certificate for your web site or another server: for which\n" +
		"names, from which CA, and how the CA sees that the names are yours. Each question\n" +
		"says which option would have answered it. Nothing is changed before you have\n" +
		"seen a summary. Ctrl-C ends it at any time.")
	a.installByHand = true
	a.finishJobs(ctx)
	if err := a.askNames(ctx); err != nil {
		return err
	}
	t, err := a.prepare(ctx)
	if err != nil {
		return err
	}
	if t.plan.Action != renew.Keep {
		if err := a.askSummary(ctx, t); err != nil {
			return err
		}
	}
	return a.carryOut(ctx, t)
}

// askServer asks which CA the certificate is to come from, unless the options or an existing certificate say so.
func (a *app) askServer(ctx context.Context) error {
	if a.given["server"] {
		return nil
	}
	const letsEncrypt, other = 1, 3
	n, err := a.ask.Menu(ctx, ask.Menu{
		Question: ask.Question{Text: "Which certificate authority (CA) is the certificate to come from?", Flag: "--server URL, or --staging"},
		Items: []string{
			"Let's Encrypt: free, and known to every browser",
			"Let's Encrypt's server for trials: its certificates are worth nothing, and mistakes cost nothing",
			"Another CA, such as your own: you know the address of its ACME directory",
		},
		Usual: letsEncrypt,
	})
	if err != nil || n == letsEncrypt {
		return err
	}
	a.set("server")
	if n != other {
		a.server = stagingServer
		return nil
	}
	a.server, err = a.ask.Input(ctx, ask.Input{
		Question: ask.Question{Text: "What is the address of the CA's directory? It looks like https://ca.internal:8443/directory", Flag: "--server URL"},
		Check:    checkServer,
	})
	if err != nil {
		return err
	}
	return a.askTrust(ctx)
}

func checkServer(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return "", errors.New("it begins with https://")
	}
	return text, nil
}

// askTrust looks whether the CA can be spoken to. If nothing vouches for its own certificate, as with a CA of one's own, it asks for one
// that does.
func (a *app) askTrust(ctx context.Context) error {
	for {
		s, err := a.settle(nil)
		if err != nil {
			return err
		}
		err = a.tryServer(ctx, &s)
		var untrusted *tls.CertificateVerificationError
		if !errors.As(err, &untrusted) {
			return a.explainServer(err, &s)
		}
		a.caBundle, err = a.ask.Input(ctx, ask.Input{
			Question: ask.Question{
				Text: fmt.Sprintf("This machine does not know who vouches for %s. If it is a CA of your own, in which file is its root certificate (PEM)?", s.params.Server),
				Flag: "--ca-bundle FILE",
			},
			Check: func(path string) (string, error) {
				text, err := os.ReadFile(path)
				if err == nil && !x509.NewCertPool().AppendCertsFromPEM(text) {
					err = fmt.Errorf("there is no certificate in PEM in %s", path)
				}
				return path, err
			},
		})
		if err != nil {
			return err
		}
		a.set("ca-bundle")
	}
}

// askSummary shows what is about to be done, and how the same is said without questions.
func (a *app) askSummary(ctx context.Context, t *task) error {
	s, err := a.settle(t.conf())
	if err != nil {
		return err
	}
	does := map[renew.Action]string{
		renew.Create: "get a new certificate", renew.Renew: "renew the certificate " + t.plan.Lineage, renew.Replace: "replace the certificate " + t.plan.Lineage,
	}[t.plan.Action]
	account := "the one that is there"
	if a.newcomer != nil {
		account = "a new one, without an email address"
		if a.newcomer.email != "" {
			account = "a new one, for " + a.newcomer.email
		}
	}
	after := ""
	if s.params.DeployHook != "" {
		after = "Then:     " + s.params.DeployHook + "\n"
	}
	yes, err := a.ask.YesNo(ctx, ask.YesNo{
		Question: ask.Question{Text: fmt.Sprintf("This is what will be done: %s\n\nNames:    %s\nCA:       %s\nAccount:  %s\nProof:    %s\nFiles:    %s\n%s\n"+
			"The same without questions:\n%s\n\nGo ahead?",
			does, strings.Join(values(t.plan.Identifiers), ", "), s.params.Server, account, s.describeMethod(),
			a.store.Dirs().Config+"/live/"+t.plan.Lineage+"/", after, a.spelledOut(t, &s))},
		Usual: ask.Yes, Default: ask.Yes,
	})
	if err == nil && !yes {
		err = ask.ErrCancelled
	}
	return err
}

// spelledOut is the command line that answers what was asked, in lines that a shell takes as one.
func (a *app) spelledOut(t *task, s *settings) string {
	pieces := append([]string{a.name + " certonly -n"}, proofOptions(s, values(t.plan.Identifiers))...)
	add := func(needed bool, piece string) {
		if needed {
			pieces = append(pieces, piece)
		}
	}
	add(s.params.Server != defaultServer, "--server "+quote(s.params.Server))
	add(s.bundle != "", "--ca-bundle "+quote(s.bundle))
	add(a.given["deploy-hook"], "--deploy-hook "+quote(a.deployHook))
	if who := a.newcomer; who != nil {
		add(true, "--agree-tos")
		add(who.email != "", "-m "+quote(who.email))
		add(who.eff, "--eff-email")
	}
	add(t.plan.Action == renew.Replace, "--expand")
	add(t.plan.Action == renew.Renew, "--force-renewal")
	for _, option := range []struct{ name, value string }{
		{"http-01-port", strconv.Itoa(a.httpPort)}, {"http-01-address", a.httpAddress},
		{"config", a.configFile}, {"config-dir", a.configDir}, {"work-dir", a.workDir}, {"logs-dir", a.logsDir},
	} {
		add(a.sources.Of(option.name) == command.CLI, "--"+option.name+" "+quote(option.value))
	}
	return continued(pieces)
}

// proofOptions are the names, with how each is proven.
func proofOptions(s *settings, names []string) []string {
	roots := make(map[string]string)
	for _, w := range s.params.WebrootMap {
		roots[w.Name] = w.Path
	}
	method := s.params.Authenticator
	pieces, last := []string{"--" + method}, ""
	if isDNS(method) {
		pieces = []string{"--dns " + quote(strings.TrimPrefix(method, "dns-"))}
		if path := s.params.Plugin[dnsKey(method, "credentials")]; path != "" {
			pieces = append(pieces, credentialsFlag(method)+" "+quote(path))
		}
	}
	for _, name := range names {
		if root := roots[name]; method == "webroot" && root != "" && root != last {
			pieces, last = append(pieces, "-w "+quote(root)), root
		}
		pieces = append(pieces, "-d "+quote(name))
	}
	return pieces
}

// continued breaks a long command between options.
func continued(pieces []string) string {
	const widest = 76
	var b strings.Builder
	b.WriteString("    ") // as it is: ask does not break it
	column := 4
	for i, piece := range pieces {
		switch {
		case i == 0:
		case column+1+len(piece) > widest:
			b.WriteString(" \\\n        ")
			column = 8
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(piece)
		column += len(piece)
	}
	return b.String()
}

// quote writes a word so that a shell takes it as it is.
func quote(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+,=%", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// describeMethod says for a person how control is proven.
func (s *settings) describeMethod() string {
	switch s.params.Authenticator {
	case "standalone":
		return fmt.Sprintf("a small web server of our own on port %d, for a moment (standalone)", s.port())
	case "webroot":
		var roots []string
		for _, w := range s.params.WebrootMap {
			roots = append(roots, w.Name+" in "+w.Path)
		}
		if len(roots) == 0 {
			roots = s.params.WebrootPath
		}
		return "files for your web server, " + strings.Join(roots, ", ") + " (webroot)"
	case "manual":
		return "you do what you are told (manual)"
	}
	if path := s.params.Plugin[dnsKey(s.params.Authenticator, "credentials")]; path != "" {
		return fmt.Sprintf("records in the DNS, with the keys in %s (%s)", path, s.params.Authenticator)
	}
	return s.params.Authenticator
}

// tryServer fetches the CA's directory.
func (a *app) tryServer(ctx context.Context, s *settings) error {
	config, err := a.clientConfig(s)
	if err != nil {
		return err
	}
	config.Key, err = newAccountKey()
	if err != nil {
		return err
	}
	client, err := acme.NewClient(config)
	if err != nil {
		return err
	}
	_, err = client.Directory(ctx)
	return err
}
