package rules

import (
	"github.com/cairn-ca/cairn/acme"
)

// MustAgree reports whether an account has to agree to the terms of service before it goes on: to
// others than it agreed to when it was registered (RFC 8555 §7.3.3).
func (p Policy) MustAgree(a Account) bool {
	return p.AskAgain && p.TermsOfService != "" && a.TermsAgreed != p.TermsOfService
}

// Agreed is the problem of an account that must agree first; nil for others. A person does that at the URL instance.
func (p Policy) Agreed(a Account, instance string) *acme.Problem {
	if !p.MustAgree(a) {
		return nil
	}
	problem := acme.Problemf(acme.TypeUserActionRequired,
		"the terms of service have changed: read %s, then agree to them at %s and run your client again", p.TermsOfService, instance)
	problem.Instance, problem.Terms = instance, p.TermsOfService
	return problem
}

// Agree notes that the holder of a has agreed to the terms of service.
func (a Account) Agree(p Policy) Account {
	a.TermsAgreed = p.TermsOfService
	return a
}
