package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// dnsSection says how names are resolved. Flags go before what it says.
type dnsSection struct {
	Upstreams     []string `yaml:"upstreams"`      // as --resolver
	CAFile        string   `yaml:"ca_file"`        // as --resolver-ca
	Attempt       span     `yaml:"attempt"`        // for one answer of one upstream, "2s"
	Timeout       span     `yaml:"timeout"`        // for one whole lookup, "6s"
	RequireDNSSEC bool     `yaml:"require_dnssec"` // as --require-dnssec
	SignedName    string   `yaml:"signed_name"`    // a signed zone that each upstream must vouch for; the root by default
}

func (s *dnsSection) apply(c *ca.Config) error {
	if len(c.Resolvers) == 0 {
		for _, upstream := range s.Upstreams {
			if err := validate.CheckServer(upstream); err != nil {
				return fmt.Errorf("upstreams: %q: %w", upstream, err)
			}
		}
		c.Resolvers = s.Upstreams
	}
	if s.CAFile != "" && c.DNS.Roots == nil {
		roots, err := rootsAnd(s.CAFile)
		if err != nil {
			return fmt.Errorf("ca_file: %w", err)
		}
		c.DNS.Roots = roots
	}
	for field, value := range map[string]time.Duration{"attempt": time.Duration(s.Attempt), "timeout": time.Duration(s.Timeout)} {
		if value < 0 || value > time.Minute || value > 0 && value < 10*time.Millisecond {
			return fmt.Errorf("%s: it takes a time from 10ms to 1m", field)
		}
	}
	c.DNS.Attempt, c.DNS.Timeout, c.DNS.SignedName = time.Duration(s.Attempt), time.Duration(s.Timeout), s.SignedName
	c.DNS.RequireDNSSEC = c.DNS.RequireDNSSEC || s.RequireDNSSEC
	return nil
}

// caaSection names the authority in CAA records. The flag goes before it.
type caaSection struct {
	Identities []string `yaml:"identities"` // as --caa-identity
	Off        bool     `yaml:"off"`        // as --no-caa
}

func (s *caaSection) apply(c *ca.Config) error {
	if s.Off && len(s.Identities) > 0 {
		return errors.New("identities: they say nothing where CAA is off: remove one of the two")
	}
	c.NoCAA = c.NoCAA || s.Off
	if len(c.CAAIdentities) > 0 {
		return nil
	}
	for _, identity := range s.Identities {
		if err := acme.CheckCAAIdentity(identity); err != nil {
			return fmt.Errorf("identities: %q: %w", identity, err)
		}
	}
	c.CAAIdentities = s.Identities
	return nil
}

// resolverFlags are the flags about DNS and CAA that `cairn up` has beside --resolver.
type resolverFlags struct {
	ca            string
	requireDNSSEC bool
	caaIdentities []string
	noCAA         bool
}

// apply checks the flags and puts them into c.
func (f resolverFlags) apply(c *ca.Config) error {
	c.DNS.RequireDNSSEC, c.CAAIdentities, c.NoCAA = f.requireDNSSEC, f.caaIdentities, f.noCAA
	for _, identity := range f.caaIdentities {
		if err := acme.CheckCAAIdentity(identity); err != nil {
			return usageError{fmt.Errorf("--caa-identity %q: %w", identity, err)}
		}
	}
	if f.ca == "" {
		return nil
	}
	roots, err := rootsAnd(f.ca)
	if err != nil {
		return usageError{fmt.Errorf("--resolver-ca: %w", err)}
	}
	c.DNS.Roots = roots
	return nil
}

// rootsAnd are the machine's root certificates and those in a file (PEM).
func rootsAnd(path string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(text) > maxConfig || !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(path + ": it does not hold certificates in PEM")
	}
	return roots, nil
}
