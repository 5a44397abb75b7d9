package validate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	maxRounds  = 2  // how often the list of servers is gone through
	maxAliases = 10 // CNAMEs followed for one name
	maxRecords = 16 // addresses taken from one answer
)

// outcome is what the servers said about one name and one type.
type outcome struct {
	name      string   // where the aliases led
	server    string   // who said so, host:port
	records   []dns.RR // of the type asked for; a message is their bound
	questions []Question
	failure   string // in words, where there are no records
	fault     error  // why this machine could not ask at all
	temporary bool   // the failure may be gone at the next try
	absent    bool   // the servers say that there is no such record, or no such name
	dnssec    Security
	// nothing is set where the name exists without such a record, so that
	// another failure tells more.
	nothing bool
}

// askServers asks for IPv6 and IPv4 addresses at once. Either is enough. Errors are as with Lookup.
func (r *Resolver) askServers(ctx context.Context, servers []*server, lookup *Lookup) error {
	sixes := make(chan outcome, 1)
	go func() { sixes <- r.resolve(ctx, servers, question{lookup.Name, dns.TypeAAAA}) }()
	four := r.resolve(ctx, servers, question{lookup.Name, dns.TypeA})
	six := <-sixes
	lookup.Questions = append(six.questions, four.questions...)
	lookup.Addresses = append(six.addresses(), four.addresses()...)
	lookup.DNSSEC = six.dnssec.and(four.dnssec)
	told := four
	if four.nothing {
		told = six
	}
	switch {
	case len(lookup.Addresses) > 0:
		return nil
	case six.fault != nil || four.fault != nil:
		return fmt.Errorf("resolving %s: %w", lookup.Name, errors.Join(six.fault, four.fault))
	case six.nothing && four.nothing:
		return cannotResolve(lookup.Name, "the name has neither an A nor an AAAA record at "+lastServer(lookup.Questions))
	case six.temporary || four.temporary:
		return temporary{cannotResolve(lookup.Name, told.failure)}
	}
	return cannotResolve(lookup.Name, told.failure)
}

// addresses are those in the records, and where they came from.
func (o outcome) addresses() []Address {
	var list []Address
	for _, addr := range addressesIn(o.records) {
		list = append(list, Address{Addr: addr, Source: Source{Kind: FromDNS, Where: o.server}})
	}
	return list
}

// addressesIn takes at most maxRecords addresses from records.
func addressesIn(records []dns.RR) []netip.Addr {
	var list []netip.Addr
	for _, rr := range records[:min(len(records), maxRecords)] {
		if addr, ok := addressOf(rr); ok {
			list = append(list, addr)
		}
	}
	return list
}

func lastServer(questions []Question) string {
	if len(questions) == 0 {
		return "the DNS servers"
	}
	return serverName(questions[len(questions)-1].Server)
}

// question is one question to the DNS.
type question struct {
	name  string
	qtype uint16
}

func (q question) String() string { return dns.TypeToString[q.qtype] + " of " + q.name }

// resolve follows aliases from q's name until there are records or a failure.
func (r *Resolver) resolve(ctx context.Context, servers []*server, q question) outcome {
	out := outcome{name: canonicalName(q.name)}
	aliases := 0
	for {
		answer, s, err := r.ask(ctx, servers, q, &out.questions)
		if err != nil {
			out.fail(err)
			return out
		}
		end := followAliases(answer, q, maxAliases-aliases)
		aliases += end.aliases
		out.name, out.server = end.name, s.text
		out.dnssec = out.dnssec.and(r.security(s, answer))
		switch {
		case end.loop || aliases >= maxAliases && len(end.records) == 0:
			out.failure = fmt.Sprintf("its aliases (CNAME) at %s go in a circle or are more than %d", serverName(s.text), maxAliases)
			return out
		case len(end.records) > 0:
			out.records = end.records
			return out
		case answer.Rcode == dns.RcodeNameError:
			out.absent = true
			out.failure = fmt.Sprintf("%s says that %s does not exist (NXDOMAIN)", serverName(s.text), clip(end.name, maxEvidenceText))
			return out
		case end.name == canonicalName(q.name):
			out.nothing, out.absent = true, true
			out.failure = fmt.Sprintf("%s has no %s", serverName(s.text), q)
			return out
		}
		q.name = end.name // the server named an alias and left its records out
	}
}

