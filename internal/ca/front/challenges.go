package front

import (
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// showAuthorization is a as the account that asks sees it.
func (f *Front) showAuthorization(r accountRequest, a rules.Authz, now time.Time) acme.Authorization {
	wire := r.base.wireAuthorization(a, now)
	for i := range wire.Challenges {
		f.fill(r, &wire.Challenges[i])
	}
	f.shuffle(wire.Challenges)
	return wire
}

// showChallenge is c, of a, as the account that asks sees it.
func (f *Front) showChallenge(r accountRequest, a rules.Authz, c rules.Challenge) acme.Challenge {
	wire := r.base.wireChallenge(a, c)
	f.fill(r, &wire)
	return wire
}

// fill adds to a challenge what is not its own but the authority's or the account's.
func (f *Front) fill(r accountRequest, wire *acme.Challenge) {
	if wire.Type != acme.DNSPersist01 {
		return
	}
	proving := f.Policy.Proving
	switch proving.Draft() {
	case acme.PersistDraft02:
		wire.IssuerDomainNames = proving.Issuers
	case acme.PersistDraft01:
		wire.AccountURI = r.kid
		fallthrough
	default:
		wire.IssuerDomains = proving.Issuers
	}
}

// describeProving adds to the directory what clients need to know of the challenges beforehand.
func (f *Front) describeProving(meta *acme.Meta) {
	proving := f.Policy.Proving
	if proving.Offers(acme.DNSPersist01) && proving.Draft() == acme.PersistDraft02 {
		meta.IssuerDomainNames, meta.AccountHashPrefix = proving.Issuers, proving.HashPrefix
	}
	meta.InBandOnionCAARequired = proving.Offers(acme.OnionCSR01)
}

// listCertificates puts into the proof-of-possession-01 challenges of new authorizations
// the certificates of this CA whose keys can answer them.
func listCertificates(tx *store.Tx, authzs []rules.Authz) error {
	for _, a := range authzs {
		challenge := a.Challenge(acme.ProofOfPossession01)
		if challenge == nil {
			continue
		}
		for _, name := range rules.Covering(a.Asked()) {
			certificates, err := tx.CertificatesFor(name, acme.MaxPossessionCertificates-len(challenge.Certs))
			if err != nil {
				return err
			}
			for _, c := range certificates {
				challenge.Certs = append(challenge.Certs, c.DER)
			}
		}
	}
	return nil
}
