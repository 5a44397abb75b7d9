package rehearsal

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// names is a DNS server for the CA alone: every name has the one address, and for all other records it asks the real ones.
type names struct {
	everywhere netip.Addr // where every name leads
	upstreams  []string
	server     *dns.Server
	at         string
}

// resolvConf says whom this machine asks.
const resolvConf = "/etc/resolv.conf"

func serveNames(ctx context.Context, c Config) (*names, error) {
	n := &names{everywhere: c.Address, upstreams: c.Resolvers}
	if len(n.upstreams) == 0 {
		if config, err := dns.ClientConfigFromFile(resolvConf); err == nil { // without one, only addresses are known
			for _, server := range config.Servers {
				n.upstreams = append(n.upstreams, net.JoinHostPort(server, config.Port))
			}
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0") // TCP alone: no answer is cut short
	if err != nil {
		return nil, err
	}
	n.at = listener.Addr().String()
	started := make(chan struct{})
	n.server = &dns.Server{Listener: listener, Handler: n, NotifyStartedFunc: func() { close(started) }}
	failed := make(chan error, 1)
	go func() { failed <- n.server.ActivateAndServe() }() // ends with close
	select {
	case <-started:
		return n, nil
	case err := <-failed:
		return nil, err
	}
}

func (n *names) address() string { return n.at }

func (n *names) close() error { return n.server.Shutdown() }

// ServeDNS answers one question.
func (n *names) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	if len(query.Question) != 1 {
		reply.Rcode = dns.RcodeFormatError
		_ = w.WriteMsg(reply) // who is gone needs no answer
		return
	}
	question := query.Question[0]
	head := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET}
	switch question.Qtype {
	case dns.TypeA:
		if n.everywhere.Unmap().Is4() {
			reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: n.everywhere.Unmap().AsSlice()})
		}
	case dns.TypeAAAA:
		if n.everywhere.Is6() && !n.everywhere.Is4In6() {
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: head, AAAA: n.everywhere.AsSlice()})
		}
	default:
		if answer, err := n.ask(query); err == nil {
			reply.Rcode, reply.Answer, reply.Ns = answer.Rcode, answer.Answer, answer.Ns
		} else {
			reply.Rcode = dns.RcodeServerFailure
		}
	}
	_ = w.WriteMsg(reply) // who is gone needs no answer
}

// upstreamTimeout is for one question to one server.
const upstreamTimeout = 3 * time.Second

// ask puts a question to the real servers, one after the other.
func (n *names) ask(query *dns.Msg) (*dns.Msg, error) {
	failures := []error{errors.New("there is no DNS server to ask")}
	for _, server := range n.upstreams {
		question := query.Copy()
		question.Id = dns.Id()
		question.RecursionDesired = true
		client := dns.Client{Timeout: upstreamTimeout}
		answer, _, err := client.Exchange(question, server)
		if err == nil && answer.Truncated {
			client.Net = "tcp"
			answer, _, err = client.Exchange(question, server)
		}
		if err == nil && answer.Rcode != dns.RcodeServerFailure && answer.Rcode != dns.RcodeRefused {
			return answer, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}
