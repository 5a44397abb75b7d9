package validate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/cairn-ca/cairn/acme"
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
	// nothing is set where the name exists without such a record, so that
	// another failure tells more.
	nothing bool
}

// askServers asks for IPv6 and IPv4 addresses at once. Either is enough. The error
// is a fault of this machine.
func (r *Resolver) askServers(ctx context.Context, servers []string, lookup *Lookup) (*acme.Problem, error) {
	sixes := make(chan outcome, 1)
	go func() { sixes <- r.resolve(ctx, servers, question{lookup.Name, dns.TypeAAAA}) }()
	four := r.resolve(ctx, servers, question{lookup.Name, dns.TypeA})
	six := <-sixes
	lookup.Questions = append(six.questions, four.questions...)
	lookup.Addresses = append(six.addresses(), four.addresses()...)
	switch {
	case len(lookup.Addresses) > 0:
		return nil, nil
	case six.fault != nil || four.fault != nil:
		return nil, fmt.Errorf("resolving %s: %w", lookup.Name, errors.Join(six.fault, four.fault))
	case six.nothing && four.nothing:
		return cannotResolve(lookup.Name, "the name has neither an A nor an AAAA record at "+lastServer(lookup.Questions)), nil
	case four.nothing:
		return cannotResolve(lookup.Name, six.failure), nil
	default:
		return cannotResolve(lookup.Name, four.failure), nil
	}
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
func (r *Resolver) resolve(ctx context.Context, servers []string, q question) outcome {
	var out outcome
	aliases := 0
	for {
		answer, server, err := r.ask(ctx, servers, q, &out.questions)
		if fault, ok := errors.AsType[ownFault](err); ok {
			out.fault = fault
			return out
		}
		if err != nil {
			out.failure = err.Error()
			return out
		}
		end := followAliases(answer, q, maxAliases-aliases)
		aliases += end.aliases
		out.name, out.server = end.name, server
		switch {
		case end.loop || aliases >= maxAliases && len(end.records) == 0:
			out.failure = fmt.Sprintf("its aliases (CNAME) at %s go in a circle or are more than %d", serverName(server), maxAliases)
			return out
		case len(end.records) > 0:
			out.records = end.records
			return out
		case answer.Rcode == dns.RcodeNameError:
			out.failure = fmt.Sprintf("%s says that %s does not exist (NXDOMAIN)", serverName(server), clip(end.name, maxEvidenceText))
			return out
		case end.name == q.name:
			out.nothing = true
			out.failure = fmt.Sprintf("%s has no %s", serverName(server), q)
			return out
		}
		q.name = end.name // the server named an alias and left its records out
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

// holdsData reports whether a record is one that is asked for, with something in it.
func holdsData(rr dns.RR) bool {
	if txt, ok := rr.(*dns.TXT); ok {
		return len(txt.Txt) > 0
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

// ask puts q to one server after the other until one says something definite. The
// error is in words for the client, or an ownFault.
func (r *Resolver) ask(ctx context.Context, servers []string, q question, log *[]Question) (*dns.Msg, string, error) {
	var failures []string
	tried, faults := 0, 0
	for range maxRounds {
		for _, server := range servers {
			started := time.Now()
			answer, tcp, err := r.exchange(ctx, server, q)
			*log = append(*log, note(server, q, answer, err))
			entry := &(*log)[len(*log)-1]
			entry.TCP, entry.Millis = tcp, time.Since(started).Milliseconds()
			if err == nil && (answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError) {
				return answer, server, nil
			}
			tried++
			if isOwnFault(err) || errors.Is(err, syscall.ENETUNREACH) { // the latter is one for all servers together
				faults++
			}
			if faults == tried && (ctx.Err() != nil || tried == maxRounds*len(servers)) {
				return nil, "", ownFault{fmt.Errorf("asking %s: %w", server, err)}
			}
			failure := serverName(server) + " " + tellDNS(answer, err)
			if !slices.Contains(failures, failure) {
				failures = append(failures, failure)
			}
			if ctx.Err() != nil {
				return nil, "", errors.New(strings.Join(failures, ", "))
			}
		}
	}
	return nil, "", errors.New(strings.Join(failures, ", "))
}

// note writes a question down for the evidence.
func note(server string, q question, answer *dns.Msg, err error) Question {
	noted := Question{Server: server, Name: q.name, Type: dns.TypeToString[q.qtype]}
	if err != nil {
		noted.Error = clip(err.Error(), maxEvidenceText)
		return noted
	}
	noted.Status = rcodeName(answer.Rcode)
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
		return "could not answer (SERVFAIL)"
	case err == nil:
		return "refused to answer (" + rcodeName(answer.Rcode) + ")"
	case errors.Is(err, errUnreadable):
		return "sent an answer that cannot be read"
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return "did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is not there (connection refused)"
	default:
		return "could not be reached"
	}
}
