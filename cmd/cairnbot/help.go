package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

// verb is a row of the table of verbs.
type verb struct {
	name    string
	aliases []string
	help    string
	run     func(*app, context.Context) error // nil for help
}

// verbs lists what can be done, in the order of the help.
func verbs() []verb {
	return []verb{
		{"certonly", []string{"auth"}, "get a certificate, or renew it if it is due", (*app).certonly},
		{"renew", nil, "renew every certificate that is due; for cron and timers", (*app).renew},
		{"certificates", nil, "list the certificates on this machine", (*app).certificates},
		{"revoke", nil, "have the CA revoke a certificate", (*app).revoke},
		{"register", nil, "make an account with a CA; certonly does it by itself", (*app).register},
		{"help", nil, "show this", nil},
	}
}

func canonicalVerb(word string) string {
	for _, v := range verbs() {
		if v.name == word || slices.Contains(v.aliases, word) {
			return v.name
		}
	}
	return ""
}

func isVerb(word string) bool { return canonicalVerb(word) != "" }

// findVerb returns what runs a verb, or nil.
func findVerb(name string) func(*app, context.Context) error {
	for _, v := range verbs() {
		if v.name == name {
			return v.run
		}
	}
	return nil
}

const helpHead = `cairnbot gets certificates from an ACME certificate authority, such as Cairn or
Let's Encrypt, and keeps them renewed. It takes certbot's command line and works
on certbot's files in /etc/letsencrypt.

usage: cairnbot VERB [options]

A first certificate, where nothing listens on port 80 yet:

  cairnbot certonly --standalone -d www.example.org -m you@example.org --agree-tos

The same where a web server serves /var/www/html:

  cairnbot certonly --webroot -w /var/www/html -d www.example.org -m you@example.org --agree-tos

From a CA of your own, whose root certificate is in root.pem:

  cairnbot certonly --standalone -d host.internal --agree-tos \
      --server https://ca.internal:8443/directory --ca-bundle root.pem

Your web server finds the result in /etc/letsencrypt/live/www.example.org/:
fullchain.pem is the certificate, privkey.pem its key. Let cron or a timer run
"cairnbot renew" twice a day; it does nothing until a renewal is due.

verbs:
`

// printHelp writes the help to w.
func printHelp(w io.Writer) {
	fmt.Fprint(w, helpHead)
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-14s %s\n", v.name, v.help)
	}
	for _, group := range []string{groupNames, groupProof, groupAccount, groupKey, groupRenew, groupHooks, groupRevoke, groupGeneral} {
		fmt.Fprintf(w, "\n%s:\n", group)
		for _, row := range table {
			if row.group == group {
				printOption(w, &row)
			}
		}
	}
	fmt.Fprintln(w, "\nLong options may be shortened as long as they stay unique. Exit codes: 0 done or\nnothing to do, 1 something failed, 2 the command line was not understood.")
}

const (
	helpColumn = 24 // where the explanations begin
	helpWidth  = 80
)

// printOption writes one option, with its explanation wrapped beside it.
func printOption(w io.Writer, row *option) {
	var names []string
	if row.short != "" {
		names = append(names, "-"+row.short)
	}
	names = append(names, "--"+row.name)
	head := "  " + strings.Join(names, ", ")
	if row.arg != "" {
		head += " " + row.arg
	}
	if len(head) >= helpColumn {
		fmt.Fprintln(w, head)
		head = ""
	}
	line := fmt.Sprintf("%-*s", helpColumn, head)
	for _, word := range strings.Fields(row.help) {
		if len(line)+len(word) > helpWidth {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = strings.Repeat(" ", helpColumn)
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
