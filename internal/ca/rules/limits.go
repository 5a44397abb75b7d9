package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/cairn-ca/cairn/acme"
)

// LimitName names a rate limit, in the configuration as in what clients are told.
type LimitName string

// The rate limits, and what each counts for which subject.
const (
	AccountsPerIP         LimitName = "accounts-per-ip"         // new accounts, for an IPv4 address or an IPv6 network of /64
	AccountsPerRange      LimitName = "accounts-per-range"      // new accounts, for an IPv6 network of /48
	OrdersPerAccount      LimitName = "orders-per-account"      // new orders, and authorizations without one, for an account
	CertificatesPerDomain LimitName = "certificates-per-domain" // certificates, for a registered domain, an IPv4 address or a /64
	CertificatesPerSet    LimitName = "certificates-per-set"    // certificates, for exactly the same identifiers
	FailedAuthorizations  LimitName = "failed-authorizations"   // authorizations that failed, for an account and an identifier
	ConsecutiveFailures   LimitName = "consecutive-failures"    // the same, without one that succeeded in between; then the identifier is paused
	Floods                LimitName = "floods"                  // requests of any kind, for an IPv4 address or a /64, at one front
)

// LimitNames lists all rate limits.
func LimitNames() []LimitName {
	return []LimitName{
		AccountsPerIP, AccountsPerRange, OrdersPerAccount, CertificatesPerDomain, CertificatesPerSet,
		FailedAuthorizations, ConsecutiveFailures, Floods,
	}
}

// Limits are the limits that are on. One that is not in the map is off.
type Limits map[LimitName]Limit

// defaultFloods is in force whatever else is off.
var defaultFloods = Limit{Count: 1000, Period: time.Second, Burst: 2000}

// DefaultLimits are those for private use: floods alone.
func DefaultLimits() Limits { return Limits{Floods: defaultFloods} }

// LimitPresets are sets of limits that can be chosen by name.
func LimitPresets() map[string]Limits {
	const day = 24 * time.Hour
	return map[string]Limits{
		"off": DefaultLimits(),
		// What https://letsencrypt.org/docs/rate-limits/ said in August 2026.
		"lets-encrypt": {
			AccountsPerIP:         {Count: 10, Period: 3 * time.Hour},
			AccountsPerRange:      {Count: 500, Period: 3 * time.Hour},
			OrdersPerAccount:      {Count: 300, Period: 3 * time.Hour},
			CertificatesPerDomain: {Count: 50, Period: 7 * day},
			CertificatesPerSet:    {Count: 5, Period: 7 * day},
			FailedAuthorizations:  {Count: 5, Period: time.Hour},
			ConsecutiveFailures:   {Count: 1, Period: day, Burst: 1152},
			Floods:                defaultFloods,
		},
	}
}

// With is l with some limits changed. A zero Limit switches one off.
func (l Limits) With(changes Limits) Limits {
	changed := maps.Clone(l)
	if changed == nil {
		changed = Limits{}
	}
	for name, limit := range changes {
		if changed[name] = limit; !limit.On() {
			delete(changed, name)
		}
	}
	return changed
}

// Stored reports whether any limit is on whose buckets the store keeps.
func (l Limits) Stored() bool {
	return slices.ContainsFunc(LimitNames(), func(name LimitName) bool { return name != Floods && l[name].On() })
}

// Bucket is where a limit counts, for one subject.
type Bucket struct {
	Limit   LimitName
	Subject string
	About   string // the subject in words, where Subject is a digest; or ""
}

// ID is the name of a bucket in the store.
func (b Bucket) ID() string { return string(b.Limit) + ":" + b.Subject }

// Owner is the subject by which b's limit is overridden: that of one account and one name is
// overridden for the account.
func (b Bucket) Owner() string {
	if b.Limit == FailedAuthorizations || b.Limit == ConsecutiveFailures {
		account, _, _ := strings.Cut(b.Subject, "/")
		return account
	}
	return b.Subject
}

// Said is the subject as people are told.
func (b Bucket) Said() string {
	if b.About != "" {
		return b.About
	}
	return b.Subject
}

// bucketsOf keeps of buckets those whose limit is on, each once.
func (l Limits) bucketsOf(buckets ...Bucket) (on []Bucket) {
	for _, b := range buckets {
		if l[b.Limit].On() && b.Subject != "" && !slices.Contains(on, b) {
			on = append(on, b)
		}
	}
	return on
}

