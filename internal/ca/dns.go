package ca

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// DNS says how DNS servers are asked. The zero value is useful.
type DNS struct {
	Roots         *x509.CertPool // for servers that are asked over TLS; nil means the machine's
	Attempt       time.Duration  // for one answer of one server; 0 means validate's default
	Timeout       time.Duration  // for one whole lookup; 0 means validate's default
	RequireDNSSEC bool           // use only servers that validate DNSSEC and can be believed
	SignedName    string         // a signed zone that each of them must vouch for then; "" means the root
}

// openResolver makes the resolver. It fails where DNSSEC is required and cannot be had.
func (c *CA) openResolver(ctx context.Context) (*validate.Resolver, error) {
	config := c.config.DNS
	resolver, err := validate.NewResolver(validate.ResolverConfig{
		HostsFile: c.config.HostsFile, ResolvConf: c.config.ResolvConf, Servers: c.config.Resolvers,
		Roots: config.Roots, Attempt: config.Attempt, Timeout: config.Timeout,
		RequireDNSSEC: config.RequireDNSSEC, SignedName: config.SignedName,
	})
	if err != nil {
		return nil, err
	}
	return resolver, resolver.Check(ctx)
}
