package ca

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// caa says for which names CAA records are asked for: for all but those that nobody outside can have records
// for. The authority's own name means it, unless its operator named others.
func (c Config) caa(url string) (rules.CAA, error) {
	if c.NoCAA {
		return rules.CAA{}, nil
	}
	private, err := acme.ParseSubtrees(privateNames)
	if err != nil {
		return rules.CAA{}, fmt.Errorf("reading the list of private names: %w", err)
	}
	caa := rules.CAA{Identities: c.CAAIdentities, Private: private}
	if len(caa.Identities) > 0 {
		return caa, nil
	}
	host := strings.ToLower(mustParse(url).Hostname())
	if _, err := netip.ParseAddr(host); err == nil {
		host = "localhost" // no record can name an address; one that allows nobody by name still refuses
	}
	caa.Identities = []string{host}
	return caa, nil
}
