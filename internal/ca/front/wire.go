package front

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// base is the "https://host[:port]" that the URLs of one response begin with. Records
// hold no URLs: the same account has one under each of the CA's names.
type base struct {
	origin string
	paths  *Paths
	serial bool // certificates are found by their serial, not by their order
}

// at is the URL of a resource, with an identifier for each "*" of its path.
func (b base) at(path string, ids ...string) string {
	for _, id := range ids {
		path = strings.Replace(path, "*", id, 1)
	}
	return b.origin + "/" + path
}

func (b base) directory() string              { return b.at(b.paths.Directory) }
func (b base) account(id string) string       { return b.at(b.paths.Account, id) }
func (b base) orders(account string) string   { return b.at(b.paths.Orders, account) }
func (b base) limits(account string) string   { return b.at(b.paths.Limits, account) }
func (b base) order(id string) string         { return b.at(b.paths.Order, id) }
func (b base) finalize(order string) string   { return b.at(b.paths.Finalize, order) }
func (b base) certificate(of string) string   { return b.at(b.paths.Certificate, of) }
func (b base) alternate(of, id string) string { return b.at(b.paths.Alternate, of, id) }
func (b base) authorization(id string) string { return b.at(b.paths.Authz, id) }
func (b base) challenge(authz string, kind acme.ChallengeType) string {
	return b.at(b.paths.Challenge, authz, string(kind))
}

// baseAt is the base of an "https://host[:port]".
func (f *Front) baseAt(origin string) base {
	return base{origin: origin, paths: &f.Paths, serial: f.Manners.BySerial}
}

// baseFor is the base of a response: the name by which the client called, if it is the CA's own.
func (f *Front) baseFor(r *http.Request) base {
	if own, ok := f.ownBase(r.Host); ok {
		return own
	}
	return f.baseAt(f.URL)
}

// ownBase returns the base for a Host header or the authority of a URL in its one
// form: lower case, the port only if it is not that of HTTPS. It is false for what is not the CA's.
func (f *Front) ownBase(authority string) (base, bool) {
	authority = strings.TrimSuffix(strings.ToLower(authority), ":443")
	if authority == strings.TrimPrefix(f.URL, "https://") {
		return f.baseAt(f.URL), true
	}
	host := authority
	if name, port, err := net.SplitHostPort(authority); err == nil {
		if number, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(number, 10) != port {
			return base{}, false
		}
		host = name
	} else if bare, ok := strings.CutPrefix(authority, "["); ok {
		host = strings.TrimSuffix(bare, "]")
	}
	if !f.OwnHost(host) || strings.ContainsAny(host, "/?#@%\\ ") {
		return base{}, false
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() && !strings.HasPrefix(authority, "[") {
		return base{}, false // a URL cannot be made of it (RFC 3986 §3.2.2)
	}
	return f.baseAt("https://" + authority), true
}

// link is the value of a Link header (RFC 8288 §3).
func link(target, relation string) string { return "<" + target + `>;rel="` + relation + `"` }

// stamp is a time as clients see it: RFC 3339, whole seconds, UTC.
func stamp(t time.Time) *time.Time {
	whole := t.UTC().Truncate(time.Second)
	return &whole
}

// wireAccount is a as RFC 8555 §7.1.2 shows it.
func (b base) wireAccount(a rules.Account) acme.Account {
	return acme.Account{
		Status:               a.Status,
		Contact:              a.Contact,
		TermsOfServiceAgreed: a.TermsAgreed != "",
		ExternalAccount:      a.Binding,
		Orders:               b.orders(a.ID),
	}
}

// wireOrder is o as RFC 8555 §7.1.3 shows it. "expires" is always there.
func (b base) wireOrder(o rules.Order, authzs []rules.Authz, now time.Time) acme.Order {
	wire := acme.Order{
		Status:         rules.OrderStatus(o, authzs, now),
		Expires:        stamp(o.Expires),
		Identifiers:    o.Identifiers,
		Profile:        o.Profile,
		Replaces:       o.Replaces,
		Error:          rules.OrderError(o, authzs, now),
		Authorizations: make([]string, len(o.Authzs)),
		Finalize:       b.finalize(o.ID),
	}
	if !o.Validity.NotBefore.IsZero() {
		wire.NotBefore = stamp(o.Validity.NotBefore)
	}
	if !o.Validity.NotAfter.IsZero() {
		wire.NotAfter = stamp(o.Validity.NotAfter)
	}
	for i, id := range o.Authzs {
		wire.Authorizations[i] = b.authorization(id)
	}
	if wire.Status == acme.StatusValid {
		wire.Certificate = b.certificate(o.ID)
		if b.serial {
			wire.Certificate = b.certificate(o.Serial)
		}
	}
	return wire
}

// wireAuthorization is a as RFC 8555 §7.1.4 shows it: all challenges while one can be
// chosen, and the one that was once the authorization has been decided.
func (b base) wireAuthorization(a rules.Authz, now time.Time) acme.Authorization {
	wire := acme.Authorization{
		Identifier: a.Identifier,
		Status:     a.StatusAt(now),
		Expires:    stamp(a.Expires),
		Wildcard:   a.Wildcard,
		Subdomains: a.Subdomains,
		Challenges: []acme.Challenge{},
	}
	if attempted := a.Attempted(); attempted != nil && attempted.Status != acme.StatusProcessing {
		wire.Challenges = append(wire.Challenges, b.wireChallenge(a, *attempted))
		return wire
	}
	for _, c := range a.Challenges {
		wire.Challenges = append(wire.Challenges, b.wireChallenge(a, c))
	}
	return wire
}

// wireChallenge is c, of a, as RFC 8555 §8 shows it.
func (b base) wireChallenge(a rules.Authz, c rules.Challenge) acme.Challenge {
	wire := acme.Challenge{
		Type:   c.Type,
		URL:    b.challenge(a.ID, c.Type),
		Status: c.Status,
		Token:  c.Token,
		Error:  c.Error,
	}
	for _, der := range c.Certs {
		wire.Certs = append(wire.Certs, base64.RawURLEncoding.EncodeToString(der))
	}
	if c.Nonce != nil {
		wire.Nonce = base64.StdEncoding.EncodeToString(c.Nonce) // RFC 9799 §3.2: with padding
	}
	if c.Validated != nil {
		wire.Validated = stamp(*c.Validated)
	}
	return wire
}
