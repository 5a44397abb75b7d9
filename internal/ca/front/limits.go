package front

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/store"
)

// limited says what the rate limits make of one request. Who handles the request has it charged
// inside the transaction that makes what is limited, and told to the client after it.
type limited struct {
	quotas []rules.Quota
}

// charge takes one event from each of buckets, or from none; check must have something left as well.
func (l *limited) charge(tx *store.Tx, limits rules.Limits, buckets, check []rules.Bucket) error {
	l.quotas = nil
	if len(buckets)+len(check) == 0 {
		return nil
	}
	charges, err := tx.Charges(limits, slices.Concat(buckets, check))
	if err != nil {
		return fmt.Errorf("looking up rate limits: %w", err)
	}
	for i := range check {
		charges[len(buckets)+i].Check = true
	}
	spent := rules.Spend(charges, tx.Now)
	l.quotas = spent.Quotas
	if spent.Problem != nil {
		return spent.Problem
	}
	return tx.SaveCharges(spent.Before, spent.Charges)
}

// chargeAccount charges for a new account (RFC 8555 §6.6).
func (f *Front) chargeAccount(tx *store.Tx, r request, l *limited) error {
	return l.charge(tx, f.Limits, f.Limits.ForAccount(r.client), nil)
}

// chargeOrder charges for a new order. What its certificate will be charged for, and its new
// authorizations, must have something left, so that nobody does in vain what cannot end well.
func (f *Front) chargeOrder(tx *store.Tx, r accountRequest, placed rules.Placed, held rules.Held, l *limited) error {
	if !f.Limits.Stored() || placed.Again {
		return nil
	}
	if err := f.refusePaused(tx, r, placed.New); err != nil {
		return err
	}
	// A renewal at the time that the authority itself suggested is never in the way of anything (RFC 9773 §5).
	exempt, err := renewsInTime(tx, held.Replaced)
	if err != nil || exempt {
		return err
	}
	check, err := f.certificateBuckets(tx, placed.Order)
	if err != nil {
		return err
	}
	for _, a := range placed.New {
		check = append(check, f.Limits.ForAuthorization(a.Account, a.Identifier)...)
	}
	return l.charge(tx, f.Limits, f.Limits.ForOrder(r.account.ID), check)
}

// chargeAuthorization charges for an authorization that is asked for without an order as for an order, and
// refuses it where one would be refused in an order.
func (f *Front) chargeAuthorization(tx *store.Tx, r accountRequest, authz rules.Authz, l *limited) error {
	if !f.Limits.Stored() {
		return nil
	}
	if err := f.refusePaused(tx, r, []rules.Authz{authz}); err != nil {
		return err
	}
	return l.charge(tx, f.Limits, f.Limits.ForOrder(authz.Account), f.Limits.ForAuthorization(authz.Account, authz.Identifier))
}

// chargeCertificate charges for the certificate of an order that is about to be issued. It is here that
// certificates are counted, so that orders which come to nothing do not use up what their domain has.
func (f *Front) chargeCertificate(tx *store.Tx, order rules.Order, l *limited) error {
	if !f.Limits.Stored() {
		return nil
	}
	exempt, err := f.exempt(tx, order)
	if err != nil {
		return err
	}
	if !exempt {
		buckets, err := f.certificateBuckets(tx, order)
		if err != nil {
			return err
		}
		if err := l.charge(tx, f.Limits, buckets, nil); err != nil {
			return err
		}
	}
	if f.Limits[rules.CertificatesPerDomain].On() {
		return tx.NoteCertified(rules.SetOf(order.Identifiers))
	}
	return nil
}

// certificateBuckets are the buckets of an order's certificate.
func (f *Front) certificateBuckets(tx *store.Tx, order rules.Order) ([]rules.Bucket, error) {
	if !f.Limits[rules.CertificatesPerDomain].On() {
		return f.Limits.ForCertificate(order.Identifiers, true), nil
	}
	before, err := tx.Certified(rules.SetOf(order.Identifiers))
	if err != nil {
		return nil, err
	}
	return f.Limits.ForCertificate(order.Identifiers, rules.Renews(before, tx.Now)), nil
}

