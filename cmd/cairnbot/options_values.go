package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/bot/command"
)

// nameError says that something is not a name for a certificate. certbot's exit code for it is 1.
type nameError struct{ reason string }

func (e *nameError) Error() string { return e.reason }

// domainList takes -d: names separated by commas, each with the webroot before it.
type domainList struct{ o *options }

// Set adds the names in text.
func (d *domainList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name, err := d.o.addDomain(name)
		if err != nil {
			return err
		}
		d.o.webroots.name(name)
	}
	return nil
}

// addDomain adds a name, and gives it in its canonical form.
func (o *options) addDomain(name string) (string, error) {
	name, err := checkDomain(strings.TrimSpace(name))
	if err == nil && !slices.Contains(o.domains, name) {
		o.domains = append(o.domains, name)
	}
	return name, err
}

// checkDomain returns the canonical form of a name that a person typed.
func checkDomain(name string) (string, error) {
	switch {
	case name == "":
		return "", &nameError{"a name after -d is empty"}
	case strings.Contains(name, "://"):
		return "", &nameError{fmt.Sprintf("requested name %s appears to be a URL, not a FQDN: leave out the leading %q",
			name, name[:strings.Index(name, "://")+3])}
	case strings.ContainsFunc(name, func(r rune) bool { return r > 127 }):
		return "", &nameError{"Non-ASCII domain names not supported. Write an internationalized name in Punycode (xn--…)."}
	}
	// Whether there may be a "_" in a name is for the CA to say.
	plain := acme.IdentifierFor(strings.ReplaceAll(name, "_", "x"))
	if _, problem := plain.Normalize(); problem != nil {
		return "", &nameError{strings.ReplaceAll(problem.Detail, plain.Value, name)}
	}
	return acme.IdentifierFor(name).Value, nil
}

// webroots remembers which -w stood before which -d.
type webroots struct {
	paths   []string          // in their order
	byName  map[string]string // a name → the -w before it
	waiting []string          // names before the first -w
	early   bool              // a -d stood before the first -w
}

// name notes a -d.
func (w *webroots) name(name string) {
	if len(w.paths) == 0 {
		w.waiting, w.early = append(w.waiting, name), true
		return
	}
	w.assign(name, w.paths[len(w.paths)-1])
}

func (w *webroots) assign(name, path string) {
	if w.byName == nil {
		w.byName = make(map[string]string)
	}
	w.byName[name] = path
}

// serve notes that path is the webroot of name.
func (w *webroots) serve(name, path string) {
	if !slices.Contains(w.paths, path) {
		w.paths = append(w.paths, path)
	}
	w.assign(name, path)
}

// check enforces that it is clear which webroot belongs to which name.
func (w *webroots) check() error {
	if w.early && len(w.paths) > 1 {
		return errors.New("if you specify multiple webroot paths, one of them must precede all --domain flags")
	}
	return nil
}

// webrootPath takes -w.
type webrootPath struct{ o *options }

// Set adds a directory.
func (w *webrootPath) Set(text string) error {
	path, err := filepath.Abs(text)
	if err != nil {
		return err
	}
	roots := &w.o.webroots
	roots.paths = append(roots.paths, path)
	for _, name := range roots.waiting { // names before the first -w take it
		roots.assign(name, path)
	}
	roots.waiting = nil
	return nil
}

// webrootMap takes --webroot-map: an object of names, each perhaps several with commas between, and their directories.
type webrootMap struct{ o *options }

// Set adds the names in text, and their directories.
func (w *webrootMap) Set(text string) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	wrong := command.Usagef(`it is no JSON object of names and directories, such as {"a.example,b.example": "/var/www"}`)
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return wrong
	}
	for decoder.More() { // in their order: the first name is the certificate's
		names, err := decoder.Token()
		if err != nil {
			return wrong
		}
		var path string
		if err := decoder.Decode(&path); err != nil {
			return wrong
		}
		if path, err = filepath.Abs(path); err != nil {
			return err
		}
		for name := range strings.SplitSeq(names.(string), ",") {
			name, err := w.o.addDomain(name)
			if err != nil {
				return err
			}
			w.o.webroots.assign(name, path)
		}
	}
	if _, err := decoder.Token(); err != nil {
		return wrong
	}
	return nil
}

// challengeList takes --preferred-challenges.
type challengeList struct{ o *options }

// Set adds the types in text, which people write without their "-01".
func (c *challengeList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(challengeNames, func(known string) bool {
			return known == name || strings.TrimSuffix(known, "-01") == name
		})
		if i < 0 {
			return command.Usagef("Unrecognized challenges: %s", name)
		}
		if !slices.Contains(c.o.preferredChallenges, challengeNames[i]) {
			c.o.preferredChallenges = append(c.o.preferredChallenges, challengeNames[i])
		}
	}
	return nil
}

// challengeNames are the types that can be preferred.
var challengeNames = []string{string(acme.HTTP01), string(acme.DNS01), string(acme.TLSALPN01), string(acme.DNSAccount01), string(acme.DNSPersist01)}

// count takes -v, which may be repeated.
type count struct{ n *int }

// Set counts.
func (c *count) Set(string) error { *c.n++; return nil }
