package validate

import (
	"context"
	"fmt"
	"slices"

	"github.com/cairn-ca/cairn/acme"
)

// dns01 asks for the TXT records under the identifier (RFC 8555 §8.4).
func (a *attempt) dns01(ctx context.Context) error {
	return a.rightTXT(ctx, acme.DNS01Name(a.request.Identifier.Value))
}

// dnsAccount01 is dns01 at a name that is the account's own (draft-ietf-acme-dns-account-label).
func (a *attempt) dnsAccount01(ctx context.Context) error {
	return a.rightTXT(ctx, acme.DNSAccount01Name(a.request.AccountURL, a.request.Identifier.Value))
}

// rightTXT asks for the TXT records of name. One right value among any number is
// enough, since several clients may be at work.
func (a *attempt) rightTXT(ctx context.Context, name string) error {
	found, err := a.config.Resolver.TXT(ctx, name)
	a.evidence.Lookups = append(a.evidence.Lookups, found.Lookup)
	if err != nil {
		return err
	}
	want := acme.DNS01Value(a.request.KeyAuthorization)
	if slices.Contains(found.Values, want) {
		return nil
	}
	return acme.Problemf(acme.TypeUnauthorized, "no TXT record of %s is %s: %s has %s", name, short(want), serverName(found.Server), tellTXT(found))
}

// tellTXT says what was found in place of the right value. What stands at the
// name itself is there to be read; what an alias leads to may be for the inner network alone.
func tellTXT(found TXT) string {
	switch {
	case len(found.Values) == 0:
		return "no TXT record there"
	case found.Alias:
		return fmt.Sprintf("%s, at a name to which an alias (CNAME) leads", count(len(found.Values), "other value"))
	case len(found.Values) == 1:
		return fmt.Sprintf(`one other value, "%s"`, clip(found.Values[0], maxEcho))
	}
	return fmt.Sprintf(`%d other values, the first is "%s"`, len(found.Values), clip(found.Values[0], maxEcho))
}