// fail notes why there is no answer.
func (o *outcome) fail(err error) {
	if fault, ok := errors.AsType[ownFault](err); ok {
		o.fault = fault
		return
	}
	o.failure = err.Error()
	if failed, ok := errors.AsType[noAnswer](err); ok {
		o.temporary = failed.temporary
		o.dnssec = failed.dnssec
	}
}

// chain is where the aliases in one answer lead.
type chain struct {
	name    string // the last name
	records []dns.RR
	aliases int
	loop    bool
}

// followAliases reads the records of q from an answer, going from alias to
// alias. Records of other names are ignored, in whatever order they come.
func followAliases(answer *dns.Msg, q question, limit int) chain {
	end := chain{name: canonicalName(q.name)}
	seen := map[string]bool{end.name: true}
	for end.aliases < limit {
		next := ""
		for _, rr := range answer.Answer {
			if cname, ok := rr.(*dns.CNAME); ok && named(rr, end.name) {
				next = canonicalName(cname.Target)
				break
			}
			if dname, ok := rr.(*dns.DNAME); ok && next == "" {
				next = underDNAME(dname, end.name)
			}
		}
		if next == "" {
			break
		}
		end.name, end.aliases = next, end.aliases+1
		if seen[next] {
			end.loop = true
			return end
		}
		seen[next] = true
	}
	for _, rr := range answer.Answer {
		if named(rr, end.name) && rr.Header().Rrtype == q.qtype && holdsData(rr) {
			end.records = append(end.records, rr)
		}
	}
	return end
}

// underDNAME is where a DNAME record leads name, "" if nowhere. Servers add the
// CNAME that says the same; this is for one that does not (RFC 6672 §2.2).
func underDNAME(rr *dns.DNAME, name string) string {
	h := rr.Header()
	prefix, under := strings.CutSuffix(name, "."+canonicalName(h.Name))
	to := prefix + "." + canonicalName(rr.Target)
	if h.Class != dns.ClassINET || !under || len(to) > maxName {
		return ""
	}
	return strings.TrimSuffix(to, ".")
}

// holdsData reports whether a record is one that is asked for, with something in it.
func holdsData(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.TXT:
		return len(rr.Txt) > 0
	case *dns.CAA:
		return true // an empty one is malformed, and so it forbids
	}
	_, ok := addressOf(rr)
	return ok
}

func named(rr dns.RR, name string) bool {
	h := rr.Header()
	return h.Class&^cacheFlush == dns.ClassINET && canonicalName(h.Name) == name
}

// cacheFlush is the bit that multicast DNS puts into the class (RFC 6762 §10.2).
const cacheFlush = 1 << 15

// addressOf returns the address in an A or AAAA record. An AAAA record keeps a
// hidden IPv4 address as it is, so that the rules about targets see it.
func addressOf(rr dns.RR) (netip.Addr, bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		return addr, ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return addr, ok
	}
	return netip.Addr{}, false
}

// ownFault is why this machine could not ask any server: nothing that the client could mend.
type ownFault struct{ error }

func (f ownFault) Unwrap() error { return f.error }

// noAnswer is why no server gave an answer that decides, in words for the client.
type noAnswer struct {
	words     string
	temporary bool // a server did not answer in time, is not there or failed (SERVFAIL)
	dnssec    Security
}

func (n noAnswer) Error() string { return n.words }

// ask puts q to one server after the other until one says something definite. The
// error is a noAnswer or an ownFault.
func (r *Resolver) ask(ctx context.Context, servers []*server, q question, log *[]Question) (*dns.Msg, *server, error) {
	var failures []string
	failed := noAnswer{}
	tried, faults := 0, 0
	for range maxRounds {
		for _, s := range servers {
			answer, err := r.askNoted(ctx, s, q, log)
			if err == nil && isDefinite(answer) {
				return answer, s, nil
			}
			tried++
			if isOwnFault(err) || isUpstreamFault(err) {
				faults++
			}
			if faults == tried && (ctx.Err() != nil || tried == maxRounds*len(servers)) {
				return nil, nil, ownFault{fmt.Errorf("asking %s: %w", s.text, err)}
			}
			failure := serverName(s.text) + " " + tellDNS(answer, err)
			if !slices.Contains(failures, failure) && len(failures) < maxFailures {
				failures = append(failures, failure)
			}
			failed.words = strings.Join(failures, ", ")
			failed.temporary = failed.temporary || isTemporaryDNS(answer, err)
			if isBogus(answer) { // another server must not know better what one has found to be forged
				failed.dnssec = Bogus
				return nil, nil, failed
			}
			if ctx.Err() != nil {
				return nil, nil, failed
			}
		}
	}
	return nil, nil, failed
}

