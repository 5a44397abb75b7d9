package rules

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Forever is for how long something is kept that never goes.
const Forever time.Duration = math.MaxInt64

// Retention says for how long records are kept after their end. What others still need, stays
// for longer: work that is not done, and what belongs on a list of revocations.
type Retention struct {
	Orders         time.Duration // after Order.Expires
	Authorizations time.Duration // after Authz.Expires
	Certificates   time.Duration // after Certificate.NotAfter
	Evidence       time.Duration // of a validation, after that
}

// DefaultRetention is what is kept where an operator has said nothing.
func DefaultRetention() Retention {
	const day = 24 * time.Hour
	return Retention{Orders: 30 * day, Authorizations: 30 * day, Certificates: 90 * day, Evidence: 30 * day}
}

// Complete returns r with what is 0 in it filled in, and with what the records need of each other: evidence is
// found by its authorization, and the key of a certificate proves control for as long as it is known on which
// authorizations that was issued (Possession.Within).
func (r Retention) Complete(profiles []Profile) Retention {
	standard := DefaultRetention()
	for _, field := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&r.Orders, standard.Orders}, {&r.Authorizations, standard.Authorizations},
		{&r.Certificates, standard.Certificates}, {&r.Evidence, standard.Evidence},
	} {
		if *field.value == 0 {
			*field.value = field.standard
		}
	}
	for _, p := range profiles {
		r.Orders = max(r.Orders, p.Possession.Within)
		r.Authorizations = max(r.Authorizations, p.Possession.Within)
	}
	r.Authorizations = max(r.Authorizations, r.Evidence)
	return r
}

// over reports whether something that ended at end has been kept for long enough.
func over(end time.Time, keep time.Duration, now time.Time) bool {
	return keep != Forever && end.Add(keep).Before(now)
}

// OrderGoes decides whether an order is to be forgotten. One that is processing, or has work left, never is.
func (r Retention) OrderGoes(o Order, now time.Time) bool {
	return o.CSR == nil && o.Lease == Lease{} && over(o.Expires, r.Orders, now)
}

// AuthzGoes decides whether an authorization is to be forgotten.
func (r Retention) AuthzGoes(a Authz, now time.Time) bool {
	return a.Lease == Lease{} && over(a.Expires, r.Authorizations, now)
}

// CertificateGoes decides whether a certificate is to be forgotten. listed is when the newest list of its
// issuer was made, zero if there is none: what is revoked stays until a list was made after its end (RFC 5280 §3.3).
func (r Retention) CertificateGoes(c Certificate, listed, now time.Time) bool {
	switch {
	case c.State == Reserved || !over(c.NotAfter, r.Certificates, now):
		return false
	case !c.Revoked.IsZero():
		return c.NotAfter.Before(listed)
	}
	return true
}

// GoneAuthz stands for an authorization that is not kept any more: it ended long ago.
func GoneAuthz(id string) Authz { return Authz{ID: id, Status: acme.StatusExpired} }

// Gone reports whether a is a GoneAuthz: of all others it is derived that they expired (StatusAt).
func (a Authz) Gone() bool { return a.Status == acme.StatusExpired }

// IDsFrom returns what is before all identifiers that NewID makes at t or later, and after those from before.
func IDsFrom(t time.Time) string {
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(max(t.UnixMilli(), 0)))
	stamp[2] |= 0x80
	return idEncoding.EncodeToString(stamp[2:])
}
