package rules

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/cairn-ca/cairn/acme"
)

// Order is a client's request for a certificate (RFC 8555 §7.1.3). Its status is
// not in it: OrderStatus derives it from the facts.
type Order struct {
	ID          string
	Account     string
	Identifiers []acme.Identifier // as asked for, in normal form, without duplicates
	Authzs      []string          // IDs, in the order of the identifiers; several identifiers can share one (RFC 9444)
	Profile     string
	Replaces    string // the acme.CertID of the certificate that this one is to replace, or "" (RFC 9773 §5)
	Validity    Validity
	Created     time.Time
	Expires     time.Time

	// Facts that come later.
	CSR       []byte        // DER, from finalize until the certificate is stored
	CSRDigest []byte        // SHA-256 of the CSR, from finalize on
	Serial    string        // of the certificate, once it is stored
	Error     *acme.Problem // why the order failed

	Lease Lease
}

// OrderStatus is the status of an order whose authorizations are authzs (RFC 8555 §7.1.6).
// valid and invalid for an error are final; so is processing until one of them follows.
func OrderStatus(o Order, authzs []Authz, now time.Time) acme.Status {
	switch {
	case o.Serial != "":
		return acme.StatusValid
	case o.Error != nil:
		return acme.StatusInvalid
	case o.CSR != nil:
		return acme.StatusProcessing
	case !now.Before(o.Expires):
		return acme.StatusInvalid
	}
	status := acme.StatusReady
	for _, a := range authzs {
		switch a.StatusAt(now) {
		case acme.StatusValid:
		case acme.StatusPending:
			status = acme.StatusPending
		default:
			return acme.StatusInvalid
		}
	}
	return status
}

// OrderError is why an order is invalid, or nil: its own error, or those of its authorizations.
func OrderError(o Order, authzs []Authz, now time.Time) *acme.Problem {
	if o.Error != nil || OrderStatus(o, authzs, now) != acme.StatusInvalid {
		return o.Error
	}
	var failed []*acme.Problem
	for _, a := range authzs {
		if a.Gone() {
			return acme.Problemf(acme.TypeMalformed, "the order expired long ago: place a new one")
		}
		if challenge := a.Attempted(); challenge != nil && challenge.Error != nil {
			failed = append(failed, challenge.Error.About(a.Asked()))
		} else if status := a.StatusAt(now); status != acme.StatusValid && status != acme.StatusPending {
			failed = append(failed, acme.Problemf(acme.TypeUnauthorized, "the authorization is %s", status).About(a.Asked()))
		}
	}
	if len(failed) == 0 {
		why := ""
		if o.Validity.asked() {
			why = " (one with notBefore or notAfter lasts for as long as they can be given)"
		}
		return acme.Problemf(acme.TypeMalformed, "the order expired on %s%s: place a new one", o.Expires.UTC().Format(time.RFC3339), why)
	}
	return together(failed, "control of some identifiers was not proven: place a new order")
}

// Finalize decides on a finalize request (RFC 8555 §7.4). A CSR that is refused leaves the
// order ready (§7.4 says so of badCSR). The CSR that the order was finalized with
// may be sent again and changes nothing, so that a client whose connection broke can repeat itself.
func (o Order) Finalize(authzs []Authz, csr CSR, lease Lease, now time.Time) (Order, *acme.Problem) {
	digest := sha256.Sum256(csr.DER)
	status := OrderStatus(o, authzs, now)
	switch {
	case (status == acme.StatusProcessing || status == acme.StatusValid) && bytes.Equal(digest[:], o.CSRDigest):
		return o, nil
	case status != acme.StatusReady:
		return o, acme.Problemf(acme.TypeOrderNotReady, "the order is %s, not ready%s", status, nextStep(status))
	}
	if problem := csr.matches(o.Identifiers); problem != nil {
		return o, problem
	}
	o.CSR, o.CSRDigest, o.Lease = csr.DER, digest[:], lease
	return o, nil
}

// nextStep says what can be done about an order that cannot be finalized.
func nextStep(status acme.Status) string {
	switch status {
	case acme.StatusPending:
		return ": complete its authorizations first"
	case acme.StatusInvalid:
		return ": place a new one"
	default:
		return ": it has been finalized with another CSR"
	}
}

// Issued records the certificate that o led to.
func (o Order) Issued(serial string) Order {
	o.Serial, o.CSR, o.Lease = serial, nil, Lease{}
	return o
}

// Ended is an order that is valid or invalid, with its certificate where there is one and it is at hand.
type Ended struct {
	Order       Order
	Certificate Certificate
}

// Fail ends o for a reason that the client is told.
func (o Order) Fail(problem *acme.Problem) Order {
	o.Error, o.CSR, o.Lease = problem, nil, Lease{}
	return o
}

// together makes one problem of those of several identifiers (RFC 8555 §6.7.1).
// Their type stands at the top where they share it.
func together(problems []*acme.Problem, summary string) *acme.Problem {
	kind := problems[0].Type
	if slices.ContainsFunc(problems, func(p *acme.Problem) bool { return p.Type != kind }) {
		kind = acme.TypeCompound
	}
	top := acme.Problemf(kind, "%s", summary)
	if len(problems) == 1 {
		top.Detail = problems[0].Identifier.Value + ": " + problems[0].Detail
	}
	top.Subproblems = problems
	return top
}
