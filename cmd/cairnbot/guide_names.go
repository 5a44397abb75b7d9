package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/ask"
)

// askNames asks what the certificate is for.
func (a *app) askNames(ctx context.Context) error {
	var names, notes []string
	_, err := a.ask.Input(ctx, ask.Input{
		Question: ask.Question{
			Text: "Please enter the domain name(s) you would like on your certificate (comma and/or space separated)",
			Flag: "-d NAME", Force: true,
		},
		Check: func(answer string) (_ string, err error) {
			names, notes, err = readNames(answer)
			return answer, err
		},
	})
	if err != nil {
		return err
	}
	for _, note := range notes {
		a.say("%s", note)
	}
	for _, name := range names {
		if err := (&domainList{a.options}).Set(name); err != nil {
			return err
		}
	}
	return nil
}

// readNames takes what a person typed apart. The notes say what was understood in another way than it was written.
func readNames(answer string) (names, notes []string, err error) {
	var wrong []string
	for _, typed := range strings.FieldsFunc(answer, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		name, err := readName(typed)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %s", typed, err))
			continue
		}
		if !strings.EqualFold(strings.TrimSuffix(typed, "."), name) {
			notes = append(notes, fmt.Sprintf("%s is taken as %s.", typed, name))
		}
		if acme.IdentifierFor(name).Type == acme.DNS && !strings.Contains(name, ".") {
			notes = append(notes, fmt.Sprintf("%s has no dot in it: only a CA of your own gives a certificate for that.", name))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(wrong) > 0:
		return nil, nil, phrase("One or more of the entered domain names was not valid:\n\n" + strings.Join(wrong, "\n") + "\n\nPlease enter all of them again.")
	case len(names) == 0:
		return nil, nil, errors.New("at least one name is needed, such as www.example.org")
	}
	return names, notes, nil
}

// readName is checkDomain for somebody who may have copied the address of a page, or who writes as people write.
func readName(typed string) (string, error) {
	name := strings.Trim(typed, `"'<>`)
	if strings.Contains(name, "://") {
		u, err := url.Parse(name)
		if err != nil || u.Hostname() == "" {
			return "", errors.New("this is an address of a page; the name in it is what is needed")
		}
		name = u.Hostname()
	}
	name = strings.TrimSuffix(name, "/")
	switch {
	case strings.Contains(name, "@"):
		return "", errors.New("this is an email address; the name of a host is needed here")
	case strings.Contains(name, "/"):
		return "", errors.New("a certificate is for a name, not for pages below it: leave out what is after the \"/\"")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r > 127 }) {
		star, rest := "", name
		if after, ok := strings.CutPrefix(name, "*."); ok {
			star, rest = "*.", after
		}
		ascii, err := idna.Lookup.ToASCII(rest)
		if err != nil {
			return "", errors.New("this is no internationalized name that the DNS can have")
		}
		name = star + ascii
	}
	return checkDomain(name)
}
