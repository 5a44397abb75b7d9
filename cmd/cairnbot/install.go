package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
	"github.com/cairn-ca/cairn/internal/bot/checkpoint"
	"github.com/cairn-ca/cairn/internal/bot/lineage"
	"github.com/cairn-ca/cairn/internal/bot/renew"
)

// nullInstaller configures nothing. Certbot has it, hidden, for tests and for those who want "run" without a server.
type nullInstaller struct{}

func (nullInstaller) Names(context.Context) ([]string, error)                      { return nil, nil }
func (nullInstaller) Deploy(context.Context, renew.Deployment) error               { return nil }
func (nullInstaller) Enhance(context.Context, []string, []renew.Enhancement) error { return nil }
func (nullInstaller) Reload(context.Context) error                                 { return nil }

// installers are those that there are, by name.
func (a *app) installers() map[string]renew.Installer {
	return map[string]renew.Installer{"null": nullInstaller{}}
}

// chosenInstaller is the one that the options name, or an error that says what to do without one.
func (a *app) chosenInstaller() (renew.Installer, error) {
	_, name, err := a.requested()
	if err != nil {
		return nil, err
	}
	if installer, ok := a.installers()[name]; ok {
		return installer, nil
	}
	authenticator, _, _ := a.requested() // has just been checked
	switch {
	case name == "nginx" || name == "apache":
		return nil, withHint(fmt.Errorf("%s is not able to configure %s yet", a.name, name),
			"get the certificate with %s certonly --webroot -w DIR, name its files in the settings of %s, and have them read after renewals with --deploy-hook", a.name, name)
	case name != "":
		return nil, notInstalled(name)
	case authenticator != "":
		return nil, withHint(phrase(fmt.Sprintf("The %s plugin only proves control of names, and installs nothing.", authenticator)),
			"name the certificate's files in your server's settings; %s certificates shows where they are", a.name)
	}
	return nil, withHint(phrase("No installers seem to be present and working on your system; fix that or try running certbot with the \"certonly\" command."),
		"name the certificate's files in your server's settings; %s certificates shows where they are", a.name)
}

// installed is the result of install and enhance.
type installed struct {
	Names        []string            `json:"names"`
	Certificate  string              `json:"cert_path"`
	Enhancements []renew.Enhancement `json:"enhancements"`
}

// runWith gets a certificate and has a server use it: the verb run.
func (a *app) runWith(ctx context.Context, installer renew.Installer) error {
	if err := a.certonly(ctx); err != nil {
		return err
	}
	if a.placed == nil {
		return nil
	}
	result := a.result
	d, err := deployment(a.placed)
	if err != nil {
		return err
	}
	if err := a.deploy(ctx, installer, d); err != nil {
		return withHint(err, "the certificate is there; %s install --cert-name %s installs it when that is mended", a.name, a.placed.Name)
	}
	a.result = result
	return nil
}

// deployment is a certificate that is here.
func deployment(l *lineage.Lineage) (renew.Deployment, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return renew.Deployment{}, err
	}
	return renew.Deployment{Names: values(acme.CertificateIdentifiers(leaf)), Cert: l.Path(lineage.Cert), Key: l.Path(lineage.Key),
		Chain: l.Path(lineage.Chain), Fullchain: l.Path(lineage.Fullchain)}, nil
}

// install has a server use a certificate that is there.
func (a *app) install(ctx context.Context) error {
	installer, err := a.chosenInstaller()
	if err != nil {
		return err
	}
	d, err := a.toInstall(ctx, installer)
	if err != nil {
		return err
	}
	return a.deploy(ctx, installer, d)
}

// deploy installs a certificate, with the enhancements that the options ask for.
func (a *app) deploy(ctx context.Context, installer renew.Installer, d renew.Deployment) error {
	what := a.enhancements(true)
	a.say("Deploying certificate")
	if err := installer.Deploy(ctx, d); err != nil {
		return err
	}
	if len(what) > 0 {
		if err := installer.Enhance(ctx, d.Names, what); err != nil {
			return err
		}
	}
	if err := installer.Reload(ctx); err != nil {
		return err
	}
	a.result = installed{Names: d.Names, Certificate: d.Cert, Enhancements: what}
	return nil
}

// enhancements are those that the options ask for. The redirect is certbot's default where a certificate is installed.
func (a *app) enhancements(installing bool) []renew.Enhancement {
	list := []renew.Enhancement{}
	for _, one := range []struct {
		wanted bool
		what   renew.Enhancement
	}{
		{a.redirect || installing && !a.given["redirect"], renew.Redirect}, {a.hsts, renew.HSTS}, {a.uir, renew.UIR},
		{a.stapleOCSP || a.mustStaple && installing, renew.Staple}, {a.autoHSTS, renew.AutoHSTS},
	} {
		if one.wanted {
			list = append(list, one.what)
		}
	}
	return list
}

// toInstall is the certificate that the options name, by its name or its files.
func (a *app) toInstall(ctx context.Context, installer renew.Installer) (renew.Deployment, error) {
	if a.certName == "" && a.certPath != "" && a.keyPath != "" {
		return a.filesToInstall(ctx, installer)
	}
	l, err := a.chooseLineage(ctx, "Which certificate would you like to install?")
	if err != nil {
		return renew.Deployment{}, err
	}
	return deployment(l)
}

