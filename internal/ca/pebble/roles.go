package pebble

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/crl"
	"github.com/cairn-ca/cairn/internal/ca/front"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/sign"
	"github.com/cairn-ca/cairn/internal/ca/validate"
	"github.com/cairn-ca/cairn/internal/ca/work"
)

// Terms is the URL of the terms of service, to which every account agrees.
const Terms = "data:text/plain,Do%20what%20thou%20wilt"

// Paths are where Pebble has its resources: nowhere else, so that clients read the directory.
func Paths() front.Paths {
	return front.Paths{
		Directory: "dir", NewNonce: "nonce-plz", NewAccount: "sign-me-up", NewOrder: "order-plz",
		NewAuthz: "authz-plz", RevokeCert: "revoke-cert", KeyChange: "rollover-account-key",
		Account: "my-account/*", Orders: "list-orderz/*",
		Order: "my-order/*", Finalize: "finalize-order/*",
		Authz: "authZ/*", Challenge: "chalZ/*/*",
		Certificate: "certZ/*", Alternate: "certZ/*/alternate/*",
		RenewalInfo: "draft-ietf-acme-ari-03/renewalInfo",
	}
}

// leastRSA is how many bits an RSA key has at least: the fewest that Go verifies with.
const leastRSA = 1024

// csrRules are Pebble's: of a CSR, the SAN and the key count.
var csrRules = rules.CSRRules{SANAlone: true, LeastRSA: leastRSA}

// The lifetimes that Pebble has.
const (
	defaultValidity = 90 * 24 * time.Hour
	orderLifetime   = 24 * time.Hour
	authzLifetime   = time.Hour
	renewalPause    = 6 * time.Hour
	maxNames        = 1000 // more than fits into a request
)

// openRoles makes the signer, the validator and the worker.
func (s *Server) openRoles(ctx context.Context) error {
	signer, err := sign.New(sign.Config{
		Issuers: []sign.Issuer{s.issuer()}, Profiles: s.certificateProfiles(), Journal: work.Journal{DB: s.db}, Now: s.clock.Now,
	})
	if err != nil {
		return err
	}
	resolver, err := s.resolver()
	if err != nil {
		return err
	}
	prober := validate.New(validate.Config{
		AnyPort: true, Resolver: resolver, HTTP01Port: s.config.HTTPPort, TLSALPN01Port: s.config.TLSPort,
		// A test may have its servers anywhere.
		Allow:   []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
		Timeout: 15 * time.Second, Log: s.log,
	})
	s.worker = work.New(work.Config{
		DB: s.db, Log: s.log, Signer: signer, Proving: s.proving(), CAA: s.caa(),
		CSR:       csrRules,
		Validator: prover{Prober: prober, sleep: s.config.Sleep, alwaysValid: s.config.AlwaysValid},
		Lease:     time.Minute + 2*s.config.Sleep,
	})
	s.lists = crl.New(crl.Config{DB: s.db, Signer: signer, Issuers: []string{issuerID}, Log: s.log})
	if err := s.lists.Update(ctx); err != nil {
		return err
	}
	return s.worker.RecoverAll(ctx)
}

// resolver asks one server about everything, or resolves as the machine does.
func (s *Server) resolver() (*validate.Resolver, error) {
	c := validate.ResolverConfig{}
	if s.config.DNSServer != "" {
		c.HostsFile = os.DevNull
		c.Servers = []string{"tcp://" + s.config.DNSServer} // as Pebble asks: an answer is never cut short
		c.Multicast = []netip.AddrPort{}
	}
	return validate.NewResolver(c)
}

// proving is every way to prove control that Pebble knows.
func (s *Server) proving() rules.Proving {
	return rules.Proving{
		Offer:   []acme.ChallengeType{acme.HTTP01, acme.TLSALPN01, acme.DNS01, acme.DNSAccount01, acme.DNSPersist01},
		Issuers: s.config.CAAIdentities,
		Persist: acme.PersistDraft01,
	}
}

// caa says whether CAA records are looked at: Pebble does not.
func (s *Server) caa() (c rules.CAA) {
	if s.config.CheckCAA {
		c.Identities = s.config.CAAIdentities
	}
	return c
}

// names lists the profiles in one order.
func (s *Server) names() []string { return slices.Sorted(maps.Keys(s.config.Profiles)) }

