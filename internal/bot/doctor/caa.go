package doctor

import (
	"context"
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// caa finds the CAA records that count for a name (RFC 8659 §3), and says whether they let this CA issue to this account.
func (d *doctor) caa(ctx context.Context, s Subject, id acme.Identifier) []Finding {
	base, wildcard := id.Base()
	if base.Type == acme.IP {
		return nil // RFC 8659 is about domain names
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	set, at, err := d.relevant(ctx, base.Value)
	if err != nil {
		return []Finding{{Check: "caa", Level: Warning, Name: id.Value, Text: "its CAA records cannot be looked up: " + err.Error(),
			Remedy: "a CA that cannot look them up either must refuse (RFC 8659 §3): look at the servers of the zone"}}
	}
	if len(set) == 0 {
		return []Finding{{Check: "caa", Level: OK, Name: id.Value, Text: "there are no CAA records: every CA may issue"}}
	}
	if len(d.meta.CAAIdentities) == 0 {
		return []Finding{{Check: "caa", Level: Note, Name: id.Value, Text: fmt.Sprintf("%s has CAA records (%s), and the CA does not say by which names it goes there", at, shown(set)),
			Remedy: "look in the CA's documentation which name it wants to see"}}
	}
	permission := acme.Issuance{Wildcard: wildcard, Method: s.first(id), AccountURL: d.config.Account.URL, Issuers: d.meta.CAAIdentities}
	if why := permission.RefusedBy(set); why != "" {
		return []Finding{{Check: "caa", Level: Error, Name: id.Value, Text: fmt.Sprintf("the CAA records of %s forbid it: %s", at, why),
			Remedy: fmt.Sprintf("add a record such as: %s CAA 0 %s %q%s", at, tag(wildcard), d.meta.CAAIdentities[0], d.accountHint(set))}}
	}
	return []Finding{{Check: "caa", Level: OK, Name: id.Value, Text: fmt.Sprintf("the CAA records of %s permit it: %s", at, shown(set))}}
}

func tag(wildcard bool) string {
	if wildcard {
		return "issuewild"
	}
	return "issue"
}

// accountHint explains what accounturi is about where records have it (RFC 8657 §3).
func (d *doctor) accountHint(set []acme.CAARecord) string {
	for _, record := range set {
		if strings.Contains(record.Value, "accounturi") {
			if d.config.Account.URL == "" {
				return "; records with accounturi name an account, and there is none yet: the verb register makes one, show_account shows its URL"
			}
			return "; its accounturi is to be " + d.config.Account.URL
		}
	}
	return ""
}

// relevant climbs from a name to the first one that has CAA records.
func (d *doctor) relevant(ctx context.Context, name string) (set []acme.CAARecord, at string, err error) {
	for at = name; at != ""; {
		reply, err := d.config.Resolver.Forward(ctx, new(mdns.Msg).SetQuestion(mdns.Fqdn(at), mdns.TypeCAA))
		if err != nil {
			return nil, at, err
		}
		for _, record := range reply.Answer {
			if caa, ok := record.(*mdns.CAA); ok {
				set = append(set, acme.CAARecord{Flags: caa.Flag, Tag: caa.Tag, Value: caa.Value})
			}
		}
		if len(set) > 0 {
			return set, at, nil
		}
		_, at, _ = strings.Cut(at, ".")
	}
	return nil, "", nil
}

// shown lists a few records.
func shown(set []acme.CAARecord) string {
	const most = 4
	var list []string
	for _, record := range set[:min(len(set), most)] {
		list = append(list, record.String())
	}
	if len(set) > most {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}