// filesToInstall is a certificate that belongs to nobody here.
func (a *app) filesToInstall(ctx context.Context, installer renew.Installer) (renew.Deployment, error) {
	d := renew.Deployment{Names: a.domains, Cert: a.certPath, Key: a.keyPath, Chain: a.chainPath, Fullchain: a.fullchainPath}
	text, err := os.ReadFile(a.certPath)
	if err != nil {
		return d, fmt.Errorf("reading the certificate to install: %w", err)
	}
	leaf, err := firstCertificate(text)
	if err != nil {
		return d, fmt.Errorf("reading the certificate to install: %s: %w", a.certPath, err)
	}
	if text, err = os.ReadFile(a.keyPath); err != nil {
		return d, fmt.Errorf("reading the certificate's key: %w", err)
	}
	key, err := lineage.ParseKey(text)
	if err != nil {
		return d, fmt.Errorf("%s: %w", a.keyPath, err)
	}
	if public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(key.Public()) {
		return d, fmt.Errorf("%s is not the key of the certificate %s", a.keyPath, a.certPath)
	}
	if len(d.Names) == 0 {
		if d.Names, err = installer.Names(ctx); err != nil {
			return d, err
		}
	}
	if len(d.Names) == 0 {
		return d, missing("-d NAME", "for which names the certificate is to be installed")
	}
	return d, nil
}

// chooseLineage loads the certificate that --cert-name names, or that a person chooses.
func (a *app) chooseLineage(ctx context.Context, question string) (*lineage.Lineage, error) {
	if a.certName != "" {
		l, err := a.store.Load(a.certName)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, a.noSuch(a.certName)
		}
		return l, err
	}
	lineages, _, err := a.store.List()
	if err != nil {
		return nil, err
	}
	if len(lineages) == 0 {
		return nil, phrase("No existing certificates found.")
	}
	names := make([]string, len(lineages))
	for i, l := range lineages {
		names[i] = l.Name
	}
	n, err := a.ask.Menu(ctx, ask.Menu{Question: ask.Question{Text: question, Flag: "--cert-name NAME", Force: true}, Items: names})
	if err != nil {
		return nil, err
	}
	return lineages[n-1], nil
}

// enhance adds redirects and headers to a server that has a certificate.
func (a *app) enhance(ctx context.Context) error {
	what := a.enhancements(false)
	if len(what) == 0 {
		return withHint(phrase("No enhancements requested, exiting."), "name one or more: --redirect, --hsts, --uir, --staple-ocsp, --auto-hsts")
	}
	installer, err := a.chosenInstaller()
	if err != nil {
		return err
	}
	l, err := a.chooseLineage(ctx, "Which certificate would you like to use to enhance your configuration?")
	if err != nil {
		return err
	}
	leaf, err := l.Leaf()
	if err != nil {
		return err
	}
	names := a.domains
	if len(names) == 0 {
		names = values(acme.CertificateIdentifiers(leaf))
	}
	if err := installer.Enhance(ctx, names, what); err != nil {
		return err
	}
	if err := installer.Reload(ctx); err != nil {
		return err
	}
	a.result = installed{Names: names, Certificate: l.Path(lineage.Cert), Enhancements: what}
	return nil
}

// rolledBack is the result of rollback.
type rolledBack struct {
	Checkpoints []rolledBackOne `json:"checkpoints"`
}

type rolledBackOne struct {
	Name  string   `json:"name"`
	Notes string   `json:"notes"`
	Files []string `json:"files"`
	New   []string `json:"new_files"`
}

// rollback takes back changes of servers' settings, ours and certbot's, the newest first.
func (a *app) rollback(ctx context.Context) error {
	if a.checkpoints < 0 {
		return usagef("argument --checkpoints: it must not be negative")
	}
	var installer renew.Installer
	if _, name, err := a.requested(); err != nil {
		return err
	} else if name != "" && name != "nginx" && name != "apache" {
		if installer, err = a.chosenInstaller(); err != nil {
			return err
		}
	}
	reverter := checkpoint.New(checkpoint.Config{Directory: a.store.Dirs().Work, Log: a.log})
	done, err := reverter.Rollback(ctx, a.checkpoints)
	result := rolledBack{Checkpoints: []rolledBackOne{}}
	for _, c := range done {
		result.Checkpoints = append(result.Checkpoints, rolledBackOne{c.Name, c.Notes, append([]string{}, c.Files...), append([]string{}, c.New...)})
		title, _, _ := strings.Cut(c.Notes, "\n")
		a.say("Taken back: %s %s", c.Made.UTC().Format("2006-01-02 15:04:05Z"), title)
		for _, path := range c.Files {
			a.say("  %s", path)
		}
		for _, path := range c.New {
			a.say("  %s (removed)", path)
		}
	}
	a.result = result
	switch {
	case err != nil:
		return err
	case len(done) == 0:
		a.log.Warn("Certbot hasn't modified your configuration, so rollback isn't available.")
		return nil
	case len(done) < a.checkpoints:
		a.log.Warn(fmt.Sprintf("Unable to rollback %d checkpoints, only %d exist", a.checkpoints, len(done)))
	}
	if installer != nil {
		return installer.Reload(ctx)
	}
	a.say("Have your server read its settings again, such as with: nginx -t && systemctl reload nginx")
	return nil
}