// exempt reports whether an order is a renewal that no limit applies to.
func (f *Front) exempt(tx *store.Tx, order rules.Order) (bool, error) {
	if order.Replaces == "" {
		return false, nil
	}
	id, problem := acme.ParseCertID(order.Replaces)
	if problem != nil {
		return false, problem
	}
	replaced, err := f.predecessor(tx, id)
	if err != nil {
		return false, err
	}
	return renewsInTime(tx, replaced)
}

// renewsInTime reports whether the window for the renewal of a certificate has begun. Before it, a
// replacement counts like any other order: else a chain of them would know no limit.
func renewsInTime(tx *store.Tx, replaced *rules.Predecessor) (bool, error) {
	if replaced == nil {
		return false, nil
	}
	asked, err := tx.Renewal(replaced.Certificate.Serial)
	if err != nil {
		return false, err
	}
	certificate := replaced.Certificate
	certificate.Revoked = time.Time{} // or whoever revokes a certificate as soon as it is there would know no limit either
	window := rules.SuggestRenewal(certificate, asked, tx.Now).SuggestedWindow
	return !tx.Now.Before(window.Start), nil
}

// refusePaused refuses to begin authorizations for names that are paused for the account.
func (f *Front) refusePaused(tx *store.Tx, r accountRequest, authzs []rules.Authz) error {
	if !f.Limits[rules.ConsecutiveFailures].On() {
		return nil
	}
	some, err := tx.PausedOf(r.account.ID, "", 1)
	if err != nil || len(some) == 0 {
		return err
	}
	var names []string
	for _, a := range authzs {
		paused, err := tx.IsPaused(a.Account, a.Identifier.Value)
		if err != nil {
			return err
		}
		if paused {
			names = append(names, a.Identifier.Value)
		}
	}
	if len(names) == 0 {
		return nil
	}
	link := f.unpauseLink(r, tx.Now)
	problem := acme.Problemf(acme.TypeRateLimited,
		"limit %s: account %s has failed so often in a row to prove control of %.300s that it is paused: put right what fails, then open %s to go on",
		rules.ConsecutiveFailures, r.account.ID, strings.Join(names, ", "), link)
	problem.Instance = link
	return problem
}

// tell puts what is left into the header of the response, and with a refusal where to read more.
func (f *Front) tell(r request, l limited, err error) error {
	if policies, left := rateLimitFields(l.quotas); policies != "" {
		r.header.Set("RateLimit-Policy", policies)
		r.header.Set("RateLimit", left)
	}
	var problem *acme.Problem
	if errors.As(err, &problem) && problem.Type == acme.TypeRateLimited {
		f.countLimited(l)
		r.header.Add("Link", link(r.base.at(limitsPath), "help")) // RFC 8555 §6.6
	}
	return err
}

// rateLimitFields are the values of RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-09),
// lists of RFC 9651 with one item for each limit: of its buckets, the one with the least left.
func rateLimitFields(quotas []rules.Quota) (policies, left string) {
	var tightest []rules.Quota
	for _, q := range quotas {
		i := slices.IndexFunc(tightest, func(t rules.Quota) bool { return t.Limit == q.Limit })
		switch {
		case i < 0:
			tightest = append(tightest, q)
		case q.Left < tightest[i].Left || q.Left == tightest[i].Left && q.Wait > tightest[i].Wait:
			tightest[i] = q
		}
	}
	var policy, rest []string
	for _, q := range tightest {
		name := `"` + string(q.Limit) + `"`
		policy = append(policy, fmt.Sprintf("%s;q=%d;w=%s", name, q.Rule.Allowed(), seconds(q.Rule.Span())))
		rest = append(rest, fmt.Sprintf("%s;r=%d;t=%s", name, q.Left, seconds(q.Reset)))
	}
	return strings.Join(policy, ", "), strings.Join(rest, ", ")
}

// clientOf is the address that a request came from; the zero one if it cannot be told.
func clientOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// floodReply answers a request that is one too many, without looking at it.
func floodReply(w http.ResponseWriter, wait time.Duration) {
	h := w.Header()
	h.Set("Content-Type", acme.MediaProblem)
	h.Set("Retry-After", seconds(max(wait, time.Second)))
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write(floodBody) // whoever has gone needs no answer
}

var floodBody = []byte(`{"type":"` + string(acme.TypeRateLimited) +
	`","detail":"limit floods: too many requests from your address: send them more slowly","status":429}`)
