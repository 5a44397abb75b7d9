package main

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// accountFlags is what can be said to `cairn up` about accounts and what they may do.
type accountFlags struct {
	eab        string
	terms      string // what a change of them means
	subdomains bool
}

func (f *accountFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.terms, "terms-change", "grandfather", "when --terms changes: `ask` existing accounts to agree before they go on, or grandfather them")
	flags.StringVar(&f.eab, "eab", "optional", "external account binding: `required` of every new account, optional, or off")
	flags.BoolVar(&f.subdomains, "subdomains", true, "let one authorization be for a domain and all below it if a client asks for that (RFC 9444); --subdomains=false for never")
}

func (f *accountFlags) apply(c *ca.Config) error {
	mode, ok := map[string]rules.ExternalAccounts{"optional": rules.Optional, "required": rules.Required, "off": rules.Ignored}[f.eab]
	if !ok {
		return usageError{fmt.Errorf("--eab %q: it is required, optional or off", f.eab)}
	}
	if f.terms != "ask" && f.terms != "grandfather" {
		return usageError{fmt.Errorf("--terms-change %q: it is ask or grandfather", f.terms)}
	}
	c.TermsAsk = f.terms == "ask"
	c.EAB.Mode, c.NoSubdomains = mode, !f.subdomains
	return nil
}

// externalAccountsSection gives keys for external account bindings that `cairn eab` does not manage.
type externalAccountsSection struct {
	Keys map[string]string `yaml:"keys"` // identifier → base64url
}

func (s *externalAccountsSection) apply(c *ca.Config) error {
	for id, text := range s.Keys {
		key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		if err != nil || len(key) < 32 { // RFC 7518 §3.2
			return fmt.Errorf("keys: %s: it takes the base64url of a key of 32 octets or more", id)
		}
		if c.EAB.Keys == nil {
			c.EAB.Keys = map[string][]byte{}
		}
		c.EAB.Keys[id] = key
	}
	return nil
}
