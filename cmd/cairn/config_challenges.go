package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
)

// challengesSection says which ways to prove control are offered beside the usual ones.
type challengesSection struct {
	Persist    acme.PersistDraft  `yaml:"dns-persist-01"` // "-00", "-01" or "-02"
	Onion      bool               `yaml:"onion-csr-01"`
	Possession *possessionSection `yaml:"proof-of-possession-01"`
}

// possessionSection offers proof-of-possession-01 to profiles that say what it is good for.
type possessionSection struct {
	Authorities []string `yaml:"authorities"` // PEM files with certificates of other CAs
}

func (s *challengesSection) apply(c *ca.Config) error {
	if c.Challenges.Persist == "" { // a flag goes before the file
		c.Challenges.Persist = s.Persist
	}
	if err := checkDraft(c.Challenges.Persist); err != nil {
		return fmt.Errorf("dns-persist-01: %w", err)
	}
	c.Challenges.Onion = c.Challenges.Onion || s.Onion
	if s.Possession == nil {
		return nil
	}
	c.Challenges.Possession = true
	for _, path := range s.Possession.Authorities {
		authorities, err := readAuthorities(path)
		if err != nil {
			return fmt.Errorf("proof-of-possession-01: authorities: %w", err)
		}
		c.Challenges.Authorities = append(c.Challenges.Authorities, authorities...)
	}
	return nil
}

func checkDraft(draft acme.PersistDraft) error {
	switch draft {
	case "", acme.PersistDraft00, acme.PersistDraft01, acme.PersistDraft02:
		return nil
	}
	return fmt.Errorf("%q is no draft of it: write -00, -01 or -02; clients speak -01 today", string(draft))
}

// readAuthorities reads the certificates of other CAs from a PEM file.
func readAuthorities(path string) (list []*x509.Certificate, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil || !authority.IsCA {
			return nil, fmt.Errorf("%s: a block of type %q is not the certificate of a CA", path, block.Type)
		}
		list = append(list, authority)
	}
	if len(list) == 0 {
		return nil, errors.New(path + ": there is no certificate in it")
	}
	return list, nil
}

// challengeFlags are the flags about challenges that `cairn up` has.
type challengeFlags struct {
	persist string
	onion   bool
}

func (f *challengeFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.persist, "dns-persist-01", "", "also take proofs by dns-persist-01, by `DRAFT` -00, -01 or -02 (clients speak -01)")
	flags.BoolVar(&f.onion, "onion", false, "also issue for names of Tor's onion services, proven by onion-csr-01")
}

func (f challengeFlags) apply(c *ca.Config) error {
	c.Challenges.Persist, c.Challenges.Onion = acme.PersistDraft(f.persist), f.onion
	if err := checkDraft(c.Challenges.Persist); err != nil {
		return usageError{fmt.Errorf("--dns-persist-01: %w", err)}
	}
	return nil
}
