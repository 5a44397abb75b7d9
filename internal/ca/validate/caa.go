package validate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
)

// CAARequest asks whether a domain's CAA records permit an issuance.
type CAARequest struct {
	Identifier acme.Identifier    `json:"identifier"` // a domain, without a wildcard label
	Wildcard   bool               `json:"wildcard,omitempty"`
	Method     acme.ChallengeType `json:"method"`
	AccountURL string             `json:"accountURL"` // as the client knows it
	Issuers    []string           `json:"issuers"`    // the authority's own CAA identities, lower case
}

func (r CAARequest) issuance() acme.Issuance {
	return acme.Issuance{Wildcard: r.Wildcard, Method: r.Method, AccountURL: r.AccountURL, Issuers: r.Issuers}
}

// CAAFinding is what CAA said, for the evidence.
type CAAFinding struct {
	At      string   `json:"at,omitempty"`      // the name that has the relevant records; "" if none has any
	Records []string `json:"records,omitempty"` // at most maxEvidenceItems
	Refusal string   `json:"refusal,omitempty"` // why they forbid it; "" where they permit it
}

// CAA looks whether the CAA records of a domain permit an issuance (RFC 8659,
// RFC 8657). That they forbid it is a Result with a Problem of type caa; that they cannot
// be looked up is one of type dns, since a failed lookup never permits (BR §3.2.2.8.1).
// Errors are as with Prove. Addresses have no CAA records, and .onion names have
// none in the DNS, so neither is asked for.
func (p *Prober) CAA(ctx context.Context, r CAARequest) (Result, error) {
	if err := checkCAARequest(r); err != nil {
		return Result{}, fmt.Errorf("checking CAA of %.256q: %w", r.Identifier.Value, err)
	}
	evidence := Evidence{Started: time.Now()}
	name := r.Identifier.Value
	if r.Identifier.Type != acme.DNS || name == "onion" || strings.HasSuffix(name, ".onion") {
		return Result{Evidence: evidence}, nil
	}
	inner, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	err := p.caa(inner, r, &evidence)
	return evidence.conclude(ctx, r.Identifier, err)
}

func checkCAARequest(r CAARequest) error {
	id, problem := r.Identifier.Normalize()
	switch _, wildcard := id.Base(); {
	case problem != nil:
		return problem
	case id != r.Identifier:
		return errors.New("the identifier is not in canonical form")
	case wildcard:
		return errors.New("the identifier is a wildcard: give its base domain, and say so")
	case len(r.Issuers) == 0:
		return errors.New("the authority has no CAA identity")
	}
	for _, issuer := range r.Issuers {
		if err := acme.CheckCAAIdentity(issuer); err != nil {
			return fmt.Errorf("CAA identity %.256q: %w", issuer, err)
		}
	}
	return nil
}

// caa climbs from the domain to the top and judges the first record set that it meets.
func (p *Prober) caa(ctx context.Context, r CAARequest, evidence *Evidence) error {
	found, err := p.climb(ctx, r.Identifier.Value, evidence)
	if err != nil {
		return err
	}
	finding := &CAAFinding{}
	evidence.CAA = finding
	if len(found.records) == 0 {
		return nil
	}
	finding.At, finding.Refusal = found.Name, r.issuance().RefusedBy(found.records)
	for _, record := range found.records[:min(len(found.records), maxEvidenceItems)] {
		finding.Records = append(finding.Records, record.String())
	}
	if finding.Refusal == "" {
		return nil
	}
	return acme.Problemf(acme.TypeCAA, "the CAA records at %s do not permit this authority to issue for %s: %s. %s",
		found.where(), describe(r), finding.Refusal, remedy(found, r))
}

// describe is what is to be issued for, in words.
func describe(r CAARequest) string {
	if r.Wildcard {
		return "*." + r.Identifier.Value
	}
	return r.Identifier.Value
}

// remedy says which record would permit the issuance, and where it belongs.
func remedy(found caaSet, r CAARequest) string {
	if record, ok := acme.UndecidableCAA(found.records); ok {
		return fmt.Sprintf("Without the record %s the authority could decide", record)
	}
	at, tag := found.Name, "issue"
	if found.alias != "" {
		at = clip(found.alias, maxEvidenceText)
	}
	if r.Wildcard {
		tag = "issuewild"
	}
	return fmt.Sprintf(`One more record would permit it: %s. CAA 0 %s "%s"`, at, tag, r.Issuers[0])
}

// caaSet is what is known of the CAA records of one name.
type caaSet struct {
	Lookup
	records []acme.CAARecord
	server  string
	alias   string // where aliases led, "" if nowhere
}

// where says where the records stand, and who said so.
func (s caaSet) where() string {
	alias := ""
	if s.alias != "" {
		alias = fmt.Sprintf(", which is an alias (CNAME) of %s,", clip(s.alias, maxEvidenceText))
	}
	return fmt.Sprintf("%s%s (from %s)", s.Name, alias, serverName(s.server))
}

// maxCAAQuestions is how many names of one tree are asked for at a time.
const maxCAAQuestions = 8

// climb finds the relevant record set: that of the domain or, where it has none,
// of the nearest name above it that has one, up to the top level (RFC 8659 §3). An
// alias is followed for each name, but from its target nobody climbs. All names
// are asked for at once, and what is above the first set does not matter.
func (p *Prober) climb(ctx context.Context, domain string, evidence *Evidence) (caaSet, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type looked struct {
		set caaSet
		err error
	}
	var results []chan looked
	turns := make(chan struct{}, maxCAAQuestions)
	for name, more := domain, true; more; _, name, more = strings.Cut(name, ".") {
		result := make(chan looked, 1)
		results = append(results, result)
		go func() {
			select {
			case turns <- struct{}{}:
				defer func() { <-turns }()
			case <-ctx.Done():
			}
			set, err := p.config.Resolver.caa(ctx, name)
			result <- looked{set, err}
		}()
	}
	for _, result := range results {
		got := <-result
		evidence.Lookups = append(evidence.Lookups, got.set.Lookup)
		if got.err != nil || len(got.set.records) > 0 {
			return got.set, got.err
		}
	}
	return caaSet{}, nil
}

// caa returns the CAA records of one name, which may be none. Errors are as with TXT, but
// that there is no such name is none.
func (r *Resolver) caa(ctx context.Context, name string) (caaSet, error) {
	found := caaSet{Lookup: Lookup{Name: canonicalName(name)}}
	servers, err := r.currentServers()
	if err != nil {
		return found, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	out := r.resolve(ctx, servers, question{found.Name, dns.TypeCAA})
	found.Questions, found.DNSSEC, found.server = out.questions, out.dnssec, out.server
	found.records = caaRecords(out.records)
	if out.name != found.Name {
		found.alias = out.name
	}
	if len(found.records) > 0 || out.absent {
		return found, nil
	}
	return found, out.err("the CAA records of " + found.Name + " cannot be looked up, so the authority cannot know whether it may issue")
}

// caaRecords are those among records.
func caaRecords(records []dns.RR) []acme.CAARecord {
	var list []acme.CAARecord
	for _, rr := range records {
		if caa, ok := rr.(*dns.CAA); ok {
			list = append(list, acme.CAARecord{Flags: caa.Flag, Tag: caa.Tag, Value: caa.Value})
		}
	}
	return list
}
