package ca

import "github.com/cairn-ca/cairn/internal/ca/rules"

// EAB says who may register (RFC 8555 §7.3.4). The zero value lets anybody, and checks the
// external account binding of those who send one.
type EAB struct {
	Mode rules.ExternalAccounts
	// Keys are MAC keys by their identifiers, beside those that `cairn eab create` makes. They
	// bind any number of accounts, for all names.
	Keys map[string][]byte
}

// policy is what the operator decided.
func (c *CA) policy() rules.Policy {
	names, end := c.issuing()
	return rules.Policy{
		Names: names, TermsOfService: c.config.Terms, AskAgain: c.config.TermsAsk, Profiles: c.config.Profiles.Rules(),
		IssuerEnd: end,
		External:  c.config.EAB.Mode, NoSubdomains: c.config.NoSubdomains,
		Proving: c.proving, CAA: c.caa,
	}
}
