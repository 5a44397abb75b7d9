package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// verb is a row of the table of verbs.
type verb struct {
	name    string
	aliases []string
	help    string
	run     func(*app, context.Context) error // nil for help, and for what this program cannot do yet: the help leaves that out
	quick   func(*app) error                  // instead of run, for what needs neither directories nor a log
	removed string                            // why certbot has it no more
	words   int                               // how many words may follow it: see app.words
}

// verbs lists what can be done, in the order of the help.
func verbs() []verb {
	return []verb{
		{name: "run", aliases: []string{"everything"}, help: "get a certificate, and install it in the web server", run: (*app).obtainAndInstall},
		{name: "certonly", aliases: []string{"auth"}, help: "get a certificate, or renew it if it is due", run: (*app).certonly},
		{name: "renew", help: "renew every certificate that is due; for cron and timers", run: (*app).renew},
		{name: "enhance", help: "add redirects and security headers to a web server that has a certificate", run: (*app).enhance},
		{name: "install", help: "install a certificate that exists in the web server", run: (*app).install},
		{name: "certificates", help: "list the certificates on this machine", run: (*app).certificates},
		{name: "status", help: "show all certificates in a table: what is due, and what has failed", run: (*app).status},
		{name: "explain", words: 1, help: "say why a certificate is due or not, and when what will happen: explain NAME", run: (*app).explainVerb},
		{name: "delete", help: "remove a certificate's files", run: (*app).delete},
		{name: "revoke", help: "have the CA revoke a certificate", run: (*app).revoke},
		{name: "reconfigure", help: "change how a certificate will be renewed", run: (*app).reconfigure},
		{name: "register", help: "make an account with a CA; certonly does it by itself", run: (*app).register},
		{name: "update_account", help: "change the addresses of an account", run: (*app).updateAccount},
		{name: "show_account", help: "show an account", run: (*app).showAccount},
		{name: "unregister", help: "give up an account", run: (*app).unregister},
		{name: "rollback", help: "undo changes to the web server's settings", run: (*app).rollback},
		{name: "plugins", help: "list the methods to prove control and to install", run: (*app).plugins},
		{name: "doctor", words: maxWords, help: "look at all that a certificate needs, before a CA is asked: doctor NAME...", run: (*app).doctor},
		{name: "import", words: 2, help: "take over from another client: import acme.sh|lego|dehydrated|caddy [DIR]", run: (*app).adopt},
		{name: "notify", help: "send a test to everybody who is told of renewals (--notify, notify.ini)", run: (*app).tryNotify},
		{name: daemonVerb, help: "stay, and renew whenever something is due; for services and containers", run: (*app).keepRenewing},
		{name: "schedule", help: "have renewals started by systemd or cron", run: (*app).schedule},
		{name: "rename", help: "give a certificate another name", run: (*app).rename},
		{name: "edit", help: "add names to a certificate, or remove some", run: (*app).edit},
		{name: "export", help: "write a certificate in other forms, and keep these up to date", run: (*app).export},
		{name: "rollover", help: "give an account a new key", run: (*app).rollover},
		{name: "completion", words: 1, help: "print what makes a shell complete our command lines: completion bash|zsh|fish", quick: (*app).completion},
		{name: "man", words: 1, help: "print a manual page: man [PAGE]; man pages lists them", quick: (*app).man},
		{name: command.HelpVerb, help: "show help about a topic"},
		{name: "update_symlinks", removed: "certbot has given it up: links are put in order by each run"},
		{name: "config_changes", removed: "certbot has given it up: the web server's settings and backups show what was changed"},
	}
}

// findVerb gives the row of a verb, or nil.
func findVerb(name string) *verb {
	list := verbs()
	i := slices.IndexFunc(list, func(v verb) bool { return v.name == name })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// verbOf gives what runs a verb.
func verbOf(name string) (func(*app, context.Context) error, error) {
	v := findVerb(name)
	switch {
	case v.run != nil:
		return v.run, nil
	case v.removed != "":
		return nil, usagef("the verb %s is gone: %s", name, v.removed)
	default:
		return nil, fmt.Errorf("the verb %s is not part of this program yet", name)
	}
}
