package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/adopt"
	"github.com/cairn-ca/cairn/internal/bot/dns/registry"
)

// adopt takes over what another client has: the verb import.
func (a *app) adopt(context.Context) error {
	sources := adopt.Sources()
	if len(a.words) == 0 {
		return usagef("import needs the client to import from: %s", joined(sources))
	}
	c := adopt.Config{Source: adopt.Source(strings.ToLower(a.words[0])), Provider: knownProvider}
	switch {
	case c.Source == "certbot":
		return withHint(fmt.Errorf("there is nothing to import from certbot: its files are ours"), "%s certificates lists them", a.name)
	case !slices.Contains(sources, c.Source):
		return usagef("there is no import from %q: there are %s", a.words[0], joined(sources))
	}
	if a.given["server"] {
		c.Server = a.server
	}
	if len(a.words) > 1 {
		c.Dir = a.words[1]
	} else {
		c.Dir = a.usualDir(c.Source)
	}
	var err error
	if c.Dir, err = filepath.Abs(c.Dir); err != nil {
		return err
	}
	found, err := adopt.Read(c)
	if err != nil {
		return withHint(err, "name the directory: %s import %s DIR", a.name, c.Source)
	}
	report := adopt.Carry(a.store, c, found, a.dryRun)
	a.result = report
	a.showImport(report)
	if failures := report.Failures(); failures > 0 {
		return fmt.Errorf("%d of %d could not be imported", failures, len(report.Certificates)+len(report.Accounts))
	}
	return nil
}

func joined(sources []adopt.Source) string {
	var names []string
	for _, s := range sources {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// usualDir is where a client keeps its files unless it was told otherwise.
func (a *app) usualDir(source adopt.Source) string {
	home := a.getenv("HOME")
	first := func(candidates ...string) string {
		for _, candidate := range candidates {
			if _, err := os.Stat(candidate); candidate != "" && err == nil {
				return candidate
			}
		}
		return candidates[len(candidates)-1]
	}
	switch source {
	case adopt.AcmeSh:
		return first(a.getenv("LE_CONFIG_HOME"), a.getenv("LE_WORKING_DIR"), filepath.Join(home, ".acme.sh"))
	case adopt.Lego:
		return first(a.getenv("LEGO_PATH"), ".lego", filepath.Join(home, ".lego"))
	case adopt.Dehydrated:
		return "/etc/dehydrated"
	default:
		data := a.getenv("XDG_DATA_HOME")
		if data == "" {
			data = filepath.Join(home, ".local", "share")
		}
		return first("/var/lib/caddy/.local/share/caddy", filepath.Join(data, "caddy"))
	}
}

// knownProvider gives the settings of a DNS provider of ours, by lego's variables.
func knownProvider(name string) (map[string]string, bool) {
	entry, ok := registry.Find(name)
	if !ok {
		return nil, false
	}
	settings := make(map[string]string)
	for _, key := range entry.Keys {
		if key.Variable != "" {
			settings[key.Variable] = key.Name
		}
	}
	return settings, true
}

// showImport says what was done, what could not be carried over, and what to do.
func (a *app) showImport(report adopt.Report) {
	words := map[adopt.Outcome]string{
		adopt.Imported: "imported", adopt.WouldImport: "would be imported", adopt.Exists: "exists already, and stays as it is", adopt.Failed: "could not be imported",
	}
	for _, account := range report.Accounts {
		a.say("Account %s at %s: %s", account.ID, account.Server, words[account.Outcome])
		if account.Error != "" {
			a.say("  %s", account.Error)
		}
	}
	for _, c := range report.Certificates {
		a.say("Certificate %s (%s): %s", c.Name, strings.Join(c.Identifiers, " "), words[c.Outcome])
		if c.Error != "" {
			a.say("  %s", c.Error)
		}
		if c.Authenticator != "" {
			a.say("  will be renewed by %s at %s", c.Authenticator, c.Server)
		}
		if c.Credentials != "" {
			a.say("  credentials: %s", c.Credentials)
		}
		for _, command := range c.Hooks {
			a.say("  renewals will run: %s", command)
		}
		for _, note := range c.Notes {
			a.say("  note: %s", note)
		}
	}
	for _, note := range report.Notes {
		a.say("note: %s", note)
	}
	switch {
	case len(report.Certificates) == 0:
		a.say("There is no certificate of %s in %s.", report.Source, report.Dir)
	case report.DryRun:
		a.say("Nothing was written. Without --dry-run this is done.")
	default:
		a.say("Try the renewal before you switch the other client off: %s renew --dry-run", a.name)
	}
}
