package main

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/command"
)

// maxParallel is more than any CA likes to see from one client.
const maxParallel = 100

// tableRounds has what is ours about renewing many certificates.
func tableRounds() []option {
	return []option{
		{Name: "parallel", Arg: "N", Topics: []string{"renew"},
			Help: "how many certificates to renew at once; 1 is one after the other, as certbot does", Default: "8",
			Target: func(o *options) any { return &o.parallel }},
		{Name: "fallback-server", Arg: "URL", List: true, Topics: []string{"renew", "certonly"},
			Help:   "another CA, asked for a renewal when the first fails again and again and the certificate comes close to its expiry; may be repeated",
			Target: func(o *options) any { return &fallbackList{o} }},
		{Name: "wait-for-lock", Arg: "DURATION", Topics: []string{topicAutomation, "renew"},
			Help: "how long to wait while another certbot or cairnbot is at work, such as 10m", Default: "not at all",
			Target: func(o *options) any { return &lockWait{o} }},
	}
}

// fallbackList takes --fallback-server.
type fallbackList struct{ o *options }

// Set adds a directory's URL.
func (s *fallbackList) Set(text string) error {
	for _, server := range splitServers(text) {
		if u, err := url.Parse(server); err != nil || u.Scheme != "https" || u.Host == "" {
			return command.Usagef("%q is not the URL of a CA's directory: it begins with https://", server)
		}
		if !slices.Contains(s.o.fallbackServers, server) {
			s.o.fallbackServers = append(s.o.fallbackServers, server)
		}
	}
	return nil
}

// splitServers reads a list as it is written on the command line and in configurations.
func splitServers(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// lockWait takes --wait-for-lock.
type lockWait struct{ o *options }

// Set reads a duration, or a number of seconds.
func (l *lockWait) Set(text string) error {
	wait, err := time.ParseDuration(text)
	if seconds, err2 := time.ParseDuration(text + "s"); err != nil && err2 == nil {
		wait, err = seconds, nil
	}
	if err != nil || wait < 0 {
		return command.Usagef("%q is not a duration such as 10m or 90s", text)
	}
	l.o.lockWait = wait
	return nil
}