// certificateProfiles are the profiles as the signer has them.
func (s *Server) certificateProfiles() (list []sign.Profile) {
	for _, name := range s.names() {
		p := s.config.Profiles[name]
		validity := p.Validity
		if validity <= 0 {
			validity = defaultValidity
		}
		list = append(list, sign.Profile{
			Name: name, Validity: validity, Longest: caLifetime, MaxNames: maxNames, CommonName: p.PromoteCommonName,
			StapleAsked: true, LeastRSA: leastRSA, NoCRL: s.crls == nil,
		})
	}
	return list
}

// policy is what can be ordered: everything but what is blocked.
func (s *Server) policy() rules.Policy {
	p := rules.Policy{AnyName: true, LeastRSA: leastRSA, CSR: csrRules, IssuerEnd: s.chains[0].intermediates[0].certificate.NotAfter, TermsOfService: Terms, TermsProblem: acme.TypeUserActionRequired, Proving: s.proving(), CAA: s.caa()}
	if s.config.ExternalRequired {
		p.External = rules.Required
	}
	for _, name := range s.config.Blocked {
		p.Blocked.Domains = append(p.Blocked.Domains, strings.ToLower(strings.Trim(name, ".")))
	}
	for _, name := range s.names() {
		p.Profiles = append(p.Profiles, rules.Profile{
			Name: name, Description: s.config.Profiles[name].Description, MaxNames: maxNames,
			OrderLifetime: orderLifetime, PendingLifetime: authzLifetime, AuthzLifetime: authzLifetime, Reuse: authzLifetime,
			Validity: caLifetime, // what a client may ask for with notAfter; without it, the signer's profile counts
		})
	}
	return p
}

// openFront makes the ACME server.
func (s *Server) openFront(context.Context) (err error) {
	chains := make([]front.Chain, len(s.chains))
	for i, c := range s.chains {
		chains[i] = front.Chain{ID: fmt.Sprint(i), Certificates: c.above()}
	}
	s.front, err = front.New(front.Config{
		DB: s.db, Worker: s.worker, Log: s.log, Policy: s.policy(), ExternalKeys: s.config.ExternalKeys, CAAIdentities: s.config.CAAIdentities,
		URL: "https://" + reachable(s.acme.Addr()),
		// Whatever name a container or a test has for this server is its name.
		OwnHost: func(string) bool { return true },
		Chains:  func(rules.Certificate) []front.Chain { return chains },
		Issuer:  s.issuerOf, Paths: Paths(), Manners: s.manners(),
	})
	return err
}

// issuerOf finds the issuer with a key identifier.
func (s *Server) issuerOf(keyID []byte) (string, bool) {
	return issuerID, bytes.Equal(keyID, s.chains[0].intermediates[0].certificate.SubjectKeyId)
}

// manners are Pebble's.
func (s *Server) manners() front.Manners {
	none := func(d time.Duration) time.Duration {
		if d <= 0 {
			return -1
		}
		return d
	}
	return front.Manners{
		RejectNonces: s.config.RejectNonces, ForgetProofs: 100 - s.config.ReuseProofs,
		AnyProfile: true, Wordy: true, AnyCase: true, Once: true, BySerial: true, Asynchronous: true, Shuffle: true, NeedsUserAgent: true, PlainResponses: s.config.Strict,
		PageSize: s.config.PageSize, AuthzPause: none(s.config.AuthzPause), OrderPause: none(s.config.OrderPause),
		RenewalPause: renewalPause, DateOrSeconds: true,
		Before: s.faults.before, Retell: retell, Renewal: s.renewals.get, Now: s.clock.Now,
	}
}

// as is p under another type.
func as(p *acme.Problem, kind acme.ProblemType, status int) *acme.Problem {
	told := *p
	told.Type = kind
	return told.WithStatus(status)
}

// retell gives a problem the type and the HTTP status that Pebble has for it, where that is another.
func retell(p *acme.Problem) *acme.Problem {
	switch {
	case p.Rule == acme.RuleURL, p.Rule == acme.RuleKeyID, p.Rule == acme.RuleCSRForm, p.Type == acme.TypeUnsupportedIdentifier:
		return as(p, acme.TypeMalformed, 400)
	case p.Rule == acme.RuleCSRNames:
		return as(p, acme.TypeUnauthorized, 403)
	case p.Type == acme.TypeRejectedIdentifier:
		return p.WithStatus(400)
	case p.Type == acme.TypeUnauthorized, p.Type == acme.TypeExternalAccountRequired:
		return p.WithStatus(403)
	}
	return p
}
