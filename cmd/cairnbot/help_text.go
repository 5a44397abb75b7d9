package main

import (
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// aboutVerbs says in a few sentences what a line cannot.
func aboutVerbs() map[string]string {
	return map[string]string{
		"run": "Gets a certificate and has it installed in the web server, with a redirect from http:// to https:// unless --no-redirect is given. " +
			"It is what is done where no verb is named.",
		"certonly": "Gets a certificate for the names of -d and stores it below live/, for servers that you configure yourself. If there is one for the same " +
			"names already, it is kept until it is due, unless --force-renewal is given; one for some of the names is replaced with --expand. " +
			"How it was obtained is stored as well, so that renew can repeat it.",
		"renew": "Renews every certificate that is due, the way in which it was obtained. It asks nothing, and does nothing where nothing is due: " +
			"let it run twice a day. What is given on the command line, such as a hook, counts for each certificate that is renewed, and is kept for later renewals.\n\n" +
			"The exit code is 1 if a renewal failed, or if the settings of one could not be read; the others are renewed all the same.",
		"enhance":      "Adds redirects and security headers to the sites of a web server that has a certificate already.",
		"install":      "Has the web server use a certificate that exists: one of ours (--cert-name), or one from elsewhere (--cert-path, --key-path).",
		"certificates": "Lists the certificates, with their names, serial numbers, expiry dates and files; with -d or --cert-name only those that match.",
		"delete": "Deletes the files of a certificate: the links below live/, all of its versions, and its renewal settings. A server that still uses them " +
			"will not start again: change its settings first.",
		"revoke": "Tells the CA that a certificate must not be trusted any more, because its key was lost, for example. It is named by --cert-name, or by its file. " +
			"With --key-path the certificate's own key is proof enough; otherwise the account that got it is needed. Its files are deleted then, unless --no-delete-after-revoke is given.",
		"reconfigure":    "Changes how a certificate will be renewed, after a trial (as with --dry-run) of the change. Its names, its account and its CA stay.",
		"register":       "Makes an account with a CA. certonly and run do it by themselves.",
		"update_account": "Tells the CA another address for an account, or with an empty --email none.",
		"show_account":   "Shows an account: its address at the CA, its key's thumbprint, and the addresses that the CA knows.",
		"unregister":     "Gives up an account for good, at the CA and on this machine. Its certificates stay valid.",
		"rollback":       "Undoes the last changes that were made to the web server's settings; --checkpoints says how many.",
		"plugins":        "Lists the methods by which control of names can be proven and certificates can be installed.",
		"completion":     `Prints what a shell needs to complete our command lines. For bash: cairnbot completion bash > /etc/bash_completion.d/cairnbot`,
		"man":            `Prints a manual page, which "man -l -" shows. The names of all are printed by: cairnbot man pages`,
		"help":           "Shows help about a verb, a topic, or with all about everything.",
	}
}

// manualSections end the manual page.
func manualSections(name string) []command.Section {
	sections := []command.Section{
		{Title: "DEFAULTS OF OPTIONS", Text: `Options can be set in ` + defaultConfigFile + ` and in $XDG_CONFIG_HOME/letsencrypt/cli.ini (~/.config/letsencrypt/cli.ini),
and in the file that -c names. A line has the long name of an option and its value:

  email = you@example.org
  agree-tos = true
  deploy-hook = systemctl reload nginx

A switch is "true" or "false", a list is in brackets, and "#" begins a comment. The command line wins over the later file, and that over the earlier one.`},
		{Title: "FILES", Text: `/etc/letsencrypt/live/CERTIFICATE/ has links to the current fullchain.pem, cert.pem, chain.pem and privkey.pem.

/etc/letsencrypt/renewal/CERTIFICATE.conf says how it is renewed. What we alone know is in its section [cairnbot]; certbot leaves that alone.

/etc/letsencrypt/renewal-hooks/pre, deploy and post have executable files that run around each renewal.

/etc/letsencrypt/accounts/ has the accounts and their keys.

/var/log/letsencrypt/letsencrypt.log is the log of the last run, and those before have numbers.`},
		{Title: "EXIT STATUS", Text: "0 means done, or nothing to do; 1 that something failed; 2 that the command line or a cli.ini was not understood.\n\nAfter a signal other than an interrupt the process ends by that signal, once it has put everything in order."},
		{Title: "ENVIRONMENT", Text: `HTTPS_PROXY, HTTP_PROXY and NO_PROXY name proxies on the way to the CA.

REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE name certificates to trust when talking to the CA, if --ca-bundle does not.

A deploy hook gets RENEWED_LINEAGE, the directory of the certificate, and RENEWED_DOMAINS, its names. A post hook gets RENEWED_DOMAINS and FAILED_DOMAINS.`},
	}
	for i := range sections {
		sections[i].Text = strings.ReplaceAll(sections[i].Text, "NAME", name)
	}
	return sections
}
