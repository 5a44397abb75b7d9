package validate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Security is what DNSSEC says about an answer (RFC 4033 §5). Cairn does not
// verify signatures itself: it takes the word of a server that does, where
// nobody can have changed that word on its way.
type Security string

// The states of an answer, the best first. "" means that there was none.
const (
	Secure   Security = "secure"              // the server has verified all of it
	Insecure Security = "insecure"            // a server that validates says that the zone is not signed
	Unknown  Security = "insecure or unknown" // nobody who can be believed says more
	Bogus    Security = "bogus"               // the server says that it does not verify
)

// and is the state of two answers that are used together: that of the worse.
func (s Security) and(t Security) Security {
	order := []Security{"", Secure, Insecure, Unknown, Bogus}
	return order[max(slices.Index(order, s), slices.Index(order, t))]
}

// security judges an answer of a server.
func (r *Resolver) security(s *server, answer *dns.Msg) Security {
	switch {
	case isBogus(answer):
		return Bogus
	case !isDefinite(answer):
		return ""
	case answer.AuthenticatedData && s.trustsAD():
		return Secure
	case r.config.RequireDNSSEC:
		return Insecure // mustValidate has made sure that this server validates
	}
	return Unknown
}

// ExtendedError is one extended DNS error (RFC 8914).
type ExtendedError struct {
	Code uint16 `json:"code"`
	Text string `json:"text,omitempty"` // of the server's own; clipped, and never for the client
}

// maxExtended bounds the extended errors taken from one answer.
const maxExtended = 4

// extendedErrors reads those in an answer.
func extendedErrors(answer *dns.Msg) []ExtendedError {
	opt := answer.IsEdns0()
	if opt == nil {
		return nil
	}
	var list []ExtendedError
	for _, option := range opt.Option {
		if ede, ok := option.(*dns.EDNS0_EDE); ok && len(list) < maxExtended {
			list = append(list, ExtendedError{Code: ede.InfoCode, Text: clip(ede.ExtraText, maxEvidenceText)})
		}
	}
	return list
}

// isBogus reports whether a server did not answer because DNSSEC does not verify.
func isBogus(answer *dns.Msg) bool {
	return answer != nil && answer.Rcode == dns.RcodeServerFailure &&
		slices.ContainsFunc(extendedErrors(answer), func(e ExtendedError) bool { return e.Code >= 5 && e.Code <= 12 })
}

// extendedWords are the codes of RFC 8914 §5.2 and the IANA registry, to follow a comma.
var extendedWords = map[uint16]string{
	1:  "it does not know the algorithm of the zone's keys",
	2:  "it does not know the digest type of the zone's DS record",
	3:  "its answer was out of date",
	5:  "DNSSEC cannot be decided for this name",
	6:  "DNSSEC does not verify",
	7:  "a DNSSEC signature has expired",
	8:  "a DNSSEC signature is not valid yet",
	9:  "no DNSKEY record matches the zone's DS record",
	10: "DNSSEC signatures are missing",
	11: "the zone's DNSKEY record is not a zone key",
	12: "the DNSSEC proof that there is no record is missing (NSEC)",
	13: "it remembers an earlier failure",
	14: "it is not ready yet",
	15: "its operator blocks this name",
	16: "somebody made its operator block this name",
	17: "it filters this name",
	18: "it does not answer the authority",
	20: "it is not responsible for this name",
	21: "it does not support this question",
	22: "the zone's own servers could not be reached",
	23: "a network error on the way to the zone's own servers",
	24: "the zone on its server cannot be used",
	25: "the signature expired before it was valid",
	26: "the transport came too early",
	27: "the zone's NSEC3 records have too many iterations",
	28: "its policy forbids the answer",
	29: "the answer was made up",
}

// tellExtended puts extended errors into words that follow "(SERVFAIL)". The
// server's own text is left out: it can be anybody's.
func tellExtended(list []ExtendedError) string {
	var words []string
	for _, e := range list {
		word := fmt.Sprintf("extended error %d", e.Code)
		if known, ok := extendedWords[e.Code]; ok {
			word = fmt.Sprintf("%s (extended error %d)", known, e.Code)
		}
		if !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return ""
	}
	return ": " + strings.Join(words, "; ")
}

// vouched remembers which servers have shown that they validate.
type vouched struct {
	mu   sync.Mutex // guards what follows
	when map[string]time.Time
}

// vouchTime is for how long a server is believed to validate before it must show it again.
const vouchTime = time.Hour

// errNoDNSSEC is that DNSSEC is required and a server is of no use for it.
var errNoDNSSEC = errors.New("DNSSEC is required")

// mustValidate makes sure, where DNSSEC is required, that a server validates and
// that it can be believed: an answer without AD then means that the zone is not signed.
func (r *Resolver) mustValidate(ctx context.Context, s *server, log *[]Question) error {
	if !r.config.RequireDNSSEC {
		return nil
	}
	if !s.trustsAD() {
		return fmt.Errorf("%w: anybody on the way from %s could write that it has verified an answer; "+
			"name a resolver on this machine, such as 127.0.0.1:53, or one over TLS or HTTPS, such as tls://dns.example@192.0.2.53, with --resolver", errNoDNSSEC, serverName(s.text))
	}
	r.vouched.mu.Lock()
	fresh := time.Since(r.vouched.when[s.text]) < vouchTime
	r.vouched.mu.Unlock()
	if fresh {
		return nil
	}
	started := time.Now()
	q := question{r.config.SignedName, dns.TypeSOA}
	answer, tcp, err := r.exchange(ctx, s, q)
	entry := r.note(s, q, answer, err)
	entry.TCP, entry.Millis = tcp, time.Since(started).Milliseconds()
	*log = append(*log, entry)
	switch {
	case err != nil:
		return err
	case answer.Rcode != dns.RcodeSuccess || !answer.AuthenticatedData:
		return fmt.Errorf("%w: %s does not vouch for the SOA record of %s, which is signed (%s, without AD): turn on DNSSEC validation there, or name another resolver with --resolver",
			errNoDNSSEC, serverName(s.text), dns.Fqdn(q.name), rcodeName(answer.Rcode))
	}
	r.vouched.mu.Lock()
	defer r.vouched.mu.Unlock()
	if r.vouched.when == nil {
		r.vouched.when = map[string]time.Time{}
	}
	r.vouched.when[s.text] = time.Now()
	return nil
}

// Check looks, where DNSSEC is required, whether the servers can fulfil that. A
// server that is of no use for it is an error, and so is it if none can be asked.
func (r *Resolver) Check(ctx context.Context) error {
	servers, err := r.currentServers()
	if err != nil || !r.config.RequireDNSSEC {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	checked := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			var log []Question
			err := r.mustValidate(ctx, s, &log)
			if err != nil && !errors.Is(err, errNoDNSSEC) {
				err = fmt.Errorf("%s %s", serverName(s.text), tellDNS(nil, err))
			} else if err != nil {
				err = unfit{err}
			}
			checked <- err
		}()
	}
	var absent []error
	for range servers {
		err := <-checked
		if _, ok := errors.AsType[unfit](err); ok {
			return err
		}
		if err != nil {
			absent = append(absent, err)
		}
	}
	if len(absent) == len(servers) {
		return fmt.Errorf("DNSSEC is required, and no DNS server can be asked whether it validates: %w", errors.Join(absent...))
	}
	return nil
}

// unfit is a server that is there and of no use.
type unfit struct{ error }

func (u unfit) Unwrap() error { return u.error }
