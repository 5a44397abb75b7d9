package front

import (
	"context"
	"crypto/rand"
	"net/http"

	"github.com/cairn-ca/cairn/acme"
	"github.com/cairn-ca/cairn/internal/ca/rules"
)

// greaseText explains the member of the directory that has a random name.
const greaseText = "https://www.rfc-editor.org/rfc/rfc8555#section-7.1.1"

// newGrease draws the name of a member that no client can know: RFC 8555 §7.1.1 has
// clients ignore what they do not know, and one that does not shall fail today,
// rather than on the day that the directory gets a new member.
func newGrease() string { return "unknown-" + rand.Text()[:8] }

// directory answers GET (RFC 8555 §7.1.1).
func (f *Front) directory(_ *http.Request, b base) reply {
	meta := acme.Meta{
		TermsOfService: f.Policy.TermsOfService,
		Profiles:       make(map[string]string, len(f.Policy.Profiles)),

		CAAIdentities:           f.Policy.CAA.Identities, // exactly as records have them (RFC 8555 §7.1.1)
		SubdomainAuthAllowed:    !f.Policy.NoSubdomains,
		ExternalAccountRequired: f.Policy.External == rules.Required,
	}
	for _, profile := range f.Policy.Profiles {
		meta.Profiles[profile.Name] = profile.Description
	}
	f.describeProving(&meta)
	if meta.CAAIdentities = f.CAAIdentities; meta.CAAIdentities == nil {
		meta.CAAIdentities = f.Policy.CAA.Identities // RFC 8555 §9.7.6
	}
	if f.Page != nil {
		meta.Website = b.at("")
	}
	var shown any = meta
	if f.Manners.Wordy {
		shown = wordyMeta{meta, meta.ExternalAccountRequired}
	}
	return reply{status: http.StatusOK, body: map[string]any{
		"newNonce":    b.at(b.paths.NewNonce),
		"newAccount":  b.at(b.paths.NewAccount),
		"newAuthz":    b.at(b.paths.NewAuthz),
		"newOrder":    b.at(b.paths.NewOrder),
		"revokeCert":  b.at(b.paths.RevokeCert),
		"keyChange":   b.at(b.paths.KeyChange),
		"renewalInfo": b.at(b.paths.RenewalInfo), // RFC 9773 §3
		"meta":        shown,
		f.grease:      greaseText,
	}}
}

// directoryByPost answers POST-as-GET (RFC 8555 §6.3).
func (f *Front) directoryByPost(_ context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	return f.directory(nil, r.base), nil
}

// newNonce answers GET and HEAD (RFC 8555 §7.2).
func (f *Front) newNonce(r *http.Request, _ base) reply {
	if r.Method == http.MethodHead {
		return reply{status: http.StatusOK, nonce: true}
	}
	return reply{status: http.StatusNoContent, nonce: true}
}

// newNonceByPost answers POST-as-GET (RFC 8555 §6.3).
func (f *Front) newNonceByPost(_ context.Context, r accountRequest) (reply, error) {
	if problem := asGet(r.payload); problem != nil {
		return reply{}, problem
	}
	return reply{status: http.StatusNoContent}, nil
}
