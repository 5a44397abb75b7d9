package validate

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
)

// udpSize is the size of answers over UDP that no path fragments
// (RFC 9715 §3.2.2 and the practice since DNS Flag Day 2020).
const udpSize = 1232

var errUnreadable = errors.New("the answer cannot be read")

// exchange asks one server: a plain one over UDP, and over TCP where the answer
// did not fit (RFC 7766 §5). It reports whether the answer came over a connection.
func (r *Resolver) exchange(ctx context.Context, s *server, q question) (answer *dns.Msg, tcp bool, err error) {
	answer, tcp, err = r.attempt(ctx, s, newQuestion(q, true))
	if err == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		// An old server that does not know EDNS (RFC 6891 §7).
		return r.attempt(ctx, s, newQuestion(q, false))
	}
	return answer, tcp, err
}

// attempt sends one query, within the time for each attempt.
func (r *Resolver) attempt(ctx context.Context, s *server, query *dns.Msg) (*dns.Msg, bool, error) {
	first, cancel := context.WithTimeout(ctx, r.config.Attempt)
	defer cancel()
	answer, tcp, err := s.exchange(first, query)
	if err == nil && answer.Truncated && s.transport == plain {
		second, cancel := context.WithTimeout(ctx, r.config.Attempt)
		defer cancel()
		whole := server{upstream: s.upstream}
		whole.transport = overTCP
		answer, tcp, err = whole.exchange(second, query)
	}
	if err == nil && answer.Truncated {
		return nil, tcp, errUnreadable // what is missing must not count as not being there
	}
	return answer, tcp, err
}

// newQuestion asks with recursion. With EDNS it also asks for the proof (DO) and
// leaves the check to the server (no CD): what does not verify must not come
// back (RFC 4035 §3.2). AD says that we look at that bit (RFC 6840 §5.7).
func newQuestion(q question, edns bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	if edns {
		m.AuthenticatedData = true
		m.SetEdns0(udpSize, true)
	}
	return m
}

// readAnswer reads a message that may be the answer to query. ours says whether
// its ID is the query's; the answer is nil where it cannot be read or answers
// something else.
func readAnswer(packed []byte, query *dns.Msg) (answer *dns.Msg, ours bool) {
	if len(packed) < 12 || binary.BigEndian.Uint16(packed) != query.Id {
		return nil, false
	}
	m := new(dns.Msg)
	err := m.Unpack(packed)
	// A truncated message may end in the middle of a record; its header is what counts.
	if err != nil && !m.Truncated {
		return nil, true
	}
	if !m.Response || m.Opcode != dns.OpcodeQuery {
		return nil, true
	}
	// Some servers that do not understand a question do not repeat it.
	if len(m.Question) == 0 && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		return m, true
	}
	if len(m.Question) != 1 || len(query.Question) != 1 {
		return nil, true
	}
	got, want := m.Question[0], query.Question[0]
	if got.Qtype != want.Qtype || got.Qclass&^cacheFlush != want.Qclass&^cacheFlush || canonicalName(got.Name) != canonicalName(want.Name) {
		return nil, true
	}
	return m, true
}