// ForAccount are the buckets of a new account that is asked for from an address.
func (l Limits) ForAccount(from netip.Addr) []Bucket {
	return l.bucketsOf(
		Bucket{Limit: AccountsPerIP, Subject: Network(from)},
		Bucket{Limit: AccountsPerRange, Subject: wideNetwork(from)},
	)
}

// ForOrder is the bucket of a new order of an account, or of a new authorization without one (RFC 8555 §7.4.1).
func (l Limits) ForOrder(account string) []Bucket {
	return l.bucketsOf(Bucket{Limit: OrdersPerAccount, Subject: account})
}

// ForCertificate are the buckets of a certificate for ids. again says that there was one for exactly
// these before: such a renewal is no new load on the domain.
func (l Limits) ForCertificate(ids []acme.Identifier, again bool) []Bucket {
	buckets := []Bucket{{Limit: CertificatesPerSet, Subject: SetOf(ids), About: describeSet(ids)}}
	for _, id := range ids {
		if !again {
			buckets = append(buckets, Bucket{Limit: CertificatesPerDomain, Subject: RegisteredDomain(id)})
		}
	}
	return l.bucketsOf(buckets...)
}

// ForFailure are the buckets of an authorization that fails.
func (l Limits) ForFailure(account string, id acme.Identifier) []Bucket {
	subject := account + "/" + id.Value
	return l.bucketsOf(Bucket{Limit: FailedAuthorizations, Subject: subject}, Bucket{Limit: ConsecutiveFailures, Subject: subject})
}

// ForAuthorization is the bucket that must not be empty for a new authorization to begin.
func (l Limits) ForAuthorization(account string, id acme.Identifier) []Bucket {
	return l.bucketsOf(Bucket{Limit: FailedAuthorizations, Subject: account + "/" + id.Value})
}

// Network is what a client's address stands for: itself, or its IPv6 network of /64, which one subscriber has.
func Network(addr netip.Addr) string { return networkText(addr, 64) }

// wideNetwork is the IPv6 network of /48 of a client, which one site has; "" for IPv4.
func wideNetwork(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return ""
	}
	return networkText(addr, 48)
}

func networkText(addr netip.Addr, bits int) string {
	addr = addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is4():
		return addr.String()
	}
	return netip.PrefixFrom(addr, bits).Masked().String()
}

// RegisteredDomain is what a registry gave away of a name: one label more than the Public Suffix List has,
// or the name itself if it is on the list. Of a private name it is the last two labels. An address stands for its
// network.
func RegisteredDomain(id acme.Identifier) string {
	if id.Type == acme.IP {
		addr, err := netip.ParseAddr(id.Value)
		if err != nil {
			return id.Value
		}
		return Network(addr)
	}
	name := strings.TrimPrefix(id.Value, "*.")
	// For a name under no suffix of the list, the list's own rule "*" makes the last label the suffix.
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name
	}
	return domain
}

// SetOf is a digest of a set of identifiers, whatever their order.
func SetOf(ids []acme.Identifier) string {
	hash := sha256.New()
	for _, id := range sorted(ids) {
		hash.Write([]byte(string(id.Type) + ":" + id.Value + "\n"))
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// maxSaid bounds how many names of a set people are told.
const maxSaid = 3

func describeSet(ids []acme.Identifier) string {
	var names []string
	for i, id := range sorted(ids) {
		if i == maxSaid {
			return strings.Join(names, ", ") + " and others"
		}
		names = append(names, id.Value)
	}
	return strings.Join(names, ", ")
}

// renewable is how long after a certificate another one for the same identifiers is its renewal.
const renewable = 400 * 24 * time.Hour

// Renews reports whether a certificate is a renewal of one that was asked for at before, zero for none.
func Renews(before, now time.Time) bool { return !before.IsZero() && now.Sub(before) < renewable }

// Description is what a limit counts, as a sentence part for people.
func (n LimitName) Description() string {
	switch n {
	case AccountsPerIP:
		return "new accounts, from one IPv4 address or one IPv6 network of /64"
	case AccountsPerRange:
		return "new accounts, from one IPv6 network of /48"
	case OrdersPerAccount:
		return "new orders, and authorizations asked for without one (newAuthz), of one account"
	case CertificatesPerDomain:
		return "certificates with a name under one registered domain, or with an address, unless there was one for the same names before"
	case CertificatesPerSet:
		return "certificates for exactly the same names"
	case FailedAuthorizations:
		return "failed authorizations, of one account for one name"
	case ConsecutiveFailures:
		return "failed authorizations of one account for one name, without a success in between; then orders for it are paused"
	case Floods:
		return "requests of any kind, from one IPv4 address or one IPv6 network of /64"
	}
	return ""
}
