package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// Challenges says which ways to prove control are offered beside rules.StandardChallenges. The zero value offers no others.
type Challenges struct {
	// Persist offers dns-persist-01, in one of its drafts.
	Persist acme.PersistDraft
	// Onion offers onion-csr-01, and with it certificates for names under .onion.
	Onion bool
	// Possession offers proof-of-possession-01 where a profile says what it is good for.
	Possession bool
	// Authorities are other CAs whose certificates count where proof-of-possession-01 is asked for beside another proof.
	Authorities []*x509.Certificate
}

// proving is what c means for a CA at url that CAA records know by identities, or why it cannot be had.
func (c Challenges) proving(url string, identities []string) (rules.Proving, error) {
	p := rules.Proving{Persist: c.Persist, Issuers: identities, HashPrefix: url + "/account-hash/"}
	if len(identities) == 0 {
		p.Issuers = hostName(mustParse(url).Hostname())
	}
	offer := rules.StandardChallenges()
	if c.Persist != "" {
		if err := c.checkPersist(p.Issuers); err != nil {
			return p, fmt.Errorf("dns-persist-01: %w", err)
		}
		offer = append(offer, acme.DNSPersist01)
	}
	if c.Onion {
		offer = append(offer, acme.OnionCSR01)
	}
	if c.Possession {
		offer = append(offer, acme.ProofOfPossession01)
	}
	for _, authority := range c.Authorities {
		p.Authorities = append(p.Authorities, authority.Raw)
	}
	if c.Possession {
		offer = append(offer, acme.ProofOfPossession01)
	}
	for _, authority := range c.Authorities {
		p.Authorities = append(p.Authorities, authority.Raw)
	}
	p.Offer = offer
	return p, nil
}

// checkPersist checks what dns-persist-01 needs.
func (c Challenges) checkPersist(issuers []string) error {
	switch c.Persist {
	case acme.PersistDraft00, acme.PersistDraft01, acme.PersistDraft02:
	default:
		return fmt.Errorf("there is no draft %.16q: choose -00, -01 or -02", c.Persist)
	}
	if len(issuers) == 0 {
		return errors.New("records need a name of this CA, and its URL has an address: give it one with --caa-identity")
	}
	if len(issuers) > acme.MaxIssuerDomains {
		return fmt.Errorf("%d names of this CA (--caa-identity) are too many: at most %d fit into a challenge", len(issuers), acme.MaxIssuerDomains)
	}
	for _, name := range issuers {
		if normal, problem := (acme.Identifier{Type: acme.DNS, Value: name}).Normalize(); problem != nil || normal.Value != name || strings.HasPrefix(name, "*") {
			return fmt.Errorf("the name %.256q of this CA (--caa-identity) is not a domain name in lower case without a final dot", name)
		}
	}
	return nil
}

// hostName is host as a list of names: none if it is an address.
func hostName(host string) []string {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return []string{strings.ToLower(host)}
}

// asked is for which names the operator wants the root to vouch: with onion-csr-01 also for those of Tor.
func (c Config) asked() acme.Subtrees {
	if !c.Challenges.Onion {
		return c.Names
	}
	return c.Names.Union(acme.Subtrees{Domains: []string{"onion"}})
}
