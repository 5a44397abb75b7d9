// Package dns proves control of names through the DNS: dns-01, dns-account-01
// and dns-persist-01. It finds where a record belongs (aliases followed, the zone's own
// servers asked), has a Provider put it there, and waits until all servers of the zone show it.
//
// Who controls a provider's credentials can have certificates for every name of its
// zones: so they are handed to the one provider that they are for, and are in no log, no error and no state of ours.
package dns

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Record is one value of one TXT record set.
type Record struct {
	// Name is where the record is: fully qualified, in lower case, with the final dot. Aliases have been followed.
	Name string
	// Value is what the record says. It can be longer than 255 octets, for which it is cut
	// into several strings (RFC 1035 §3.3.14). It is printable ASCII.
	Value string
	// Zone is the zone that Name lies in, as its own servers say, with the final dot. It
	// is "" where nobody could be asked; a provider then goes by the list of zones that it has (Zones).
	Zone string
	// Servers are the names of the servers of Zone, with final dots, where they are known.
	Servers []string
	// TTL is how long resolvers may keep the record. A provider that has a minimum takes that instead.
	TTL time.Duration
	// Domain is the name that control is proven of, without a wildcard label and without
	// a final dot. With an alias it has nothing to do with Name. For messages and hooks.
	Domain string
	// KeyAuthorization is what Value is the digest of (RFC 8555 §8.4), or "" for a value
	// that is none, as with dns-persist-01. For other people's programs that compute Value themselves.
	KeyAuthorization string
}

// Provider is somebody's DNS service: it adds and removes single values, and leaves all others at the
// same name as they are, those of other clients too.
//
// Both calls are idempotent: adding what is there and removing what is not there succeed. A run that was
// killed repeats Add with the same record, perhaps in another process: so Remove goes by name and
// value, not by what Add remembers. One Provider is called by several goroutines at once, with different records
// that may have the same name; where the service reads and writes whole sets, the Provider keeps its
// calls apart. Calls return when the service has taken the change, not when all of its servers show it: that is
// looked at afterwards. They give up when ctx is done, and have no credential in what they return.
type Provider interface {
	Add(ctx context.Context, r Record) error
	Remove(ctx context.Context, r Record) error
}

// Settler is a Provider whose service says itself when all of its servers have what was added.
type Settler interface {
	// Settle returns then, or when ctx is done. Where the service does not tell, it returns nil at once.
	Settle(ctx context.Context) error
}

// Key is one setting that a provider takes, most often a credential.
type Key struct {
	// Name is how credential files call it, behind the prefix of the provider: api_token for dns_cloudflare_api_token.
	Name string
	// Variable is the environment variable that lego's users have it in, or "".
	Variable string
	Help     string // a few words: what it is
	// Also are other names for it in credential files, whole: those of plugins for certbot
	// that other people wrote, such as certbot_plugin_gandi:dns_api_key.
	Also []string
	// Parts are the names of settings in such files, whole, that make it up together, with a dot between them.
	Parts []string
	// File is set if it is the path of a file with secrets, in which "~" is the home directory, and which others must not read.
	File bool
	// Many is set if there can be several of it, each with a number behind the name: zone1, zone2. Values has them so.
	Many bool
	// Needed is set for what a provider cannot do without. Where one of several sets
	// will do, none is Needed, and New says what is missing.
	Needed bool
}

// Entry is a row of the registry: a provider that can be made, and all that is known about it.
type Entry struct {
	Name  string // after --dns: cloudflare
	Title string // as people call it: Cloudflare
	// Aliases are names of certbot's plugins, without "dns-", for which this provider
	// stands, when they differ from Name. Their keys are in Keys, too.
	Aliases []string
	Keys    []Key
	// FileKey is the setting that has the path of a credential file which is no file of settings, but one of the
	// service's own, as Google's is; "" for all others.
	FileKey string
	// Optional is set if a provider can do without any key, as one that asks the machine it runs on.
	Optional bool
	// Propagation is how long at most its servers take to show a change, as far as is known.
	Propagation time.Duration
	TTL         time.Duration // what records are given; 0 means a minute
	Docs        string        // a page about its credentials
	// AnyValue is set if it can store every value. Others store digests of key authorizations
	// alone, and cannot create the record of dns-persist-01.
	AnyValue bool
	// Plain is set if it writes at names of the form _acme-challenge.NAME alone.
	Plain bool
	// Free is set if it takes any other setting, too, and hands it to a program as a variable of its environment.
	Free bool
	// New makes it. It checks Values, and asks nobody.
	New func(Settings) (Provider, error)
}

// Is reports whether name is one of the entry's names.
func (e Entry) Is(name string) bool { return e.Name == name || slices.Contains(e.Aliases, name) }

// Settings are what a provider is made with.
type Settings struct {
	// Values has the settings by their Key.Name; keys that the provider does not
	// know have been refused or warned of before.
	Values map[string]string
	// Source names where Values come from, for messages: a file, or "the environment".
	Source string
	// HTTP is the client for requests; it has limits on time. nil means http.DefaultClient.
	HTTP *http.Client
	Log  *slog.Logger // nil discards
	// Lookup reads the environment of the process, for services whose own tools are set up there
	// (AWS_PROFILE). It finds nothing where Values were given. nil finds nothing.
	Lookup func(name string) (string, bool)
	// Environ is what programs get that a provider starts, as os.Environ has it. It was taken before anything was put into
	// the environment for lego's providers: those are secrets of others. nil means the environment of this process.
	Environ []string
	// Environment is for lego's providers, which are made from it. nil makes them fail.
	Environment *Environment
	// Resolver finds zones for those who ask. nil makes lego's providers fail.
	Resolver *Resolver
}

// Getter reads the environment for a client of our own: all of it where no settings were given, and otherwise these
// names alone, by which a platform tells every program on it where things are.
func (s Settings) Getter(always ...string) func(name string) (string, bool) {
	return func(name string) (string, bool) {
		switch {
		case s.Lookup != nil:
			return s.Lookup(name)
		case s.Environment != nil && s.Environment.Lookup != nil && slices.Contains(always, name):
			return s.Environment.Lookup(name)
		}
		return "", false
	}
}

// Environment is the environment of the process, handed down by who may read it.
type Environment struct {
	Lookup func(name string) (string, bool)
	Set    func(name, value string) error
	Unset  func(name string) error
}

// Zones lists the zones that name can lie in, the longest first, each with the final
// dot, down to those with two labels: for providers that go by their own list of zones.
func Zones(name string) []string {
	name = strings.TrimSuffix(name, ".")
	var list []string
	for strings.Contains(name, ".") {
		list = append(list, name+".")
		_, name, _ = strings.Cut(name, ".")
	}
	return list
}

// Relative is name below zone, without a final dot: "@" is for providers to write, it returns "" for the zone itself.
// Both have final dots, and name lies in zone.
func Relative(name, zone string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
}

// Chunks cuts a value into the strings of one TXT record (RFC 1035 §3.3.14).
func Chunks(value string) []string {
	const most = 255
	var list []string
	for len(value) > most {
		list, value = append(list, value[:most]), value[most:]
	}
	return append(list, value)
}
