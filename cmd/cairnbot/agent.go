package main

import (
	"fmt"
	"runtime"
	"strings"
	"unicode"
)

// userAgent names this program to the CA (RFC 8555 §6.1), with what helps its operators to help ours: the
// verb, the methods, and whether it was started by hand. --user-agent replaces all of it.
func (a *app) userAgent(s *settings) string {
	if s.params.UserAgent != "" || a.given["user-agent"] {
		return header(s.params.UserAgent)
	}
	about := runtime.GOOS + "; " + runtime.GOARCH
	if a.userAgentComment != "" {
		about += "; " + a.userAgentComment
	}
	agent := fmt.Sprintf("%s/%s (%s)", ownName, version, about)
	for _, plugin := range [][2]string{{"Authenticator", s.params.Authenticator}, {"Installer", s.params.Installer}} {
		if plugin[1] != "" {
			agent += fmt.Sprintf(" %s/%s", plugin[0], plugin[1])
		}
	}
	return header(fmt.Sprintf("%s (%s; flags: %s)", agent, a.verb, strings.Join(a.agentFlags(), " ")))
}

// agentFlags has certbot's short words for what is unusual about a run.
func (a *app) agentFlags() []string {
	var flags []string
	for _, flag := range []struct {
		set  bool
		word string
	}{
		{a.duplicate, "dup"}, {a.force, "frn"}, {a.allowSubset, "asn"}, {a.nonInteractive, "n"},
		{a.preHook != "" || a.postHook != "" || a.deployHook != "" || a.plugin["manual_auth_hook"] != "", "hook"},
	} {
		if flag.set {
			flags = append(flags, flag.word)
		}
	}
	return flags
}

// header is text without what cannot be in a header.
func header(text string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
