package main

import (
	"fmt"
	"io"
	"strings"
)

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
		if v.run != nil || v.name == "help" {
			fmt.Fprintf(w, "  %-14s %s\n", v.name, v.help)
		}
	}
	rows := table()
	for _, topic := range topics() {
		started := false
		for _, row := range rows {
			if row.Hidden || row.Topics[0] != topic.name {
				continue
			}
			if !started {
				fmt.Fprintf(w, "\n%s:\n", topic.heading)
				started = true
			}
			printOption(w, &row)
		}
	}
	fmt.Fprintln(w, "\nLong options may be shortened as long as they stay unique. Exit codes: 0 done or\nnothing to do, 1 something failed, 2 the command line was not understood.")
}

const (
	helpColumn = 24 // where the explanations begin
	helpWidth  = 80
)

// explanation is what the help says of an option.
func explanation(row *option) string {
	if row.Default == "" {
		return row.Help
	}
	return row.Help + " (" + row.Default + ")"
}

// topic is a heading of the help.
type topic struct{ name, heading string }

// topics lists them in the order of the help. Verbs are topics, too.
func topics() []topic {
	list := []topic{
		{topicGeneral, "general"}, {topicAutomation, "for scripts, and for certificates that exist already"},
		{topicSecurity, "keys and security"}, {topicTesting, "trials, and unusual networks"}, {topicPaths, "where things are"},
		{topicManage, "certificates on this machine"},
	}
	for _, v := range verbs() {
		if v.removed == "" && v.name != topicPlugins {
			list = append(list, topic{v.name, v.name + ": " + v.help})
		}
	}
	list = append(list, topic{topicMonitoring, "telling others"}, topic{topicPlugins, "how control of the names is proven"}, topic{topicStandalone, "standalone"},
		topic{topicWebroot, "webroot"}, topic{topicManual, "manual"}, topic{topicNginx, "nginx"}, topic{topicApache, "apache"})
	list = append(list, topic{topicDNS, "records at a DNS provider"})
	for _, plugin := range dnsPlugins() {
		list = append(list, topic{"dns-" + plugin.name, "dns-" + plugin.name + ": " + plugin.title})
	}
	return list
}

// topicNames are what --help can be asked about.
func topicNames() []string {
	names := []string{"all", "commands"}
	for _, t := range topics() {
		names = append(names, t.name)
	}
	return names
}

// printOption writes one option, with its explanation wrapped beside it.
func printOption(w io.Writer, row *option) {
	var names []string
	if row.Short != "" {
		names = append(names, "-"+row.Short)
	}
	names = append(names, "--"+row.Name)
	head := "  " + strings.Join(names, ", ")
	if row.Arg != "" {
		head += " " + row.Arg
	}
	if len(head) >= helpColumn {
		fmt.Fprintln(w, head)
		head = ""
	}
	line := fmt.Sprintf("%-*s", helpColumn, head)
	for _, word := range strings.Fields(explanation(row)) {
		if len(line)+len(word) > helpWidth {
			fmt.Fprintln(w, strings.TrimRight(line, " "))
			line = strings.Repeat(" ", helpColumn)
		}
		line += word + " "
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
}
