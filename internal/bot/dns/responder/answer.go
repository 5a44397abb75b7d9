package responder

import (
	"net"
	"sync"
	"time"

	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// Figures of answers. Nothing is to be remembered for long: the next proof has other records.
const (
	ttl         = 5    // seconds, of records and of their absence
	udpSize     = 1232 // octets that we read and write at most by UDP
	smallAnswer = 512  // octets that go to whoever asks by UDP; the rest is for TCP, which proves who asks
)

// rate is how many answers a second go out by UDP in full; as many again ask for TCP, and the rest is not answered. A CA
// asks a few times from a handful of places.
const rate = 200

// limiter counts answers by the second.
type limiter struct {
	rate int

	mu     sync.Mutex
	second int64
	count  int
}

// take says what may be answered now.
func (l *limiter) take(now time.Time) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second != l.second {
		l.second, l.count = second, 0
	}
	l.count++
	switch {
	case l.count <= l.rate:
		return inFull
	case l.count <= 2*l.rate:
		return byTCP
	}
	return nothing
}

type verdict int

const (
	inFull verdict = iota
	byTCP
	nothing
)

// handle answers one question.
func (r *Responder) handle(w wire.ResponseWriter, query *wire.Msg) {
	reply := r.answer(query)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		switch r.limit.take(time.Now()) {
		case nothing:
			return
		case byTCP:
			reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
		}
		reply.Truncate(smallAnswer)
	}
	if err := w.WriteMsg(reply); err != nil {
		r.log.Debug("answering a question", "error", err)
	}
}

// answer is what the zones say to a question.
func (r *Responder) answer(query *wire.Msg) *wire.Msg {
	reply := new(wire.Msg).SetReply(query)
	reply.RecursionAvailable = false
	if query.Opcode != wire.OpcodeQuery {
		reply.Rcode = wire.RcodeNotImplemented
		return reply
	}
	if len(query.Question) != 1 {
		reply.Rcode = wire.RcodeFormatError
		return reply
	}
	if option := query.IsEdns0(); option != nil {
		reply.SetEdns0(udpSize, false)
		if option.Version() != 0 { // RFC 6891 §6.1.3
			reply.Rcode = wire.RcodeBadVers
			return reply
		}
	}
	asked := query.Question[0]
	r.mu.Lock()
	defer r.mu.Unlock()
	zone := r.find(wire.CanonicalName(asked.Name))
	if zone == nil || asked.Qclass != wire.ClassINET {
		reply.Rcode = wire.RcodeRefused
		return reply
	}
	zone.answer(reply, asked)
	return reply
}

// find is the zone that a name lies in. r.mu is held.
func (r *Responder) find(name string) *zone {
	for at := name; at != ""; {
		if z, ok := r.zones[at]; ok {
			return z
		}
		next, end := wire.NextLabel(at, 0)
		if end {
			return nil
		}
		at = at[next:]
	}
	return nil
}

// answer fills a reply from the zone (RFC 1034 §4.3.2). Names are answered as they were asked for, in upper or lower case.
func (z *zone) answer(reply *wire.Msg, asked wire.Question) {
	reply.Authoritative = true
	name := wire.CanonicalName(asked.Name)
	header := func(kind uint16) wire.RR_Header {
		return wire.RR_Header{Name: asked.Name, Rrtype: kind, Class: wire.ClassINET, Ttl: ttl}
	}
	switch {
	case asked.Qtype == wire.TypeANY && z.exists(name): // RFC 8482 §4.2
		reply.Answer = []wire.RR{&wire.HINFO{Hdr: header(wire.TypeHINFO), Cpu: "RFC8482"}}
	case asked.Qtype == wire.TypeTXT:
		for _, value := range z.records[name] {
			reply.Answer = append(reply.Answer, &wire.TXT{Hdr: header(wire.TypeTXT), Txt: dns.Chunks(value)})
		}
	case asked.Qtype == wire.TypeSOA && name == z.name:
		reply.Answer = []wire.RR{z.soa(asked.Name)}
	case asked.Qtype == wire.TypeNS && name == z.name:
		for _, server := range z.servers {
			reply.Answer = append(reply.Answer, &wire.NS{Hdr: header(wire.TypeNS), Ns: server})
		}
	}
	if len(reply.Answer) > 0 {
		return
	}
	reply.Ns = []wire.RR{z.soa(z.name)} // RFC 2308 §3
	if !z.exists(name) {
		reply.Rcode = wire.RcodeNameError
	}
}

// exists reports whether a name is there, if only because of a name below it (RFC 8020 §2).
func (z *zone) exists(name string) bool {
	if name == z.name {
		return true
	}
	for have := range z.records {
		if wire.IsSubDomain(name, have) {
			return true
		}
	}
	return false
}

func (z *zone) soa(name string) wire.RR {
	primary := z.name
	if len(z.servers) > 0 {
		primary = z.servers[0]
	}
	return &wire.SOA{
		Hdr: wire.RR_Header{Name: name, Rrtype: wire.TypeSOA, Class: wire.ClassINET, Ttl: ttl},
		Ns:  primary, Mbox: "hostmaster." + z.name, Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
}
