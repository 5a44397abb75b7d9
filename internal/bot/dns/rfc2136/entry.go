package rfc2136

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// Entry is the row of the registry.
func Entry() dns.Entry {
	return dns.Entry{
		Name: "rfc2136", Title: "dynamic updates (RFC 2136: BIND, Knot, PowerDNS and others)", Aliases: []string{"dnsupdate", "nsupdate"},
		Keys: []dns.Key{
			{Name: "server", Variable: "DNSUPDATE_NAMESERVER", Help: "address of the zone's primary server", Needed: true},
			{Name: "port", Help: "its port, when it is not 53"},
			{Name: "name", Variable: "DNSUPDATE_TSIG_KEY", Help: "name of the TSIG key"},
			{Name: "secret", Variable: "DNSUPDATE_TSIG_SECRET", Help: "its secret, in base64"},
			{Name: "algorithm", Variable: "DNSUPDATE_TSIG_ALGORITHM", Help: "its algorithm: HMAC-SHA512, HMAC-SHA256, …; HMAC-MD5 when it is left out"},
			{Name: "key_file", File: true, Variable: "DNSUPDATE_TSIG_FILE", Help: "a file that tsig-keygen wrote, instead of name, secret and algorithm"},
			{Name: "sign_query", Help: "sign queries, too: true or false"},
		},
		Propagation: time.Minute, TTL: 2 * time.Minute, AnyValue: true,
		Docs: "https://bind9.readthedocs.io/en/stable/chapter7.html#dynamic-update",
		New: func(s dns.Settings) (dns.Provider, error) {
			config := Config{Server: s.Values["server"], Key: s.Values["name"], Secret: s.Values["secret"], Algorithm: s.Values["algorithm"]}
			if err := config.read(s.Values["port"], s.Values["sign_query"]); err != nil {
				return nil, err
			}
			if file := s.Values["key_file"]; file != "" {
				if err := config.readKeyFile(file); err != nil {
					return nil, err
				}
			}
			return New(config)
		},
	}
}

// read takes what is no text.
func (c *Config) read(port, sign string) (err error) {
	if port != "" {
		if c.Port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("RFC 2136: %.40q is no port: a port is between 1 and 65535, and most often 53", port)
		}
	}
	switch strings.ToLower(sign) { // what Python's configuration files take
	case "", "false", "no", "off", "0":
	case "true", "yes", "on", "1":
		c.SignQuery = true
	default:
		return fmt.Errorf("RFC 2136: sign_query is %.40q: write true or false", sign)
	}
	return nil
}

// readKeyFile takes the key from a file as tsig-keygen and ddns-confgen write it: key "NAME" { algorithm A; secret "S"; };
func (c *Config) readKeyFile(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("RFC 2136: reading the TSIG key: %w", err)
	}
	words := strings.FieldsFunc(string(text), func(c rune) bool { return strings.ContainsRune(" \t\r\n;{}\"", c) })
	found := make(map[string]string)
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "key", "algorithm", "secret":
			found[words[i]] = cmp.Or(found[words[i]], words[i+1])
			i++
		}
	}
	if found["key"] == "" || found["secret"] == "" {
		return fmt.Errorf("RFC 2136: %s has no key: make one with `tsig-keygen NAME > %s`", file, file)
	}
	c.Key, c.Secret, c.Algorithm = found["key"], found["secret"], found["algorithm"]
	return nil
}
