package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// rule is a combination of options that cannot be meant. certbot ends with 1 for these, and not with 2.
type rule struct {
	broken bool
	text   string
	hint   string
}

// checkMeaning refuses what contradicts itself.
func (o *options) checkMeaning(verb string) error {
	wild := slices.ContainsFunc(o.domains, func(name string) bool { return strings.HasPrefix(name, "*.") })
	for _, rule := range []rule{
		{o.forceInteractive && (o.given["non-interactive"] || o.quiet),
			"--force-interactive and --non-interactive contradict each other", "leave one of them out"},
		{o.forceInteractive && verb == "renew", "renew asks nothing: --force-interactive cannot be used with it", "leave --force-interactive out"},
		{o.email != "" && o.noEmail, "--email and --register-unsafely-without-email contradict each other", "leave one of them out"},
		{o.hsts && o.autoHSTS, "--hsts and --auto-hsts contradict each other", "leave one of them out"},
		{o.httpPort == o.httpsPort, "Trying to run http-01 and https-port on the same port", "give another --http-01-port or --https-port"},
		{o.csr != "" && verb != "certonly", "a signing request (--csr) can be used with certonly alone", "say certonly"},
		{o.csr != "" && o.allowSubset, "--csr and --allow-subset-of-names contradict each other: a signing request names all or nothing",
			"leave --allow-subset-of-names out"},
		{wild && o.allowSubset, "--allow-subset-of-names cannot be used with wildcards", "leave it out, or get the wildcard separately"},
		{o.rehearse && !slices.Contains(rehearsable, verb), fmt.Sprintf("--rehearse works with %s (it is %q)", strings.Join(rehearsable, ", "), verb),
			"rehearse certonly, and then renew"},
		{o.rehearse && (o.dryRun || o.csr != ""), "--rehearse cannot be used with --dry-run or --csr", "leave one of them out"},
		{o.dryRun && !slices.Contains([]string{"certonly", "renew", "reconfigure", "import"}, verb),
			fmt.Sprintf("--dry-run currently only works with the 'certonly', 'renew' or 'reconfigure' subcommands (it is %q)", verb),
			"try it with certonly"},
	} {
		if rule.broken {
			return withHint(errors.New(rule.text), "%s", rule.hint)
		}
	}
	_, _, err := o.requested()
	return err
}

// checkServer chooses the CA where --staging or --dry-run do. A CA of one's own stays with --dry-run: its orders
// are not for good there either. With --staging it would be something else than what was asked for.
func (o *options) checkServer(string) error {
	known := o.server == defaultServer || o.server == stagingServer
	if o.staging && !known {
		return withHint(errors.New("--server value conflicts with --staging"), "leave one of them out")
	}
	if !o.staging && !o.dryRun {
		return nil
	}
	if known && (o.staging || o.given["server"]) {
		o.server = stagingServer
		o.set("server")
	}
	if o.dryRun { // which server, settleServer decides: the certificate may be from another CA
		o.staging, o.breakMyCerts = true, true
	}
	return nil
}
