package main

import (
	"fmt"
	"strings"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// helpIntro is what a person reads first, after the line of usage. NAME becomes the name that we were called by.
const helpIntro = `NAME gets certificates from an ACME certificate authority, such as Cairn or
Let's Encrypt, and keeps them renewed. It takes certbot's command line and works
on certbot's files in /etc/letsencrypt.

A first certificate, where nothing listens on port 80 yet:

  NAME certonly --standalone -d www.example.org -m you@example.org --agree-tos

The same where a web server serves /var/www/html:

  NAME certonly --webroot -w /var/www/html -d www.example.org --agree-tos

From a CA of your own, whose root certificate is in root.pem:

  NAME certonly --standalone -d host.internal --agree-tos \
      --server https://ca.internal:8443/directory --ca-bundle root.pem

Your web server finds the result in /etc/letsencrypt/live/www.example.org/:
fullchain.pem is the certificate, privkey.pem its key. Let cron or a timer run
"NAME renew" twice a day; it does nothing until a renewal is due.

`

// helpUsage is what follows the name in the line of usage.
const helpUsage = "[VERB] [options] [-d NAME] ..."

// helpOutro ends every help.
const helpOutro = `
Long options may be shortened as long as they stay unique. Exit codes: 0 done or
nothing to do, 1 something failed, 2 the command line was not understood.
`

// manualDate is when what stands below was last changed.
const manualDate = "2026-11-29"

// manual is all that we say about our command line.
func (p process) manual() *command.Manual[options] {
	name := p.name
	if name == "" {
		name = ownName
	}
	return &command.Manual[options]{
		Language: language(), Program: name, Version: version, Date: manualDate,
		Summary: "get certificates from an ACME CA, and keep them renewed",
		Intro:   strings.ReplaceAll(helpIntro, "NAME", name), Outro: helpOutro, Usage: helpUsage,
		Common: []string{"domains", "cert-name", "standalone", "webroot", "webroot-path", "manual", "email", "agree-tos", "server",
			"ca-bundle", "non-interactive", "quiet", "json", "dry-run", "staging"},
		About: aboutVerbs(), Sections: manualSections(name),
	}
}

// topics lists the headings of the help but the verbs, in their order.
func topics() []command.Topic {
	list := []command.Topic{
		{Name: topicGeneral, Heading: "general"}, {Name: topicAutomation, Heading: "for scripts, and for certificates that exist already"},
		{Name: topicSecurity, Heading: "keys and security"}, {Name: topicTesting, Heading: "trials, and unusual networks"},
		{Name: topicPaths, Heading: "where things are"}, {Name: topicManage, Heading: "certificates on this machine"},
		{Name: topicMonitoring, Heading: "telling others"}, {Name: topicPlugins, Heading: "how control of the names is proven"},
		{Name: topicStandalone, Heading: "standalone"}, {Name: topicWebroot, Heading: "webroot"}, {Name: topicManual, Heading: "manual"},
		{Name: topicDNS, Heading: "records at a DNS provider"},
		{Name: topicNginx, Heading: "nginx"}, {Name: topicApache, Heading: "apache"},
	}
	for _, plugin := range dnsPlugins() {
		list = append(list, command.Topic{Name: "dns-" + plugin.name, Heading: "dns-" + plugin.name + ": " + plugin.title})
	}
	return list
}

// completion prints what a shell loads.
func (a *app) completion() error {
	if len(a.words) == 0 {
		return usagef("completion needs the name of a shell: %s", strings.Join(command.Shells(), ", "))
	}
	return a.manual().Completion(a.out, a.words[0])
}

// man prints a manual page, or the names of all.
func (a *app) man() error {
	manual := a.manual()
	switch {
	case len(a.words) == 0:
		return manual.Page(a.out, manual.Program)
	case a.words[0] == "pages":
		_, err := fmt.Fprintln(a.out, strings.Join(manual.Pages(), "\n"))
		return err
	case manual.Verb(a.words[0]) != nil:
		return manual.Page(a.out, manual.Program+"-"+manual.Verb(a.words[0]).Name)
	}
	return manual.Page(a.out, a.words[0])
}