// maxFailures bounds how many different failures of servers one sentence tells.
const maxFailures = 4

// askNoted asks one server, after making sure that its word on DNSSEC counts where
// that is required, and notes both.
func (r *Resolver) askNoted(ctx context.Context, s *server, q question, log *[]Question) (*dns.Msg, error) {
	if err := r.mustValidate(ctx, s, log); err != nil {
		return nil, err
	}
	started := time.Now()
	answer, tcp, err := r.exchange(ctx, s, q)
	entry := r.note(s, q, answer, err)
	entry.TCP, entry.Millis = tcp, time.Since(started).Milliseconds()
	*log = append(*log, entry)
	return answer, err
}

// isDefinite reports whether an answer decides. A referral does not: it comes
// from a server that asks no others for us.
func isDefinite(answer *dns.Msg) bool {
	return answer.Rcode == dns.RcodeNameError || answer.Rcode == dns.RcodeSuccess && !isReferral(answer)
}

func isReferral(answer *dns.Msg) bool {
	if len(answer.Answer) > 0 || answer.Authoritative || answer.RecursionAvailable {
		return false
	}
	ns := false
	for _, rr := range answer.Ns {
		ns = ns || rr.Header().Rrtype == dns.TypeNS
		if rr.Header().Rrtype == dns.TypeSOA {
			return false
		}
	}
	return ns
}

// isTemporaryDNS reports whether a question without an answer is worth asking again.
func isTemporaryDNS(answer *dns.Msg, err error) bool {
	if err != nil {
		return isTransient(err)
	}
	return answer.Rcode == dns.RcodeServerFailure
}

// isUpstreamFault reports whether a question failed because of how the authority
// is set up: no network, or a server that does not show the right certificate.
// Neither is a client's.
func isUpstreamFault(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	return certificate || errors.Is(err, errNoDNSSEC) || errors.Is(err, syscall.ENETUNREACH)
}

// note writes a question down for the evidence.
func (r *Resolver) note(s *server, q question, answer *dns.Msg, err error) Question {
	noted := Question{Server: s.text, Name: q.name, Type: dns.TypeToString[q.qtype]}
	if err != nil {
		noted.Error = clip(err.Error(), maxEvidenceText)
		return noted
	}
	noted.Status, noted.DNSSEC, noted.Extended = rcodeName(answer.Rcode), r.security(s, answer), extendedErrors(answer)
	for _, rr := range answer.Answer[:min(len(answer.Answer), maxEvidenceItems)] {
		noted.Answers = append(noted.Answers, clip(strings.ReplaceAll(rr.String(), "\t", " "), maxEvidenceText))
	}
	return noted
}

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

// tellDNS says what came of a question that was not answered, to follow the server's name.
func tellDNS(answer *dns.Msg, err error) string {
	switch {
	case err == nil && answer.Rcode == dns.RcodeServerFailure:
		return "could not answer (SERVFAIL)" + tellExtended(extendedErrors(answer))
	case err == nil && answer.Rcode == dns.RcodeSuccess:
		return "only refers to other servers: a resolver is needed, which asks them itself"
	case err == nil:
		return "refused to answer (" + rcodeName(answer.Rcode) + ")"
	case errors.Is(err, errUnreadable):
		return "sent an answer that cannot be read"
	case errors.Is(err, errNoDNSSEC):
		return "is of no use, since DNSSEC is required here"
	case isUpstreamFault(err) && !errors.Is(err, syscall.ENETUNREACH):
		return "did not show a certificate that can be verified"
	case errors.Is(err, errHTTPStatus):
		return "did not answer in DNS over HTTPS"
	case isTimeout(err):
		return "did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is not there (connection refused)"
	default:
		return "could not be reached"
	}
}
