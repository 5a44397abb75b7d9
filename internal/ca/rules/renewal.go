package rules

import (
	"crypto/x509"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Predecessor is a certificate that an order is to replace (RFC 9773 §5).
type Predecessor struct {
	Certificate Certificate
	By          *OpenOrder // the order that it was last to be replaced by, or nil
}

// replaceable decides whether p's certificate can be replaced by an order of an account (RFC 9773 §5).
// A nil p stands for a certificate that this CA does not know.
func (p *Predecessor) replaceable(r OrderRequest, account Account, now time.Time) *acme.Problem {
	switch {
	case p == nil || p.Certificate.State != Issued:
		return acme.Problemf(acme.TypeMalformed, `"replaces" names a certificate that this CA has not issued: leave it out`)
	case p.Certificate.Account != account.ID:
		return acme.Problemf(acme.TypeUnauthorized, `"replaces" names a certificate of another account: leave it out`)
	case !p.Certificate.sharesName(r.Identifiers):
		return acme.Problemf(acme.TypeMalformed, `"replaces" names a certificate with other names, none of which is in the order: leave it out`)
	case p.By != nil && OrderStatus(p.By.Order, p.By.Authzs, now) != acme.StatusInvalid:
		return acme.Problemf(acme.TypeAlreadyReplaced, `"replaces" names a certificate that another order has replaced or is to replace: leave it out`)
	}
	return nil
}

// sharesName reports whether c is for one of ids.
func (c Certificate) sharesName(ids []acme.Identifier) bool {
	names := c.Names()
	return slices.ContainsFunc(ids, func(id acme.Identifier) bool { return slices.Contains(names, id) })
}

// Names lists what c is for, in normal form.
func (c Certificate) Names() []acme.Identifier {
	cert, err := x509.ParseCertificate(c.DER)
	if err != nil {
		return nil // not ours to explain: it was parsed before it was signed
	}
	names := make([]acme.Identifier, 0, len(cert.DNSNames)+len(cert.IPAddresses))
	for _, name := range cert.DNSNames {
		names = append(names, acme.Identifier{Type: acme.DNS, Value: name})
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, acme.Identifier{Type: acme.IP, Value: ip.String()})
	}
	return names
}

// Renewal is when an operator wants certain certificates renewed, whatever their age is.
type Renewal struct {
	Start, End  time.Time
	Explanation string // a URL for people, or ""
}

// shortValidity is below what validity a certificate is renewed at half of it.
const shortValidity = 10 * 24 * time.Hour

// minWindow is the shortest window: some clients take one of a second for an empty one.
const minWindow = 2 * time.Second

// SuggestRenewal decides when c should be renewed (RFC 9773 §4.2): when a third of its validity is
// left, or half of it where that is short, within two hundredths of its validity, so that
// what was issued together is not renewed together. A revoked certificate should be
// renewed at once, which is said by a time in the past; so should others whenever asked says so.
func SuggestRenewal(c Certificate, asked *Renewal, now time.Time) acme.RenewalInfo {
	var info acme.RenewalInfo
	if asked != nil {
		info.ExplanationURL = asked.Explanation
	}
	validity := c.NotAfter.Sub(c.NotBefore) + time.Second // the last second counts (RFC 5280 §4.1.2.5)
	left := validity / 3
	if validity < shortValidity {
		left = validity / 2
	}
	ideal := c.NotAfter.Add(-left)
	start, end := ideal.Add(-validity/100), ideal.Add(validity/100)
	switch {
	case !c.Revoked.IsZero():
		start, end = AtOnce(now)
	case asked != nil:
		start, end = asked.Start, asked.End
	}
	start, end = start.UTC().Truncate(time.Second), end.UTC().Truncate(time.Second)
	if end.Sub(start) < minWindow { // RFC 9773 §4.2: MUST NOT be empty
		end = start.Add(minWindow)
	}
	info.SuggestedWindow = acme.RenewalWindow{Start: start, End: end}
	return info
}

// AtOnce is the window that says "now": in the past, also by a clock that is somewhat slow.
func AtOnce(now time.Time) (start, end time.Time) {
	return now.Add(-time.Hour), now.Add(-30 * time.Minute)
}
