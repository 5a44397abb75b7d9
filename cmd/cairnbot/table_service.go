package main

import (
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/command"
	"github.com/cairn-ca/cairn/internal/bot/solve"
)

// Topics of what is ours about services.
const (
	topicSchedule = "schedule"
)

// service is what the options say about hooks, servers and schedules.
type service struct {
	tlsPort         int // for tls-alpn-01
	methods         []string
	hookTimeout     time.Duration
	failOnHookError bool
	checkServed     []string
	noCheckServed   bool

	asDaemon      bool
	asSockets     bool
	asCron        bool
	printSchedule bool
	dropSchedule  bool
	root          string
	writePaths    []string
	runAs         string
}

// tableService has what certbot has not: proofs over TLS, a method for each name, what is looked at
// after a renewal, and how renewals are started.
func tableService() []option {
	return []option{
		{Name: "tls-alpn-01-port", Arg: "PORT", Own: true, Topics: []string{topicTesting, topicStandalone, "certonly"},
			Help:    "where --standalone listens for tls-alpn-01; the CA still connects to port 443, unless it has been told otherwise",
			Default: "443", Target: func(o *options) any { return &o.tlsPort }},
		{Name: "method", Arg: "NAMES=METHOD", Own: true, Topics: []string{topicPlugins, "run", "certonly", "reconfigure"},
			Help: "another method for some of the names: example.com=webroot is that name, .example.com=dns-ovh that and all below it, " +
				"*=manual all wildcards; may be repeated, and is kept for renewals",
			Target: func(o *options) any { return &methodRule{o} }},
		{Name: "hook-timeout", Arg: "DURATION", Own: true, Topics: []string{"renew"},
			Help: "how long a hook may take, such as 10m; then it is ended with all that it has started", Default: "1h",
			Target: func(o *options) any { return &duration{&o.hookTimeout} }},
		{Name: "fail-on-hook-error", Own: true, Topics: []string{"renew", topicManual},
			Help:   "end with 1 if a hook fails, which certbot does not; a name whose --manual-auth-hook fails is not shown to the CA",
			Target: func(o *options) any { return &o.failOnHookError }},
		{Name: "check-served", Arg: "HOST:PORT", List: true, Own: true, Topics: []string{"renew", "certonly"},
			Help:    "after a renewal, look whether the TLS server there shows the new certificate, and end with 1 if not; kept for renewals",
			Default: "servers of this machine, with a warning alone",
			Target:  func(o *options) any { return &wordList{&o.checkServed} }},
		{Name: "no-check-served", Own: true, Topics: []string{"renew", "certonly"},
			Help:   "do not look",
			Target: func(o *options) any { return &o.noCheckServed }},

		{Name: "daemon", Own: true, Topics: []string{topicSchedule},
			Help:   "a service that stays and renews at the right moment, instead of a timer",
			Target: func(o *options) any { return &o.asDaemon }},
		{Name: "sockets", Own: true, Topics: []string{topicSchedule},
			Help:   "such a service without root's rights: systemd opens port 80 (and 443, with --preferred-challenges tls-alpn-01) for it",
			Target: func(o *options) any { return &o.asSockets }},
		{Name: "run-as", Arg: "USER[:GROUP]", Own: true, Topics: []string{topicSchedule},
			Help: "who that service is, and which group can read its keys", Default: "cairnbot",
			Target: func(o *options) any { return &o.runAs }},
		{Name: "cron", Own: true, Topics: []string{topicSchedule},
			Help:   "a line for cron, also where there is systemd",
			Target: func(o *options) any { return &o.asCron }},
		{Name: "write-path", Arg: "DIR", List: true, Own: true, Topics: []string{topicSchedule},
			Help:   "where hooks must be able to write, beside our own directories and webroots; may be repeated",
			Target: func(o *options) any { return &wordList{&o.writePaths} }},
		{Name: "print", Own: true, Topics: []string{topicSchedule},
			Help:   "show what would be written",
			Target: func(o *options) any { return &o.printSchedule }},
		{Name: "remove", Own: true, Topics: []string{topicSchedule},
			Help:   "take it away again",
			Target: func(o *options) any { return &o.dropSchedule }},
		{Name: "root", Arg: "DIR", Own: true, Topics: []string{topicSchedule},
			Help:   "write below this directory, as for an image, and start nothing",
			Target: func(o *options) any { return &o.root }},
	}
}

// duration takes a length of time as Go writes it, or a number of seconds.
type duration struct{ d *time.Duration }

// Set takes what is more than nothing.
func (d *duration) Set(text string) error {
	parsed, err := time.ParseDuration(text)
	if seconds, err2 := time.ParseDuration(text + "s"); err != nil && err2 == nil {
		parsed, err = seconds, nil
	}
	if err != nil || parsed <= 0 {
		return command.Usagef("%q is not a duration such as 10m or 90s", text)
	}
	*d.d = parsed
	return nil
}

// wordList takes a list, one value or several with commas at a time.
type wordList struct{ list *[]string }

// Set adds to the list.
func (w *wordList) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			*w.list = append(*w.list, word)
		}
	}
	return nil
}

// methodRule takes --method.
type methodRule struct{ o *options }

// Set checks the rule; whether there is such a method is seen when it is used.
func (m *methodRule) Set(text string) error {
	names, method, err := solve.ParseRule(text)
	if err != nil {
		return command.Usagef("%v", err)
	}
	m.o.methods = append(m.o.methods, names+"="+method)
	return nil
}
