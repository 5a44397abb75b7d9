package work

import (
	"github.com/cairn-ca/cairn/internal/ca/rules"
	"github.com/cairn-ca/cairn/internal/ca/validate"
)

// question is what the validator is asked about a challenge of a, which the client has responded to.
func question(a rules.Authz, c rules.Challenge) validate.Request {
	return validate.Request{
		Type:             c.Type,
		Identifier:       a.Identifier,
		Wildcard:         a.Wildcard || a.Subdomains, // what is proven holds for names below
		Token:            c.Token,
		KeyAuthorization: c.KeyAuthorization,
		AccountURL:       c.AccountURL,
		ChallengeURL:     c.URL,
		Response:         c.Response,
	}
}
