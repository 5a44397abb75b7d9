package validate

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

// udpSize is the size of answers over UDP that no path fragments
// (RFC 9715 §3.2.2 and the practice since DNS Flag Day 2020).
const udpSize = 1232

var errUnreadable = errors.New("the answer cannot be read")

// exchange asks one server: over UDP, and over TCP where the answer did not fit
// (RFC 7766 §5). It reports whether the answer came over TCP.
func (r *Resolver) exchange(ctx context.Context, server string, q question) (answer *dns.Msg, tcp bool, err error) {
	answer, err = r.exchangeOver(ctx, "udp", server, newQuestion(q, true))
	if err == nil && (answer.Rcode == dns.RcodeFormatError || answer.Rcode == dns.RcodeNotImplemented) {
		// An old server that does not know EDNS (RFC 6891 §7).
		answer, err = r.exchangeOver(ctx, "udp", server, newQuestion(q, false))
	}
	if err == nil && answer.Truncated {
		answer, err = r.exchangeOver(ctx, "tcp", server, newQuestion(q, true))
		return answer, true, err
	}
	return answer, false, err
}

func newQuestion(q question, edns bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	if edns {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// exchangeOver sends query to a server and waits for its answer.
func (r *Resolver) exchangeOver(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	packed, err := query.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.Attempt)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// One deadline covers the time limit and a caller who gives up.
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		return overTCP(conn, query, packed)
	}
	return overUDP(conn, query, packed)
}

func overTCP(conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(packed)))
	if _, err := conn.Write(append(framed, packed...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	answer, ours := readAnswer(body, query)
	if !ours || answer == nil {
		return nil, errUnreadable
	}
	return answer, nil
}

// overUDP waits for the answer to query and passes over what others send: a
// datagram that does not repeat the ID and the question may be forged (RFC 5452 §9.1).
func overUDP(conn net.Conn, query *dns.Msg, packed []byte) (*dns.Msg, error) {
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	unreadable := false
	buffer := make([]byte, dns.MaxMsgSize)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			if unreadable {
				return nil, errUnreadable
			}
			return nil, err
		}
		answer, ours := readAnswer(buffer[:n], query)
		if ours && answer != nil {
			return answer, nil
		}
		unreadable = unreadable || ours
	}
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
