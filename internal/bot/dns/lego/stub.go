package lego

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/log"
	wire "github.com/miekg/dns"

	"github.com/cairn-ca/cairn/internal/bot/dns"
)

// stub is the resolver that lego's providers ask. For the names of calls that are under way it says where
// the alias leads and which zone that is in, since we have asked the zone's own servers already; all
// other questions are passed on. It listens on an address of loopback. Who could send it questions
// learns what is public anyway; who could forge its answers is on this machine and has won already.
type stub struct {
	resolver *dns.Resolver
	log      *slog.Logger

	mu     sync.Mutex
	calls  map[string]call // under way, by from
	change chan struct{}   // closed when one has ended
}

// call says that the record of dns-01 at from is to be at to, in zone; "" is an unknown zone. All have final dots.
type call struct{ from, to, zone string }

// listening makes the stub, once for the process, because lego has one resolver for all of its providers.
var listening = func() func(dns.Settings) (*stub, error) {
	var mu sync.Mutex
	var made *stub
	return func(s dns.Settings) (*stub, error) {
		mu.Lock()
		defer mu.Unlock()
		if made != nil {
			return made, nil
		}
		// With this, lego would not ask where the alias leads. We have followed it already.
		if err := s.Environment.Unset("LEGO_DISABLE_CNAME_SUPPORT"); err != nil {
			return nil, err
		}
		next := &stub{resolver: s.Resolver, log: s.Log, calls: make(map[string]call), change: make(chan struct{})}
		if next.log == nil {
			next.log = slog.New(slog.DiscardHandler)
		}
		address, err := next.listen()
		if err != nil {
			return nil, fmt.Errorf("listening for questions of lego's providers: %w", err)
		}
		log.SetDefault(slog.New(quieter{next.log.Handler()}))
		dns01.SetDefaultClient(dns01.NewClient(&dns01.Options{RecursiveNameservers: []string{address}, Timeout: questionTimeout}))
		made = next
		return made, nil
	}
}()

// questionTimeout is enough for a few resolvers that do not answer.
const questionTimeout = 20 * time.Second

// listen starts the server, which ends with the process.
func (s *stub) listen() (string, error) {
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		if packets, err = net.ListenPacket("udp", "[::1]:0"); err != nil {
			return "", err
		}
	}
	server := &wire.Server{PacketConn: packets, Handler: wire.HandlerFunc(s.serve)}
	go func() {
		if err := server.ActivateAndServe(); err != nil {
			s.log.Error("the resolver for lego's providers ended", "error", err)
		}
	}()
	return packets.LocalAddr().String(), nil
}

// lead has the stub say for a while where a name leads. It waits for a call with the same name to end: they could
// lead to different places. done ends it.
func (s *stub) lead(ctx context.Context, c call) (done func(), err error) {
	for {
		s.mu.Lock()
		_, taken := s.calls[c.from]
		change := s.change
		if !taken {
			s.calls[c.from] = c
		}
		s.mu.Unlock()
		if !taken {
			break
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, c.from)
		close(s.change)
		s.change = make(chan struct{})
	}, nil
}

func (s *stub) serve(w wire.ResponseWriter, query *wire.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), questionTimeout)
	defer cancel()
	reply := s.answer(query)
	if reply == nil {
		var err error
		if reply, err = s.resolver.Forward(ctx, query); err != nil {
			s.log.Debug("a question of a provider has no answer", "error", err)
			reply = new(wire.Msg).SetRcode(query, wire.RcodeServerFailure)
		}
	}
	_ = w.WriteMsg(reply) // who asked asks again
}

// answer is what the calls under way say to a question; nil if they say nothing.
func (s *stub) answer(query *wire.Msg) *wire.Msg {
	if len(query.Question) != 1 {
		return nil
	}
	name, kind := wire.CanonicalName(query.Question[0].Name), query.Question[0].Qtype
	reply := new(wire.Msg).SetReply(query)
	reply.RecursionAvailable = true
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		header := wire.RR_Header{Name: name, Rrtype: kind, Class: wire.ClassINET}
		switch {
		case kind == wire.TypeCNAME && name == c.from && c.from != c.to:
			reply.Answer = []wire.RR{&wire.CNAME{Hdr: header, Target: c.to}}
			return reply
		case kind == wire.TypeCNAME && (name == c.from || name == c.to):
			return reply
		case kind == wire.TypeSOA && c.zone != "" && name == c.zone && wire.IsSubDomain(c.zone, c.to):
			// With a Refresh of 0, lego forgets it at once.
			reply.Answer = []wire.RR{&wire.SOA{Hdr: header, Ns: c.zone, Mbox: c.zone}}
			return reply
		case kind == wire.TypeSOA && c.zone != "" && wire.IsSubDomain(c.zone, name) && wire.IsSubDomain(name, c.to):
			return reply
		}
	}
	return nil
}
